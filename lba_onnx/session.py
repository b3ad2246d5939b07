"""onnxruntime sessions with the operators of domain `lba_onnx`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lba_onnx import native
from lba_onnx.data.execution import expect_nodes
from lba_onnx.errors import LibraryError, ModelError
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.files.regular import check_regular
from lba_onnx.interruption import run_interruptibly

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from lba_onnx.rewrite.model_files import ModelSource

_MAX_PROTOBUF_BYTES = 2**31 - 1
_REGISTERED = "lba_onnx.is_registered"  # onnxruntime refuses a second registration, and does not tell of the first
_SILENT = 4  # whatever onnxruntime logs as an error, it raises too
_CUDA_PROVIDER = "CUDAExecutionProvider"
_ADVICE = {
    _CUDA_PROVIDER: "; it comes with the package onnxruntime-gpu in place of onnxruntime, and with this one the "
    "environment variable LBA_ONNX_OFFLOAD=cuda has the products computed on a CUDA device"
}


def get_library_path() -> str:
    """Return the path of the library to give to `SessionOptions.register_custom_ops_library`.

    Raises:
        LibraryError: The library is not installed.
    """
    return str(native.library_path())


def register_custom_ops(session_options: "onnxruntime.SessionOptions") -> None:
    """Register the operators with a session's options; doing so again changes nothing.

    With the session config entry "lba_onnx.offload" = "cuda", or the environment variable LBA_ONNX_OFFLOAD=cuda, the
    operators of the CPU provider compute their products on a CUDA device, to the same bits: for an onnxruntime
    without CUDAExecutionProvider on a machine that has a device. It takes the CUDA library (docs/cuda.md). Both are
    read here, so that they have to be set before.

        options.add_session_config_entry("lba_onnx.offload", "cuda")
        register_custom_ops(options)

    Raises:
        LibraryError: The library is not installed, or this onnxruntime does not take it.
    """
    if _is_registered(session_options):
        return
    path = get_library_path()
    try:
        session_options.register_custom_ops_library(path)
    except Exception as error:
        raise LibraryError(f"onnxruntime does not take {path}: {error}") from error
    session_options.add_session_config_entry(_REGISTERED, "1")


def _is_registered(session_options: "onnxruntime.SessionOptions") -> bool:
    try:
        return bool(session_options.get_session_config_entry(_REGISTERED) == "1")
    except Exception:  # how onnxruntime says that there is no such entry
        return False


def make_session(
    model: "ModelSource",
    sess_options: "onnxruntime.SessionOptions | None" = None,
    providers: Sequence[Any] = ("CPUExecutionProvider",),
    **kwargs: Any,
) -> "onnxruntime.InferenceSession":
    """Return an onnxruntime session in which the operators of this package run.

    Args:
        model: A path, the bytes of a file, or a ModelProto; with external data, a path. A ModelProto beyond 2 GB goes
            through a temporary file.
        sess_options: Options; the operators are registered with them.
        providers: onnxruntime's execution providers. CUDAExecutionProvider without options of its own gets use_tf32=0,
            so that what stays float32 is computed in float32; ("CUDAExecutionProvider", {}) leaves it to onnxruntime.
        **kwargs: Whatever else onnxruntime.InferenceSession takes. onnxruntime's own fallback to other providers is
            off unless asked for with enable_fallback=1.

    Raises:
        FileNotFoundError: There is no such file.
        LibraryError: The native library is missing, this onnxruntime does not take it, or a provider does not start.
        ModelError: onnxruntime rejects the model, or a ModelProto has external data.
        TypeError: `model` is none of these.
        ValueError: A provider is none of this onnxruntime's.
    """
    names = _check_providers(providers)
    options = _default_options() if sess_options is None else sess_options
    register_custom_ops(options)
    chosen = list(providers) if "provider_options" in kwargs else [_with_options(p) for p in providers]
    kwargs.setdefault("enable_fallback", 0)
    with _as_source(model) as source:
        try:
            session = _create(source, options, providers=chosen, **kwargs)
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime."):
                raise
            name = source if isinstance(source, str) else "model"
            raise ModelError(f"{name}: onnxruntime rejects it: {error}") from error
    _check_started(session, names)
    return session


def _create(source: str | bytes, options: "onnxruntime.SessionOptions", **kwargs: Any) -> Any:
    """Return a session; Ctrl-C ends its creation, which packs weights."""
    import onnxruntime

    def cancel(is_cancelled: bool = True) -> None:
        if hasattr(options, "set_load_cancellation_flag"):  # since onnxruntime 1.21
            options.set_load_cancellation_flag(is_cancelled)

    run = native.Run()
    try:
        session = run_interruptibly(lambda: onnxruntime.InferenceSession(source, options, **kwargs), run, cancel)
    except BaseException:
        cancel(False)  # the options are the caller's
        raise
    expect_nodes(session, run.progress().created_nodes)
    return session


def _with_options(provider: Any) -> Any:
    """Keep CUDAExecutionProvider from TF32, which rounds the operands of float32 products to 11 bits."""
    if provider != _CUDA_PROVIDER or not _knows_tf32():
        return provider
    return (_CUDA_PROVIDER, {"use_tf32": "0"})


def _knows_tf32() -> bool:
    """Return whether this onnxruntime has the option; before 1.18 it refuses what it does not know."""
    import onnxruntime

    major, minor = onnxruntime.__version__.split(".")[:2]
    return (int(major), int(minor)) >= (1, 18)


def _check_started(session: "onnxruntime.InferenceSession", names: Sequence[str]) -> None:
    """Refuse a session that has silently lost a provider: onnxruntime tells of that in its log only."""
    missing = [name for name in names if name not in session.get_providers()]
    if missing:
        raise LibraryError(
            f"expected onnxruntime to start {', '.join(missing)}, but it goes on with "
            f"{', '.join(session.get_providers())}; on standard error it says why: most often the CUDA libraries that "
            "the package onnxruntime-gpu needs are not found, or there is no device (`lba-onnx doctor` shows devices)"
        )


def _check_providers(providers: Sequence[Any]) -> list[str]:
    """Return the names; refuse what onnxruntime would replace by its CPU provider with a line on standard output."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    names = [providers] if isinstance(providers, str) else [p if isinstance(p, str) else p[0] for p in providers]
    for name in names:
        if name not in available:
            raise ValueError(
                f"expected execution providers out of {', '.join(available)}, got {name!r}{_ADVICE.get(name, '')}"
            )
    if isinstance(providers, str):
        raise ValueError(f"expected a list of execution providers, got the text {providers!r}")
    return names


