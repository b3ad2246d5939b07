"""The files that a model is read from: its own, and those that hold its weights."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from lba_onnx.files.outputs import Input
from lba_onnx.rewrite.external_data import is_external, iterate_tensors


def model_inputs(source: Any, role: str = "model") -> Iterator[Input]:
    """Yield the files of a model, wherever they lie.

    Args:
        source: A path; anything else has no files. What cannot be read as a model has only its own: whoever opens it
            says what is wrong.
        role: What the model is, for messages.
    """
    if not isinstance(source, (str, os.PathLike)):
        return
    path = Path(source)
    yield Input(role, path)
    for location in sorted(_locations(path)):
        yield Input(f"{role}'s external data", path.parent / location)


def spec_inputs(spec: Any) -> Iterator[Input]:
    """Yield the file of what `convert` takes as its spec, where that is the path of one."""
    if isinstance(spec, (str, os.PathLike)) and Path(spec).is_file():
        yield Input("calibration", Path(spec))


def _locations(path: Path) -> set[str]:
    model = onnx.ModelProto()
    try:
        if path.is_file():
            model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError):
        return set()
    tensors = (tensor for tensor, _ in iterate_tensors(model) if is_external(tensor))
    found = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return {location for location in found if location and "\0" not in location}
