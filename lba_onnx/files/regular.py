"""Refuses what opens like a file and is none: a FIFO would be waited for, a device never end."""

import os
import stat
from pathlib import Path

from lba_onnx.errors import LbaError

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


def check_regular(path: str | os.PathLike[str], error_type: type[LbaError]) -> None:
    """Refuse to read anything but a regular file, or a link to one; a missing file is left to whoever opens it.

    Raises:
        LbaError: Of the given type.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # ValueError: a null character in the path
        return
    if not stat.S_ISREG(mode):
        raise error_type(f"{path}: expected a file, got {_KINDS.get(stat.S_IFMT(mode), 'a device')}")
