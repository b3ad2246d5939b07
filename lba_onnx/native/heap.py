"""Memory that is kept although nobody needs it: objects in cycles, and what the C library keeps of freed memory."""

import ctypes
import gc
import sys

_WORTH_LOOKING_FOR = 16 << 20  # bytes; looking through all objects of a process takes a tenth of a second and more


def give_back_freed() -> None:
    """Give freed memory back to the operating system where glibc would keep it: pieces between others."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(ctypes.c_size_t(0))


def give_back_garbage(model_bytes: int) -> None:
    """Give back what cycles hold, too, of large models: onnx-graphsurgeon's graphs are some, and hold their model."""
    if model_bytes >= _WORTH_LOOKING_FOR:
        gc.collect()
    give_back_freed()
