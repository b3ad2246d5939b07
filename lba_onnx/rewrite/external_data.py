"""Tensors whose values lie in a file beside the model: found, checked, read and copied, one at a time.

The files are named by the model, which may come from anywhere: a location must be relative, and must end up, links
followed, in the model's folder, or, where the model file itself is a link, in the folder it points into (so do the
caches of model hubs lay out their files).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import onnx

from lba_onnx.errors import ModelError

COPY_BLOCK_BYTES = 1 << 22
ALIGNMENT_BYTES = 4096

_BITS = {
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("UINT2", "INT2"), 2),
    "FLOAT8E8M0": 8,
    "COMPLEX128": 128,
}
_BITS_BY_TYPE = {value: _BITS[name] for name, value in onnx.TensorProto.DataType.items() if name in _BITS}


@dataclass(frozen=True)
class DataRange:
    """Where in which file a tensor's values lie."""

    path: Path
    offset: int
    size_bytes: int


def is_external(tensor: onnx.TensorProto) -> bool:
    """Tell whether a tensor's values lie in a file of their own, and have not been loaded."""
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def location(tensor: onnx.TensorProto) -> str:
    """Return the file that an external tensor's values lie in, as the model tells it; "" where it does not."""
    return next((str(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def iterate_tensors(model: onnx.ModelProto) -> Iterator[tuple[onnx.TensorProto, bool]]:
    """Yield each dense tensor, in graphs, subgraphs and functions, and whether it is a node's attribute."""
    bodies: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    while bodies:
        body = bodies.pop()
        if isinstance(body, onnx.GraphProto):
            yield from ((tensor, False) for tensor in body.initializer)
        for node in body.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t, True
                yield from ((tensor, True) for tensor in attribute.tensors)
                bodies.extend(attribute.graphs)
                if attribute.HasField("g"):
                    bodies.append(attribute.g)


def expected_bytes(tensor: onnx.TensorProto) -> int | None:
    """Return how many bytes a tensor's values take, or None where its type does not say.

    Raises:
        ModelError: A dimension is negative.
    """
    elements = 1
    for size in tensor.dims:
        if size < 0:
            raise ModelError(f"tensor {tensor.name!r}: expected dimensions of at least 0, got {list(tensor.dims)}")
        elements *= size
    bits = _BITS_BY_TYPE.get(tensor.data_type)
    return None if bits is None else (elements * bits + 7) // 8


def locate(tensor: onnx.TensorProto, model_path: Path) -> DataRange:
    """Return where an external tensor's values lie.

    Args:
        tensor: A tensor with external data.
        model_path: The model's file, whether it exists yet or not.

    Raises:
        ModelError: The location is unsafe or no such file, or the file is too short for the tensor.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = _resolve(tensor.name, entries.get("location", ""), model_path)
    offset = _number(tensor.name, entries, "offset", 0)
    expected = expected_bytes(tensor)
    rest = path.stat().st_size - offset
    size_bytes = _number(tensor.name, entries, "length", rest if expected is None else expected)
    if expected is not None and size_bytes != expected:
        raise ModelError(f"tensor {tensor.name!r}: expected {expected} bytes of external data, got {size_bytes}")
    if size_bytes > rest:
        raise ModelError(
            f"tensor {tensor.name!r}: expected {size_bytes} bytes at offset {offset} of {path}, got {max(rest, 0)}"
        )
    return DataRange(path, offset, size_bytes)


def _resolve(tensor: str, location: str, model_path: Path) -> Path:
    relative = Path(location)
    if not location or relative.is_absolute() or ".." in relative.parts or "\0" in location:
        raise ModelError(
            f"tensor {tensor!r}: expected external data at a path inside the model's folder, got {location!r}"
        )
    folder = model_path.parent
    path = folder / relative
    if not path.is_file():
        raise ModelError(f"tensor {tensor!r}: expected external data in {path}, but there is no such file")
    allowed = {folder.resolve(), model_path.resolve().parent}
    if not any(path.resolve().is_relative_to(root) for root in allowed):
        raise ModelError(
            f"tensor {tensor!r}: expected external data inside {folder}, got {location!r}, a link to {path.resolve()}"
        )
    return path


def _number(tensor: str, entries: dict[str, str], key: str, default: int) -> int:
    text = entries.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(f"tensor {tensor!r}: expected a number of bytes as external data's {key}, got {text!r}")
    return int(text)


def load_tensor(tensor: onnx.TensorProto, source: DataRange) -> None:
    """Read a tensor's values from its file into the tensor."""
    with source.path.open("rb") as file:
        file.seek(source.offset)
        values = file.read(source.size_bytes)
    del tensor.external_data[:]
    tensor.ClearField("data_location")
    tensor.raw_data = values


class HashingFile:
    """A file written from its beginning to its end, and the hash of what it holds.

    Attributes:
        size_bytes: What has been written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size_bytes = 0
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, content: bytes) -> None:
        """Write at the end."""
        self._file.write(content)
        self._hash.update(content)
        self.size_bytes += len(content)

    def hexdigest(self) -> str:
        """Return the SHA-256 of all that has been written."""
        return self._hash.hexdigest()


def append_tensor(tensor: onnx.TensorProto, source: DataRange | None, file: HashingFile) -> tuple[int, int]:
    """Append a tensor's values to a file.

    Args:
        tensor: The tensor; its values are inline if `source` is None.
        source: Where its values lie otherwise; they pass through memory in blocks.
        file: Where to write.

    Returns:
        Offset and number of bytes written.
    """
    file.write(bytes(-file.size_bytes % ALIGNMENT_BYTES))
    offset = file.size_bytes
    if source is not None:
        _copy_range(source, file)
        return offset, source.size_bytes
    values = raw_values(tensor)
    file.write(values)
    return offset, len(values)


def raw_values(tensor: onnx.TensorProto) -> bytes:
    """Return an inline tensor's values as ONNX stores them raw: little-endian, sub-byte types packed."""
    if tensor.HasField("raw_data"):
        return bytes(tensor.raw_data)
    array = onnx.numpy_helper.to_array(tensor)
    return bytes(onnx.numpy_helper.from_array(array).raw_data)


def refer_to(tensor: onnx.TensorProto, location: str, offset: int, size_bytes: int) -> None:
    """Make a tensor without values refer to a range of a file."""
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(size_bytes))):
        tensor.external_data.add(key=key, value=value)


def read_range(source: DataRange) -> Iterator[bytes]:
    """Yield what a range of a file holds, block by block.

    Raises:
        ModelError: The file ends before the range does.
    """
    remaining = source.size_bytes
    with source.path.open("rb") as file:
        file.seek(source.offset)
        while remaining:
            block = file.read(min(remaining, COPY_BLOCK_BYTES))
            if not block:
                raise ModelError(f"{source.path} was cut short while it was read")
            yield block
            remaining -= len(block)


def _copy_range(source: DataRange, target: HashingFile) -> None:
    for block in read_range(source):
        target.write(block)
