"""Models read from files; weights in external data stay there until they are needed.

Reading checks what later steps rely on: that the file is a whole ONNX model, and that its external data is there.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.message import DecodeError

from lba_onnx.errors import ModelError
from lba_onnx.files.regular import check_regular
from lba_onnx.rewrite import external_data
from lba_onnx.rewrite.external_data import DataRange
from lba_onnx.rewrite.validation import check_model

ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | onnx.ModelProto"
"""The path of a model, its bytes, or the model itself."""

MAX_PROTOBUF_BYTES = 2**31 - 1


@dataclass(frozen=True)
class OpenModel:
    """A model read from its source.

    Attributes:
        proto: The model, not shared with the caller; its external data is not loaded.
        path: The file it came from, beside which its external data lies; None where there is none.
    """

    proto: onnx.ModelProto
    path: Path | None

    @property
    def source(self) -> "onnx.ModelProto | Path":
        """What functions take that take a model: its file, where there is one."""
        return self.proto if self.path is None else self.path


def open_model(source: ModelSource) -> OpenModel:
    """Read and check a model; leave external data where it is.

    Args:
        source: A path, the bytes of a file, or a model, which is copied.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The file is no ONNX model, or a part of one, or its external data is missing or unsafe.
        TypeError: `source` is none of these.
    """
    path = None
    if isinstance(source, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
    elif isinstance(source, bytes):
        proto = _parse(source, "model")
    elif isinstance(source, (str, os.PathLike)):
        path = Path(source)
        proto = _parse(_read(path), str(path))
    else:
        raise TypeError(f"expected a model as a path, bytes or a ModelProto, got {type(source).__name__}")
    check_model(proto, str(path or "model"))
    if path is not None:
        _check_external_data(proto, path)
    return OpenModel(proto, path)


def _check_external_data(model: onnx.ModelProto, path: Path) -> None:
    try:
        for tensor in external_tensors(model):
            external_data.locate(tensor, path)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def load_model(source: ModelSource, *, load_external_data: bool = False) -> onnx.ModelProto:
    """Read and check a model.

    Args:
        source: A path, the bytes of a file, or a model, which is copied.
        load_external_data: Whether to read external data into the model; takes a path where there is any.

    Returns:
        The model. External data that was not loaded is known to exist where the model came from a path.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The file is no ONNX model, or a part of one, or its external data is missing or unsafe.
        TypeError: `source` is none of these.
    """
    opened = open_model(source)
    if load_external_data:
        load_data(opened)
    return opened.proto


def load_data(opened: OpenModel) -> None:
    """Read a model's external data into it."""
    for tensor in external_tensors(opened.proto):
        external_data.load_tensor(tensor, locate(tensor, opened.path))


def external_bytes(opened: OpenModel) -> int:
    """Return how many bytes of external data a model's tensors have."""
    return sum(locate(tensor, opened.path).size_bytes for tensor in external_tensors(opened.proto))


def external_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors whose values lie in files of their own and have not been loaded."""
    return (tensor for tensor, _ in external_data.iterate_tensors(model) if external_data.is_external(tensor))


def locate(tensor: onnx.TensorProto, path: Path | None) -> DataRange:
    """Return where an external tensor's values lie, beside the model's file.

    Raises:
        ModelError: The model has no file, or the data is missing or unsafe.
    """
    if path is None:
        raise ModelError(
            f"tensor {tensor.name!r} has external data, but the model came without a file to find it beside; "
            "give the model's path"
        )
    return external_data.locate(tensor, path)


def _read(path: Path) -> bytes:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    check_regular(path, ModelError)
    if path.stat().st_size > MAX_PROTOBUF_BYTES:
        raise ModelError(f"{path}: expected an ONNX model of at most 2 GB, got {path.stat().st_size} bytes")
    return path.read_bytes()


def _parse(serialized: bytes, name: str) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(serialized)
    except DecodeError:
        raise ModelError(f"{name}: expected an ONNX model; it is something else, or was cut short") from None
    return model
