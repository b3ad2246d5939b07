"""onnxruntime sessions with the operators of domain `lba_onnx`."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lba_onnx import native
from lba_onnx.errors import LibraryError, ModelError

if TYPE_CHECKING:
    import onnx
    import onnxruntime

    from lba_onnx.rewrite.model_files import ModelSource

_MAX_PROTOBUF_BYTES = 2**31 - 1
_REGISTERED = "lba_onnx.is_registered"  # onnxruntime refuses a second registration, and does not tell of the first
_SILENT = 4  # whatever onnxruntime logs as an error, it raises too


def get_library_path() -> str:
    """Return the path of the library to give to `SessionOptions.register_custom_ops_library`.

    Raises:
        LibraryError: The library is not installed.
    """
    return str(native.library_path())


def register_custom_ops(session_options: "onnxruntime.SessionOptions") -> None:
    """Register the operators with a session's options; doing so again changes nothing.

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
        providers: onnxruntime's execution providers.
        **kwargs: Whatever else onnxruntime.InferenceSession takes.

    Raises:
        FileNotFoundError: There is no such file.
        LibraryError: The native library is missing, or this onnxruntime does not take it.
        ModelError: onnxruntime rejects the model, or a ModelProto has external data.
        TypeError: `model` is none of these.
        ValueError: A provider is none of this onnxruntime's.
    """
    import onnxruntime

    _check_providers(providers)
    options = _default_options() if sess_options is None else sess_options
    register_custom_ops(options)
    with _as_source(model) as source:
        try:
            return onnxruntime.InferenceSession(source, options, providers=list(providers), **kwargs)
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime."):
                raise
            name = source if isinstance(source, str) else "model"
            raise ModelError(f"{name}: onnxruntime rejects it: {error}") from error


def _check_providers(providers: Sequence[Any]) -> None:
    """Refuse what onnxruntime would replace by its CPU provider, with no more than a line on standard output."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    names = [providers] if isinstance(providers, str) else [p if isinstance(p, str) else p[0] for p in providers]
    for name in names:
        if name not in available:
            raise ValueError(f"expected execution providers out of {', '.join(available)}, got {name!r}")
    if isinstance(providers, str):
        raise ValueError(f"expected a list of execution providers, got the text {providers!r}")


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
    with tempfile.TemporaryDirectory(prefix="lba_onnx-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(model, path, use_external_data_format=True)
        yield str(path)
