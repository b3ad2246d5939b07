"""Writes a converted model into a model repository of Triton Inference Server.

    repository/
      model_lba/
        config.pbtxt      inputs, outputs, batches, the library, a request that warms the model up
        README.md         what whoever runs the server must know
        LICENSE
        1/model.onnx      and its external data
        1/liblba_ops.so
        1/model.py        for the backend "python" alone

The backend "onnxruntime" opens the library by the path in config.pbtxt, which is absolute.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from lba_onnx.errors import DataError, ModelError
from lba_onnx.shipping.bundled_session import open_bundled
from lba_onnx.shipping.contents import check_converted, copy_licenses, copy_model, template
from lba_onnx.shipping.folders import new_folder
from lba_onnx.shipping.libraries import copy_installed, this_platform
from lba_onnx.shipping.triton_config import TritonConfig, TritonTensor, has_batch_axis, triton_tensors

if TYPE_CHECKING:
    import onnxruntime

BACKENDS = ("onnxruntime", "python")
"""The backends of Triton that a model can be written for."""
DEFAULT_MAX_BATCH_SIZE = 256

_VERSION = "1"
_MODEL = "model.onnx"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class TritonSettings:
    """How a model is served.

    Attributes:
        backend: One of BACKENDS: Triton's own for onnxruntime, or a Python program that runs onnxruntime.
        name: The model's name; that of its file unless given.
        max_batch_size: The largest batch, where the first axis of all inputs and outputs is open; 0 for none.
        server_path: Where the server sees the repository, such as "/models" in a container; where it is written unless
            given.
        input_shapes: Whole shapes of inputs that the model leaves open, for the request that warms the model up.

    Raises:
        ValueError: A backend or name that is none.
    """

    backend: str = BACKENDS[0]
    name: str | None = None
    max_batch_size: int = DEFAULT_MAX_BATCH_SIZE
    server_path: str | None = None
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.backend not in BACKENDS:
            raise ValueError(f"expected a backend out of {', '.join(BACKENDS)}, got {self.backend!r}")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of letters, digits and ._-, got {self.name!r}")
        if self.server_path is not None and not PurePosixPath(self.server_path).is_absolute():
            raise ValueError(f"expected an absolute path where the server sees the models, got {self.server_path!r}")
        if self.max_batch_size < 0:
            raise ValueError(f"expected a batch size of at least 0, got {self.max_batch_size}")


def export_triton(
    model: str | PathLike[str], repository: str | PathLike[str], settings: TritonSettings | None = None
) -> Path:
    """Write a model into a repository, which may hold others; returns the model's folder.

    Args:
        model: The path of a converted model.
        repository: The folder of the repository; made if it does not exist.
        settings: How the model is served.

    Raises:
        DataError: There is no input of a name in input_shapes.
        FileNotFoundError: There is no such file.
        LibraryError: The native library is missing.
        ModelError: The file is no converted model, or Triton has no such inputs or outputs.
        OutputError: The repository has a model of this name.
    """
    settings, source, target = settings or TritonSettings(), Path(model), Path(repository)
    check_converted(source)
    name = settings.name or re.sub(r"[^A-Za-z0-9._-]", "_", source.stem).lstrip("._-") or "model"
    with new_folder(target / name) as folder:
        version = folder / _VERSION
        copy_model(source, version, _MODEL)
        library = copy_installed(version)
        session = open_bundled(version, _MODEL, {this_platform(): library})
        seen = PurePosixPath(settings.server_path or target.absolute().as_posix()) / name / _VERSION / library
        config = _config(session, name, settings, str(seen))
        (folder / "config.pbtxt").write_text(config.text(_warm_up_shapes(config, settings)), encoding="utf-8")
        text = template("triton", f"README.{settings.backend}.md").format(name=name, library=seen)
        (folder / "README.md").write_text(text, encoding="utf-8")
        if settings.backend == "python":
            (version / "model.py").write_text(template("triton", "model.py"), encoding="utf-8")
        copy_licenses((), folder)
    return target / name


def _config(session: "onnxruntime.InferenceSession", name: str, settings: TritonSettings, library: str) -> TritonConfig:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not inputs or not outputs:
        raise ModelError(f"{name}: expected inputs and outputs, which Triton needs")
    is_batched = settings.max_batch_size > 0 and has_batch_axis([*inputs, *outputs])
    return TritonConfig(
        name,
        settings.backend,
        settings.max_batch_size if is_batched else 0,
        triton_tensors(inputs, is_batched),
        triton_tensors(outputs, is_batched),
        library if settings.backend == "onnxruntime" else "",
    )


def _warm_up_shapes(config: TritonConfig, settings: TritonSettings) -> dict[str, tuple[int, ...]]:
    """Return given shapes without the axis of the batch."""
    tensors = {tensor.name: tensor for tensor in config.inputs}
    for name, shape in settings.input_shapes.items():
        if name not in tensors:
            raise DataError(f"expected shapes of the inputs {', '.join(map(repr, tensors))}, got one of {name!r}")
        _check_shape(tensors[name], shape[1:] if config.max_batch_size else shape)
    return {name: shape[1:] if config.max_batch_size else shape for name, shape in settings.input_shapes.items()}


def _check_shape(tensor: TritonTensor, shape: tuple[int, ...]) -> None:
    if len(shape) != len(tensor.dims) or any(d not in (-1, s) for d, s in zip(tensor.dims, shape, strict=True)):
        raise DataError(f"{tensor.name}: expected a shape that fits {list(tensor.dims)}, got {list(shape)}")
