"""Standard streams that nobody reads: closed before the start, or by a reader that has had enough."""

import os
import sys


def open_closed_streams() -> None:
    """Open what the process was started without; files opened later would take its place, and get what is printed.

    Python has None for a stream that is closed.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            _open_null(descriptor)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))


def finish_output() -> None:
    """Print what waits to be printed, or let it go: the end of the process would complain about it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _open_null(stream.fileno())


def _open_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
