"""Temporary files and folders: known by their names, and locked by whoever writes them.

    .lba_onnx-0123456789abcdef.tmp      a file, or a folder, whose lock is a file of its own:
    .lba_onnx-0123456789abcdef.lock

They go when their block ends, however it ends. A process that is killed at once leaves its own behind; the system
then lets go of their locks, which is how the next run in the folder tells them from those of a run that goes on. Where
a file system has no locks, nothing can be told, and nothing is cleared away.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".tmp"
_LOCK_SUFFIX = ".lock"
_NAME = re.compile(r"\.lba_onnx-[0-9a-f]{16}\.[a-z]+")


@dataclass(frozen=True)
class TemporaryFile:
    """A file that goes with its block, unless it has been renamed.

    Attributes:
        path: Where it is.
    """

    path: Path
    _descriptor: int

    def open(self) -> BinaryIO:
        """Open the file for writing. To close what is returned shows the last errors, and keeps the lock."""
        return os.fdopen(os.dup(self._descriptor), "wb")


@contextmanager
def temporary_file(folder: Path, suffix: str = _SUFFIX, *, is_left: bool = False) -> Iterator[TemporaryFile]:
    """Yield a new, locked file in a folder.

    Args:
        folder: Where it lies.
        suffix: What its name ends in.
        is_left: Whether the file is a leftover when the block ends, unless it has been removed.
    """
    while True:
        path = folder / f".lba_onnx-{secrets.token_hex(8)}{suffix}"
        descriptor, stays = -1, False
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            if _holds(descriptor, path):
                stays = is_left
                yield TemporaryFile(path, descriptor)
                return
        finally:
            if not stays:
                remove(path)
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield a new, locked folder in a folder; nobody else may look into it."""
    with temporary_file(folder, _LOCK_SUFFIX) as lock:
        path = lock.path.with_suffix(_SUFFIX)
        try:
            path.mkdir(0o700)
            yield path
        finally:
            remove(path)


def is_temporary(name: str) -> bool:
    """Tell whether a name is one of those that are given here."""
    return _NAME.fullmatch(name) is not None


def take_leftovers(folder: Path) -> Iterator[Path]:
    """Yield the files that dead processes of this user have left in a folder.

    Each is locked while the caller deals with it. Folders go with their locks.
    """
    try:
        found = sorted(Path(folder, name) for name in os.listdir(folder) if is_temporary(name))
    except OSError:
        return
    for path in found:
        with _taken(path) as is_dead:
            if is_dead:
                yield path


def remove_leftover(path: Path) -> None:
    """Remove what a dead process has left, a folder before its lock."""
    folder = path.with_suffix(_SUFFIX)
    if path.suffix == _LOCK_SUFFIX:
        remove(folder)
    if path.suffix != _LOCK_SUFFIX or not os.path.lexists(folder):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what is not there, or cannot be removed, stays."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other runs from a folder's weights files while the block runs; yields False where there are no locks."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX) or False
    finally:
        os.close(descriptor)


def _holds(descriptor: int, path: Path) -> bool:
    """Lock a new file; tell whether it is still there, and not taken for a leftover before it was locked."""
    if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is False:
        return False
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Lock what may be a leftover; yields whether its owner is dead."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        yield False
        return
    try:
        is_own = os.fstat(descriptor).st_uid == os.geteuid()
        yield is_own and _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) is True
    finally:
        os.close(descriptor)


def _lock(descriptor: int, operation: int) -> bool | None:
    """Lock an open file; False where somebody else has locked it, None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
