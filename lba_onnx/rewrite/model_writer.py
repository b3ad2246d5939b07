"""Models written to files, all of it or nothing, without holding weights twice.

Everything goes into temporary files in the target's folder first. Weights then take a name that says what they are, and
that no file of somebody else's has; the model takes its own name last. So whatever stops the process, the target is a
whole model, the old one or the new one, with its own weights.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from lba_onnx.errors import ModelError, OutputError
from lba_onnx.files.atomic import naming
from lba_onnx.files.hashes import file_hash
from lba_onnx.files.leftovers import clear_leftovers, scratch_folder
from lba_onnx.files.outputs import Input, check_outputs
from lba_onnx.files.temporary import locked, temporary_file
from lba_onnx.files.weights_names import looking_after, names_in, weights_files, weights_name
from lba_onnx.rewrite import external_data, model_files
from lba_onnx.rewrite.external_data import DataRange, HashingFile, is_external
from lba_onnx.rewrite.model_file import ModelFile
from lba_onnx.rewrite.model_files import OpenModel, external_tensors, locate
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.outline import copy_outline, describe

_SPARE_BYTES = 1 << 26  # what a model needs beside its weights
EXTERNAL_MIN_BYTES = 1024
"""Initializers of fewer bytes stay in the model, as they do with onnx.save_model."""


def save_model(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    *,
    source_path: str | os.PathLike[str] | None = None,
) -> onnx.ModelProto:
    """Write a model, all of it or nothing.

    Args:
        model: The model; it is not changed.
        path: The file to write; a `ModelFile` says where the weights go. External data goes into a file beside it,
            `<path>.lba-<hash>.data`, which is never written over; the one of a model that was there goes, unless
            another model in the folder refers to it.
        source_path: The file that the model's external data lies beside; by default `path`.

    Returns:
        The model as it was written: `model` itself, or a copy whose large tensors refer to the external data.

    Raises:
        FileNotFoundError: The target's folder does not exist.
        ModelError: One file is asked for that would exceed protobuf's 2 GB, or external data is missing or unsafe.
        OSError: A file cannot be written; the message names it.
        OutputError: The file holds external data of the model, or the name of its weights is taken.
    """
    target, with_data = Path(path), ModelFile.of(path).use_external_data_format
    with_data = True if with_data is None and not _fits_one_file(model) else with_data
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {target}: expected the folder {target.parent} to exist")
    if target.exists() and not target.is_file():  # a device, too, would be replaced by a file
        raise ModelError(f"cannot write {target}: expected a file name, got a folder or a device")
    source = Path(source_path) if source_path is not None else target
    sources = [(tensor, locate(tensor, source)) for tensor in external_tensors(model)]
    check_outputs({"model": target}, (Input("model's external data", data.path) for _, data in sources))
    clear_leftovers(target.parent)
    if with_data or (with_data is None and _lie_elsewhere(sources, target)):
        min_bytes = EXTERNAL_MIN_BYTES if with_data else None
        return _write_with_data(model, source, target, min_bytes)
    written = _with_loaded_data(model, source) if sources and with_data is False else model
    _write_model(_serialize(written, target), target, None)
    return written


@contextmanager
def runnable(opened: OpenModel) -> Iterator[onnx.ModelProto | Path]:
    """Yield what a session can be made of: the model, or a temporary file beside which its external data lies."""
    if next(external_tensors(opened.proto), None) is None:
        yield opened.proto
        return
    with scratch_beside(opened) as folder:
        path = folder / "model.onnx"
        save_model(opened.proto, path, source_path=opened.path)
        yield path


@contextmanager
def scratch_beside(opened: OpenModel) -> Iterator[Path]:
    """Yield a temporary folder for variants of a model: what they have of its external data is not copied for them.

    The data have other links there; on another file system, the first variant to be saved gets a copy.
    """
    with scratch_folder() as folder:
        for tensor in external_tensors(opened.proto):
            data, own = locate(tensor, opened.path), folder / external_data.location(tensor)
            if own.exists():
                continue
            own.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                os.link(data.path.resolve(), own)
        yield folder


def _fits_one_file(model: onnx.ModelProto) -> bool:
    """Tell whether initializers that the model itself holds leave room for the rest; packed weights may be new ones."""
    held = (external_data.expected_bytes(tensor) or 0 for tensor in model.graph.initializer if not is_external(tensor))
    return sum(held) + _SPARE_BYTES < model_files.MAX_PROTOBUF_BYTES


def _lie_elsewhere(sources: list[tuple[onnx.TensorProto, DataRange]], target: Path) -> bool:
    """Tell whether some data would not be found, as a file of its own, beside the target."""
    for tensor, data in sources:
        beside = target.parent / external_data.location(tensor)
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


@dataclass(frozen=True)
class _Weights:
    """A file of weights that is complete, and the name that it is to have."""

    path: Path
    name: str
    sha256: str


def _write_with_data(model: onnx.ModelProto, source: Path, target: Path, min_bytes: int | None) -> onnx.ModelProto:
    """Write a model and a file with its weights: what is external already, and initializers from min_bytes on."""
    ranges: dict[DataRange, tuple[int, int]] = {}  # tensors may share their values
    moved: list[tuple[onnx.TensorProto, tuple[int, int]]] = []
    with naming(target), temporary_file(target.parent) as temporary:
        with temporary.open() as file:
            data_file = HashingFile(file)

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
                moved.append((copy, written))

            outline = copy_outline(model, place)
        sha256 = data_file.hexdigest()
        weights = _Weights(temporary.path, weights_name(target.name, sha256), sha256)
        for copy, written in moved:
            external_data.refer_to(copy, weights.name, *written)
        _write_model(_serialize(outline, target), target, weights if moved else None)
    return outline


def _write_model(serialized: bytes, target: Path, weights: _Weights | None) -> None:
    with naming(target), temporary_file(target.parent) as temporary:
        with temporary.open() as file:
            file.write(serialized)
        with _locked_weights(target, weights, temporary.path):
            if weights:
                _publish(weights, target.with_name(weights.name))
            os.replace(temporary.path, target)


@contextmanager
def _locked_weights(target: Path, weights: _Weights | None, model: Path) -> Iterator[None]:
    """Keep the weights of the model that is in the target's place when the block ends, and no others of the two."""
    with locked(target.parent) as is_locked:
        names = _old_weights(target) if is_locked else set()
        if weights and is_locked and not os.path.lexists(target.with_name(weights.name)):
            names.add(weights.name)
        with looking_after(target.parent, names, ignored=model):
            yield


def _publish(weights: _Weights, path: Path) -> None:
    """Give a file of weights its name; one that is there already stays, as it holds the same."""
    if not os.path.lexists(path):
        os.replace(weights.path, path)
    elif not path.is_file() or file_hash(path) != weights.sha256:
        raise OutputError(f"{path}: expected the weights that its name stands for, got something else; remove it")


def _old_weights(target: Path) -> set[str]:
    """Return the weights files of ours that a model in the target's place refers to."""
    if target.is_symlink():  # what it leads to stays
        return set()
    found = names_in(target, weights_files(target.parent))
    return found & {read.path.name for read in model_inputs(target)} if found else found


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
    return f"{what}: more than the 2 GB that fit into one file; use_external_data_format=True writes weights beside it"
