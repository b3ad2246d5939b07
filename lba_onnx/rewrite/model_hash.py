"""The hash by which results and what an unfinished run has left know a model again."""

import hashlib
from collections.abc import Iterator

import onnx

from lba_onnx.rewrite.external_data import DataRange, is_external, iterate_tensors, read_range
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, locate, open_model

_DIGITS = 12


def model_hash(model: ModelSource) -> str:
    """Return the SHA-256 of a model, wherever its weights are stored.

    It is of the bytes of its ModelProto without raw values of tensors, then of these values, tensor by tensor.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The model cannot be read, or refers to external data without being a path.
        TypeError: `model` is no path, bytes or ModelProto.
    """
    opened = open_model(model)
    values = [_take_values(tensor, opened) for tensor, _ in iterate_tensors(opened.proto)]
    digest = hashlib.sha256(opened.proto.SerializeToString(deterministic=True))
    for taken in values:
        for block in _blocks(taken):
            digest.update(block)
    return digest.hexdigest()


def short_hash(sha256: str) -> str:
    """Return as much of a hash as people compare."""
    return f"{sha256[:_DIGITS]}..."


def _take_values(tensor: onnx.TensorProto, opened: OpenModel) -> DataRange | bytes:
    """Return the raw values of a tensor, or where they lie; leave it without them."""
    taken = locate(tensor, opened.path) if is_external(tensor) else tensor.raw_data
    for field in ("raw_data", "external_data", "data_location"):
        tensor.ClearField(field)
    return taken


def _blocks(values: DataRange | bytes) -> Iterator[bytes]:
    return iter((values,)) if isinstance(values, bytes) else read_range(values)
