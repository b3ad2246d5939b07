"""Models written to files, all of it or nothing, without holding weights twice.

Everything goes into temporary files in the target's folder first, which then take the final names, external data
before the model; a failure leaves nothing behind.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import onnx
from google.protobuf.message import EncodeError

from lba_onnx.errors import ModelError
from lba_onnx.rewrite import external_data, model_files
from lba_onnx.rewrite.external_data import DataRange, is_external
from lba_onnx.rewrite.model_files import OpenModel, external_tensors, locate
from lba_onnx.rewrite.outline import copy_outline, describe

EXTERNAL_MIN_BYTES = 1024
"""Initializers of fewer bytes stay in the model, as they do with onnx.save_model."""


def save_model(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    use_external_data_format: bool | None = None,
    source_path: str | os.PathLike[str] | None = None,
) -> onnx.ModelProto:
    """Write a model, all of it or nothing.

    Args:
        model: The model; it is not changed.
        path: The file to write. External data goes into `<path>.data`.
        use_external_data_format: True: initializers of 1024 bytes and more become external data. False: everything
            goes into the one file. None: tensors stay as they are; external data in the same folder is referred to
            where it lies, external data elsewhere is copied.
        source_path: The file that the model's external data lies beside; by default `path`.

    Returns:
        The model as it was written: `model` itself, or a copy whose large tensors refer to the external data.

    Raises:
        FileNotFoundError: The target's folder does not exist.
        ModelError: The file would exceed protobuf's 2 GB, or external data is missing or unsafe.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: expected the folder {target.parent} to exist")
    if target.exists() and not target.is_file():  # a device, too, would be replaced by a file
        raise ModelError(f"cannot write {target}: expected a file name, got a folder or a device")
    source = Path(source_path) if source_path is not None else target
    sources = [(tensor, locate(tensor, source)) for tensor in external_tensors(model)]
    if use_external_data_format or (use_external_data_format is None and _lie_elsewhere(sources, target)):
        min_bytes = EXTERNAL_MIN_BYTES if use_external_data_format else None
        return _write_with_data(model, source, target, min_bytes)
    written = _with_loaded_data(model, source) if sources and use_external_data_format is False else model
    with _replacing(target) as file:
        file.write(_serialize(written, target))
    return written


@contextmanager
def runnable(opened: OpenModel) -> Iterator[onnx.ModelProto | Path]:
    """Yield what a session can be made of: the model, or a temporary file beside which its external data lies."""
    if next(external_tensors(opened.proto), None) is None:
        yield opened.proto
        return
    with tempfile.TemporaryDirectory(prefix="lba_onnx-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(opened.proto, path, use_external_data_format=True, source_path=opened.path)
        yield path


def _lie_elsewhere(sources: list[tuple[onnx.TensorProto, DataRange]], target: Path) -> bool:
    """Tell whether some data would not be found, as a file of its own, beside the target."""
    for tensor, data in sources:
        beside = target.parent / next(entry.value for entry in tensor.external_data if entry.key == "location")
        if beside.is_symlink() or not beside.exists() or not beside.samefile(data.path):
            return True
    return False


def _with_loaded_data(model: onnx.ModelProto, source: Path) -> onnx.ModelProto:
    def place(tensor: onnx.TensorProto, target: onnx.TensorProto, is_attribute: bool) -> None:
        target.CopyFrom(tensor)
        if is_external(tensor):
            external_data.load_tensor(target, locate(tensor, source))

    total_bytes = sum(locate(tensor, source).size_bytes for tensor in external_tensors(model))
    if total_bytes > model_files.MAX_PROTOBUF_BYTES:
        raise ModelError(_too_large(f"{total_bytes} bytes of weights"))
    return copy_outline(model, place)


def _write_with_data(model: onnx.ModelProto, source: Path, target: Path, min_bytes: int | None) -> onnx.ModelProto:
    """Write a model and `<target>.data`, with what is external already, and initializers from min_bytes on."""
    location = f"{target.name}.data"
    with _replacing(target) as model_file, _replacing(target.with_name(location)) as data_file:
        ranges: dict[DataRange, tuple[int, int]] = {}  # tensors may share their values

        def place(tensor: onnx.TensorProto, copy: onnx.TensorProto, is_attribute: bool) -> None:
            data = locate(tensor, source) if is_external(tensor) else None
            if data is None and (is_attribute or not _is_large(tensor, min_bytes)):
                copy.CopyFrom(tensor)
                return
            written = ranges.get(data) if data else None
            if written is None:
                written = external_data.append_tensor(tensor, data, data_file)
            if data:
                ranges[data] = written
            describe(tensor, copy)
            external_data.refer_to(copy, location, *written)

        outline = copy_outline(model, place)
        model_file.write(_serialize(outline, target))
    return outline


def _is_large(tensor: onnx.TensorProto, min_bytes: int | None) -> bool:
    size_bytes = external_data.expected_bytes(tensor)
    return min_bytes is not None and size_bytes is not None and size_bytes >= min_bytes


def _serialize(model: onnx.ModelProto, target: Path) -> bytes:
    try:
        serialized = model.SerializeToString()
    except (EncodeError, ValueError):
        raise ModelError(_too_large(str(target))) from None
    if len(serialized) > model_files.MAX_PROTOBUF_BYTES:
        raise ModelError(_too_large(str(target)))
    return bytes(serialized)


def _too_large(what: str) -> str:
    return f"{what}: more than the 2 GB that fit into one file; pass use_external_data_format=True"


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the name `path` when the block ends, and goes when it fails."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
