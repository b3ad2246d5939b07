"""How many threads a call uses."""

import os

from lba_onnx.integers import as_count

_MOST_THREADS = 2**31 - 1  # the entry points take an int32


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count(threads: int | None) -> int:
    """Return the number of threads asked for; one per processor that this process may use for None.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below 1, or more than an int32 holds.
    """
    return processors() if threads is None else as_count("threads", threads, most=_MOST_THREADS)
