"""Accumulators as a library knows them: made from the text of a spec, kept for the next call."""

import ctypes
import functools
import weakref
from collections.abc import Callable
from typing import Any

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.native.library import check, load_library

MOST_KEPT = 64
"""Handles that each library keeps, the last used ones."""


class Handle:
    """An LbaAccumulator, as functions of its library take it; released with the last who holds it."""

    def __init__(
        self, text: str, create: Callable[..., int], release: Callable[..., Any], check: Callable[[int], None]
    ) -> None:
        """Make it.

        Raises:
            ValueError: The text names no accumulator that the library knows.
        """
        pointer = ctypes.c_void_p()
        check(create(text.encode(), pointer))
        self._as_parameter_ = pointer
        weakref.finalize(self, release, pointer).atexit = False


def accumulator_handle(spec: Accumulator | str) -> Handle:
    """Return the library's form of a spec, or of its text.

    Raises:
        ValueError: The library knows no such accumulator.
    """
    return _handle(str(as_spec(spec)), load_library())


@functools.lru_cache(MOST_KEPT)
def _handle(text: str, library: ctypes.CDLL) -> Handle:
    return Handle(text, library.lba_accumulator_create, library.lba_accumulator_release, check)
