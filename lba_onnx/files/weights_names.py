"""Weights files: names that are only ever ours, and the models beside them that still need them.

    model.onnx.lba-0f343b0931126a20f133d67c2b018a3b.data        32 digits of the SHA-256 of what it holds

Equal weights share a file, and a file never changes. It goes when the last model that mentions it goes, unless that is
in another folder.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lba_onnx.files.temporary import remove, temporary_file

RECORD_SUFFIX = ".names"
"""Of the temporary file that names the weights files to look after, should this process be killed."""

_NAME = re.compile(r".+\.lba-[0-9a-f]{32}\.data", re.DOTALL)
_MODEL_SUFFIXES = (".onnx", ".ort", ".json", ".onnxjson", ".onnxtxt", ".pbtxt", ".prototxt", ".textproto")
_MODEL_START = b"\x08"  # of every ModelProto: the tag of ir_version
_BLOCK_BYTES = 1 << 22


def weights_name(model_name: str, sha256: str) -> str:
    """Return the name of the weights file of a model's file."""
    return f"{model_name}.lba-{sha256[:32]}.data"


def is_weights_name(name: str) -> bool:
    """Tell whether a name is one of those that are given here."""
    return _NAME.fullmatch(name) is not None and Path(name).name == name


@contextmanager
def looking_after(folder: Path, names: Iterable[str], ignored: Path) -> Iterator[None]:
    """Remove, when the block ends, those weights files that no model needs then.

    Should this process be killed, the next run in the folder does. The caller has locked the folder.

    Args:
        folder: Where they lie.
        names: Weights files that the block writes, and those of a model that it replaces.
        ignored: A file in the folder that needs none.
    """
    ours = sorted({name for name in names if is_weights_name(name)})
    if not ours:
        yield
        return
    with temporary_file(folder, RECORD_SUFFIX, is_left=True) as record:
        try:
            with record.open() as file:
                file.write(json.dumps(ours).encode())
            yield
        finally:
            try:
                _finish(folder, ours, ignored, record.path)
            except KeyboardInterrupt:  # once more, before it goes on its way; a second one leaves it to the next run
                _finish(folder, ours, ignored, record.path)
                raise


def _finish(folder: Path, names: Iterable[str], ignored: Path, record: Path) -> None:
    remove_unneeded(folder, names, ignored)
    remove(record)


def weights_files(folder: Path) -> set[str]:
    """Return the names of the weights files in a folder; none where it cannot be looked at."""
    try:
        return {name for name in os.listdir(folder) if is_weights_name(name)}
    except OSError:
        return set()


def read_record(path: Path) -> list[str]:
    """Return the names in a record; none where it was cut short, since nothing was done yet."""
    try:
        names = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def remove_unneeded(folder: Path, names: Iterable[str], ignored: Path | None = None) -> None:
    """Remove those of the weights files that no model in the folder mentions; the folder is locked."""
    present = [name for name in names if is_weights_name(name) and (folder / name).is_file()]
    for name in set(present) - _mentioned(folder, present, ignored):
        remove(folder / name)


def _mentioned(folder: Path, names: Iterable[str], ignored: Path | None) -> set[str]:
    """Return the names that stand in models of a folder; a file that cannot be read may hold any of them."""
    left = set(names)
    if not left:
        return set()
    try:
        files = [Path(entry) for entry in os.scandir(folder) if entry.is_file() and not is_weights_name(entry.name)]
    except OSError:
        return left
    return {name for path in files if path != ignored for name in names_in(path, left)}


def names_in(path: Path, names: set[str]) -> set[str]:
    """Return which names stand in a file, where that is a model's; all of them where it cannot be read."""
    try:
        with path.open("rb") as file:
            if file.read(1) != _MODEL_START and path.suffix.lower() not in _MODEL_SUFFIXES:
                return set()
            return {name for name in names if _holds(file, os.fsencode(name))}
    except FileNotFoundError:  # gone since the folder was looked at
        return set()
    except OSError:
        return names


def _holds(file: BinaryIO, text: bytes) -> bool:
    file.seek(0)
    seen = b""
    while block := file.read(_BLOCK_BYTES):
        seen = seen[-len(text) :] + block
        if text in seen:
            return True
    return False
