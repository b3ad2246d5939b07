"""Standard output is for results: what a C library prints there goes to standard error."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STDOUT, _STDERR = 1, 2


@contextmanager
def kept_for_results() -> Iterator[None]:
    """Send what this process prints meanwhile to standard error, from C, too; it must print no results then."""
    try:
        kept = os.dup(_STDOUT)
    except OSError:  # it is closed
        yield
        return
    _flush()
    try:
        os.dup2(_STDERR, _STDOUT)
        yield
        _flush()
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)


def _flush() -> None:
    """Print what C, and Python, have not printed yet."""
    sys.stdout.flush()
    ctypes.CDLL("ucrtbase" if sys.platform == "win32" else None).fflush(None)