def watching_options(*, is_lean: bool = False) -> "onnxruntime.SessionOptions":
    """Return options of a session whose nodes are watched: they take long, and threads that have no part in them sleep.

    Args:
        is_lean: Whether runs give memory back as soon as they are done with it, and take longer.
    """
    options = _default_options()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = not is_lean
    return options


def _default_options() -> "onnxruntime.SessionOptions":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    return options


@contextmanager
def _as_source(model: "ModelSource") -> Iterator[str | bytes]:
    """Yield what InferenceSession takes; temporary files live until the block ends."""
    import onnx

    if isinstance(model, (str, os.PathLike)):
        check_regular(model, ModelError)
        if not Path(model).is_file():
            raise FileNotFoundError(f"{os.fspath(model)}: no such file")
        yield os.fspath(model)
    elif isinstance(model, bytes):
        yield model
    elif isinstance(model, onnx.ModelProto):
        with _as_serialized(model) as source:
            yield source
    else:
        raise TypeError(f"expected a model as a path, bytes or a ModelProto, got {type(model).__name__}")


@contextmanager
def _as_serialized(model: "onnx.ModelProto") -> Iterator[str | bytes]:
    from google.protobuf.message import EncodeError

    from lba_onnx.rewrite.model_file import ModelFile
    from lba_onnx.rewrite.model_files import external_tensors, locate
    from lba_onnx.rewrite.model_writer import save_model

    for tensor in external_tensors(model):
        locate(tensor, path=None)
    try:
        serialized = model.SerializeToString()
    except (EncodeError, ValueError):  # beyond 2 GB
        serialized = None
    if serialized is not None and len(serialized) <= _MAX_PROTOBUF_BYTES:
        yield serialized
        return
    with scratch_folder() as folder:
        path = folder / "model.onnx"
        save_model(model, ModelFile(path, use_external_data_format=True))
        yield str(path)
