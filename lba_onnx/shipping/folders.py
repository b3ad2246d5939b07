"""Folders written whole or not at all, and the files in them."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lba_onnx.errors import OutputError
from lba_onnx.files.leftovers import clear_leftovers
from lba_onnx.files.temporary import temporary_folder


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `path` when the block ends, and goes when it fails.

    Raises:
        OSError: The folder cannot be written.
        OutputError: There is something of that name, other than an empty folder.
    """
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise OutputError(f"{path}: expected a folder to make, got something that exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path.parent)
    with temporary_folder(path.parent) as scratch:
        folder = scratch / "new"
        folder.mkdir()
        yield folder
        os.replace(folder, path)


def copy_into(source: Path, folder: Path) -> Path:
    """Copy a file into a folder, made where it is missing, under its own name.

    Raises:
        OutputError: The folder has a file of that name.
    """
    target = folder / source.name
    if target.exists():
        raise OutputError(f"{source}: expected files of different names, got {source.name!r} twice")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return target


def files_in(folder: Path) -> Iterator[str]:
    """Yield the files at any depth, and links as files, as paths inside the folder with slashes, in order."""
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        folders.sort()
        for name in sorted([*names, *links]):
            yield (Path(parent) / name).relative_to(folder).as_posix()
