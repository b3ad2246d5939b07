"""Memory that the C library keeps after it has been freed."""

import ctypes
import sys


def give_back_freed() -> None:
    """Give freed memory back to the operating system where glibc would keep it: pieces between others."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))
