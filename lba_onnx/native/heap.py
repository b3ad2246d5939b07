"""Memory that is kept although nobody needs it: objects in cycles, and what the C library keeps of freed memory."""

import ctypes
import gc
import sys


def give_back_freed() -> None:
    """Give freed memory back to the operating system where glibc would keep it: pieces between others."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))


def give_back_garbage() -> None:
    """Give back what cycles hold, too: onnx-graphsurgeon's graphs are some, and hold the model that they came from."""
    gc.collect()
    give_back_freed()
