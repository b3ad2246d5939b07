"""Files written whole or not at all: under a temporary name beside the old one, which stays until the new one is whole.

A link is replaced by a file; what it leads to stays as it is.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lba_onnx.files.leftovers import clear_leftovers
from lba_onnx.files.temporary import is_temporary, temporary_file


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the name `path` when the block ends, and goes when it fails.

    Raises:
        OSError: The file cannot be written; the message names it.
    """
    if path.exists() and not path.is_file():  # a device, too, would be replaced by a file
        raise OSError(errno.EINVAL, "expected a file to write, got a folder or a device", str(path))
    clear_leftovers(path.parent)
    with naming(path), temporary_file(path.parent) as temporary:
        with temporary.open() as file:
            yield file
        os.replace(temporary.path, path)


def append(path: Path, text: str) -> None:
    """Write at the end of a file, which need not exist.

    Raises:
        OSError: The file cannot be written; the message names it.
    """
    with naming(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of a file without a name, or of a temporary one, name the file that was to be written."""
    try:
        yield
    except OSError as error:
        if error.filename is None or is_temporary(Path(str(error.filename)).name):
            error.filename, error.filename2 = str(path), None
        raise
