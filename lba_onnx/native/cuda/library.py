"""The CUDA library as ctypes sees it: structures, entry points, errors (custom_ops/include/lba/cuda_api.h)."""

import ctypes
import functools
import os
import sys
from pathlib import Path

from lba_onnx.errors import LibraryError
from lba_onnx.native.accumulators import MOST_KEPT, Handle
from lba_onnx.native.library import CONV_FIELDS, StatisticsStruct, library_path, raise_for, version

CUDA_LIBRARY_NAME = {"win32": "liblba_ops_cuda.dll"}.get(sys.platform, "liblba_ops_cuda.so")
CUDA_LIBRARY_VARIABLE = "LBA_ONNX_CUDA_LIBRARY"
BATCH_RANK = 8
MAX_SIZE = 2**31 - 1  # of one dimension
ELEMENT_TYPES = ("float32", "float16")
KERNELS = ("fused", "fused_saturate", "exact_products", "truncate", "truncate_saturate", "saturate", "exact")

_PACKAGE = "lba_onnx_cuda"
_BUILD = (
    "`pip install lba-onnx-cuda` brings it, `pip install -C cmake.define.LBA_CUDA=ON .` builds it where nvcc is, and "
    f"{CUDA_LIBRARY_VARIABLE} names one built elsewhere"
)


class CudaDevice(ctypes.Structure):
    """LbaCudaDevice."""

    _fields_ = (
        ("name", ctypes.c_char * 256),
        *(
            (name, ctypes.c_int32)
            for name in ("compute_major", "compute_minor", "multiprocessors", "driver_version", "runtime_version")
        ),
        ("memory_bytes", ctypes.c_int64),
    )


class CudaMatMulArgs(ctypes.Structure):
    """LbaCudaMatMulArgs."""

    _fields_ = (
        ("type", ctypes.c_int32),
        ("batch_rank", ctypes.c_int32),
        *((name, ctypes.c_int64 * BATCH_RANK) for name in ("batch", "a_batch_strides", "b_batch_strides")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "depth")),
        ("a", ctypes.c_void_p),
        ("a_row_stride", ctypes.c_int64),
        ("a_depth_stride", ctypes.c_int64),
        ("b", ctypes.c_void_p),
        ("b_depth_stride", ctypes.c_int64),
        ("b_column_stride", ctypes.c_int64),
        ("alpha", ctypes.c_float),
        ("beta", ctypes.c_float),
        ("c", ctypes.c_void_p),
        ("c_row_stride", ctypes.c_int64),
        ("c_column_stride", ctypes.c_int64),
        ("y", ctypes.c_void_p),
        ("starts_from_c", ctypes.c_int32),
    )


class CudaConvArgs(ctypes.Structure):
    """LbaCudaConvArgs."""

    _fields_ = (("type", ctypes.c_int32), *CONV_FIELDS, ("starts_from_bias", ctypes.c_int32))


def find_cuda_library() -> Path | None:
    """Return the path of the CUDA library, beside the native library or in the package lba_onnx_cuda beside its own.

    None where there is none.

    Raises:
        LibraryError: The environment variable LBA_ONNX_CUDA_LIBRARY names no file, or the native library is missing.
    """
    named = os.environ.get(CUDA_LIBRARY_VARIABLE)
    if named and not Path(named).is_file():
        raise LibraryError(
            f"expected the CUDA library where {CUDA_LIBRARY_VARIABLE} says, but {named} is no file; set it to the "
            "library's path, or unset it"
        )
    if named:
        return Path(named)
    beside = library_path().with_name(CUDA_LIBRARY_NAME)
    places = (beside, beside.parents[1] / _PACKAGE / CUDA_LIBRARY_NAME)
    return next((path for path in places if path.is_file()), None)


def cuda_library_path() -> Path:
    """Return the path of the CUDA library.

    Raises:
        LibraryError: There is none.
    """
    path = find_cuda_library()
    if path is None:
        expected = library_path().with_name(CUDA_LIBRARY_NAME)
        raise LibraryError(f"expected the CUDA library at {expected}, but there is none; {_BUILD}")
    return path


def load_cuda_library() -> ctypes.CDLL:
    """Load the library once, and declare what its entry points take.

    Raises:
        LibraryError: There is none, it does not load, or it has another version than the native library.
    """
    return _load(os.environ.get(CUDA_LIBRARY_VARIABLE))


def cuda_version() -> str:
    """Version of the CUDA library, which is that of the native library."""
    return str(load_cuda_library().lba_cuda_version().decode())


def check(code: int) -> None:
    """Raise what a nonzero code of an entry point stands for: ValueError, MemoryError or RuntimeError."""
    if code != 0:
        raise_for(code, load_cuda_library().lba_cuda_last_error().decode())


def cuda_handle(text: str) -> Handle:
    """Return the library's form of an accumulator."""
    return _handle(text, load_cuda_library())


@functools.lru_cache(MOST_KEPT)
def _handle(text: str, library: ctypes.CDLL) -> Handle:
    return Handle(text, library.lba_cuda_accumulator_create, library.lba_cuda_accumulator_release, check)


@functools.cache
def _load(named: str | None) -> ctypes.CDLL:
    """`named` is what the environment variable says, so that another value gets another library."""
    path = cuda_library_path()
    try:
        library = ctypes.CDLL(str(path))
        _declare(library)
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} does not load: {error}; {_BUILD}") from error
    found = library.lba_cuda_version().decode()
    if found != version():
        raise LibraryError(f"expected {path} of version {version()}, the native library's, got {found}; {_BUILD}")
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Say what the entry points take and return."""
    pointer, size, stream = ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
    library.lba_cuda_version.restype = ctypes.c_char_p
    library.lba_cuda_last_error.restype = ctypes.c_char_p
    library.lba_cuda_accumulator_create.argtypes = (ctypes.c_char_p, ctypes.POINTER(pointer))
    library.lba_cuda_accumulator_release.argtypes = (pointer,)
    library.lba_cuda_accumulator_release.restype = None
    library.lba_cuda_device_count.argtypes = (ctypes.POINTER(ctypes.c_int32),)
    library.lba_cuda_device.argtypes = (ctypes.c_int32, ctypes.POINTER(CudaDevice))
    library.lba_cuda_allocate.argtypes = (size, ctypes.POINTER(pointer))
    library.lba_cuda_free.argtypes = (pointer,)
    library.lba_cuda_copy.argtypes = (pointer, pointer, size, stream)
    library.lba_cuda_synchronize.argtypes = (stream,)
    library.lba_cuda_release.argtypes = (pointer,)
    library.lba_cuda_release.restype = None
    library.lba_cuda_kernel_counts.argtypes = (ctypes.POINTER(size),)
    for kind, args in (("matmul", CudaMatMulArgs), ("conv", CudaConvArgs)):
        operands = (pointer, ctypes.POINTER(args))
        for suffix, others in (
            ("", (pointer, pointer, size, stream)),
            ("_host", (pointer,)),
            ("_workspace", (pointer, ctypes.POINTER(size))),
            ("_statistics", (size, ctypes.c_double, ctypes.POINTER(StatisticsStruct), stream)),
        ):
            getattr(library, f"lba_cuda_{kind}{suffix}").argtypes = (*operands, *others)
        getattr(library, f"lba_cuda_pack_{kind}").argtypes = (*operands, ctypes.POINTER(pointer))
