"""The hash by which results and what an unfinished run has left know a model again."""

import hashlib

from lba_onnx.rewrite.external_data import read_range
from lba_onnx.rewrite.model_files import ModelSource, external_tensors, locate, open_model


def model_hash(model: ModelSource) -> str:
    """Return the SHA-256 of a model: of the bytes of its ModelProto, then of each tensor in external data.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The model cannot be read, or refers to external data without being a path.
        TypeError: `model` is no path, bytes or ModelProto.
    """
    opened = open_model(model)
    digest = hashlib.sha256(opened.proto.SerializeToString(deterministic=True))
    for tensor in external_tensors(opened.proto):
        for block in read_range(locate(tensor, opened.path)):
            digest.update(block)
    return digest.hexdigest()
