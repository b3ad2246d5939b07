"""Models as they travel to other processes: whole, as bytes, or, where they are too large for that, as a path."""

import logging
import os
from pathlib import Path

from lba_onnx.errors import ModelError
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.rewrite.model_files import MAX_PROTOBUF_BYTES, ModelSource, external_bytes, load_data, open_model
from lba_onnx.rewrite.selection import Selection

_LOG = logging.getLogger(__name__)

_SPARE_BYTES = 1 << 26  # what a model needs beside its weights

Packed = bytes | str
"""The bytes of a model's file, or the absolute path of a model of which each process reads its own share."""


def pack(model: ModelSource, max_bytes: int = MAX_PROTOBUF_BYTES - _SPARE_BYTES) -> Packed:
    """Return a model in a form that other processes can take.

    Args:
        model: A path, the bytes of a file, or a ModelProto.
        max_bytes: Weights in external data up to this size travel with the model; a model with more stays where it is,
            and every process has to see it under the same path.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The model cannot be read, or refers to external data without being a path.
        TypeError: `model` is none of these.
    """
    opened = open_model(model)
    if opened.path is not None and external_bytes(opened) > max_bytes:
        path = os.path.abspath(opened.path)
        _LOG.info("%s is too large to be sent: every worker has to see it under this path", path)
        return path
    load_data(opened)
    serialized: bytes = opened.proto.SerializeToString()
    return serialized


def convert_packed(
    model: Packed, spec: Specs, selection: Selection, folder: Path, *, bias_start: bool = False
) -> bytes | Path:
    """Convert a packed model; what does not fit into bytes goes to a file in `folder`.

    Raises:
        FileNotFoundError: The model's file is missing, on this machine.
        ModelError: The model cannot be converted, or has no node that can.
    """
    path = folder / "model.onnx" if isinstance(model, str) else None
    converted, report = convert_quietly(model, spec, selection=selection, bias_start=bias_start, model_output=path)
    if not report.converted:
        raise ModelError(f"expected at least one MatMul, Gemm or Conv to convert, got none: {report.summary()}")
    if path is not None:
        return path
    serialized: bytes = converted.SerializeToString()
    return serialized
