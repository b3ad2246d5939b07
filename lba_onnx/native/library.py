"""The native library as ctypes sees it: structures, entry points, errors (custom_ops/include/lba/c_api.h)."""

import ctypes
import functools
import importlib.resources
import os
import platform
from pathlib import Path
from typing import Any, NoReturn

from lba_onnx.errors import LibraryError
from lba_onnx.version import __version__

LIBRARY_NAMES = {"linux": "liblba_ops.so", "darwin": "liblba_ops.dylib", "windows": "liblba_ops.dll"}
"""By `platform.system()` in small letters."""
LIBRARY_NAME = LIBRARY_NAMES.get(platform.system().lower(), LIBRARY_NAMES["linux"])
LIBRARY_VARIABLE = "LBA_ONNX_LIBRARY"
LOG2_BINS = 704
LOG2_OFFSET = 352
_LEVEL_EVENTS = 7
ELEMENT_TYPES = {"float32": 0, "uint8": 2, "int8": 3, "int32": 4, "int64": 5}
"""The C numbers of the types of arrays, by numpy's names."""
CPU_PATHS = ("avx512", "avx2", "portable", "exact")

_BUILD = "`pip install .` or `pip install -e .` builds the one that fits"
_INVALID_ARGUMENT = 1
_OUT_OF_MEMORY = 2


class LevelStruct(ctypes.Structure):
    """LbaLevel."""

    _fields_ = (
        ("max_abs", ctypes.c_double),
        ("values", ctypes.c_int64),
        ("events", ctypes.c_int64 * _LEVEL_EVENTS),
        ("log2", ctypes.c_int64 * LOG2_BINS),
    )


class StatisticsStruct(ctypes.Structure):
    """LbaStatistics."""

    _fields_ = (
        ("outputs", ctypes.c_int64),
        ("sampled_outputs", ctypes.c_int64),
        ("level_count", ctypes.c_int64),
        ("levels", ctypes.POINTER(LevelStruct)),
    )


_OUTPUT_PLACE = (
    ("first_row", ctypes.c_int64),
    ("first_column", ctypes.c_int64),
    ("row_step", ctypes.c_int64),
)
_INITIAL = (("initial", ctypes.c_void_p), ("initial_strides", ctypes.c_int64 * 3))
CONV_FIELDS: tuple[tuple[str, Any], ...] = (
    ("rank", ctypes.c_int32),
    *((name, ctypes.c_int64) for name in ("batch", "in_channels", "out_channels", "groups")),
    *((name, ctypes.c_int64 * 3) for name in ("input", "kernel", "strides", "dilations", "pads_begin", "pads_end")),
    *((name, ctypes.c_void_p) for name in ("x", "w", "bias", "y")),
)


class MatMulArgs(ctypes.Structure):
    """LbaMatMulArgs."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("a_type", "b_type", "y_type")),
        *_OUTPUT_PLACE,
        *((name, ctypes.c_int64) for name in ("batch", "rows", "columns", "depth")),
        ("a", ctypes.c_void_p),
        ("a_offsets", ctypes.c_void_p),
        ("a_row_stride", ctypes.c_int64),
        ("a_depth_stride", ctypes.c_int64),
        ("b", ctypes.c_void_p),
        ("b_offsets", ctypes.c_void_p),
        ("b_depth_stride", ctypes.c_int64),
        ("b_column_stride", ctypes.c_int64),
        ("y", ctypes.c_void_p),
        *_INITIAL,
        *((name, ctypes.c_int64) for name in ("a_zero_point", "b_zero_point_stride")),
        ("b_zero_points", ctypes.c_void_p),
    )


class ConvArgs(ctypes.Structure):
    """LbaConvArgs."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("x_type", "w_type", "y_type")),
        *_OUTPUT_PLACE,
        *CONV_FIELDS,
        *_INITIAL,
        *((name, ctypes.c_int64) for name in ("x_zero_point", "w_zero_point_stride")),
        ("w_zero_points", ctypes.c_void_p),
    )


class RunProgressStruct(ctypes.Structure):
    """LbaRunProgress."""

    _fields_ = (("created_nodes", ctypes.c_int64), ("ended_nodes", ctypes.c_int64), ("node_share", ctypes.c_double))


class Observation(ctypes.Structure):
    """LbaObservation."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("accumulator", ctypes.c_char_p),
        ("matmul", ctypes.POINTER(MatMulArgs)),
        ("conv", ctypes.POINTER(ConvArgs)),
    )


ObserverFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(Observation), ctypes.c_void_p)


def library_path() -> Path:
    """Path of the native library, which is also the onnxruntime custom-op library.

    The environment variable LBA_ONNX_LIBRARY names another than the one beside the package, of the same version.

    Raises:
        LibraryError: There is none.
    """
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise LibraryError(f"expected the native library where {LIBRARY_VARIABLE} says, but {named} is no file")
        return Path(named)
    path = Path(str(importlib.resources.files("lba_onnx").joinpath(LIBRARY_NAME)))
    if not path.is_file():
        raise LibraryError(
            f"expected the native library at {path}, but there is none; install the package with "
            "`pip install lba-onnx`, or from its source with `pip install .` or `pip install -e .`, which builds it "
            "(a C++17 compiler is needed)"
        )
    return path


def load_library() -> ctypes.CDLL:
    """Load the library once, and declare what its entry points take.

    Raises:
        LibraryError: There is none, it does not load, or it has another version than the package.
    """
    return _load(os.environ.get(LIBRARY_VARIABLE))


@functools.cache
def _load(named: str | None) -> ctypes.CDLL:
    """`named` is what the environment variable says, so that another value gets another library."""
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
        library.lba_version.restype = ctypes.c_char_p
        found = library.lba_version().decode()
        if found == __version__:
            _declare(library)
    except (OSError, AttributeError) as error:
        raise LibraryError(f"{path} does not load: {error}; {_BUILD}") from error
    if found != __version__:
        raise LibraryError(f"expected {path} of version {__version__}, the package's, got {found}; {_BUILD}")
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Say what the entry points take and return."""
    library.lba_last_error.restype = ctypes.c_char_p
    library.lba_cpu_path.restype = ctypes.c_char_p
    library.lba_integer_path.restype = ctypes.c_char_p
    library.lba_kinds.restype = ctypes.c_char_p
    accumulator = ctypes.c_void_p
    library.lba_accumulator_create.argtypes = (ctypes.c_char_p, ctypes.POINTER(accumulator))
    library.lba_accumulator_release.argtypes = (accumulator,)
    library.lba_accumulator_release.restype = None
    library.lba_matmul.argtypes = (accumulator, ctypes.POINTER(MatMulArgs), ctypes.c_int32, ctypes.c_char_p)
    library.lba_conv.argtypes = (accumulator, ctypes.POINTER(ConvArgs), ctypes.c_int32, ctypes.c_char_p)
    floats, count = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    for name, args in (("lba_matmul_gradients", MatMulArgs), ("lba_conv_gradients", ConvArgs)):
        entry = getattr(library, name)
        operands = (accumulator, ctypes.POINTER(args), ctypes.c_int32)
        entry.argtypes = (*operands, floats, floats, floats, floats, count, ctypes.c_int32)
    library.lba_statistics_open.argtypes = (ctypes.c_char_p, ctypes.c_double)
    library.lba_observer_open.argtypes = (ctypes.c_char_p, ObserverFunction, ctypes.c_void_p, ctypes.c_int32)
    library.lba_statistics_close.argtypes = (ctypes.c_char_p,)
    library.lba_run_open.restype = ctypes.c_void_p
    for name in ("lba_run_close", "lba_run_enter", "lba_run_stop"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = None
    library.lba_run_progress.argtypes = (ctypes.c_void_p, ctypes.POINTER(RunProgressStruct))
    library.lba_run_progress.restype = None
    library.lba_statistics_forget_largest.argtypes = (ctypes.c_char_p,)
    library.lba_statistics_read.argtypes = (ctypes.c_char_p, ctypes.POINTER(StatisticsStruct))
    library.lba_statistics_levels.argtypes = (ctypes.c_char_p,)
    library.lba_statistics_levels.restype = ctypes.c_char_p
    library.lba_accumulator_levels.argtypes = (accumulator,)
    library.lba_accumulator_levels.restype = ctypes.c_char_p


def check(code: int) -> None:
    """Raise what a nonzero code of an entry point stands for: ValueError, MemoryError or RuntimeError."""
    if code != 0:
        raise_for(code, load_library().lba_last_error().decode())


def raise_for(code: int, reason: str) -> NoReturn:
    """Raise what a nonzero code of an entry point stands for: ValueError, MemoryError or RuntimeError."""
    if code == _INVALID_ARGUMENT:
        raise ValueError(reason)
    if code == _OUT_OF_MEMORY:
        raise MemoryError(reason)
    raise RuntimeError(reason)


def key_bytes(statistics: str | None) -> bytes | None:
    """Return the C form of a key."""
    return None if statistics is None else statistics.encode()


def kinds() -> tuple[str, ...]:
    """Names of the kinds of accumulators that the library has, in alphabetical order."""
    return tuple(load_library().lba_kinds().decode().split())


def version() -> str:
    """Version of the native library."""
    return str(load_library().lba_version().decode())


def cpu_path() -> str:
    """The path that calls take where the data allow: one of CPU_PATHS.

    The environment variable LBA_ONNX_CPU_PATH forces one.

    Raises:
        ValueError: LBA_ONNX_CPU_PATH names no path, or one that this CPU lacks.
    """
    return _path_name(load_library().lba_cpu_path())


def integer_path() -> str:
    """The path that products of integer codes take: "avx512_vnni", "avx2", "portable" or "exact".

    Raises:
        ValueError: LBA_ONNX_CPU_PATH names no path, or one that this CPU lacks.
    """
    return _path_name(load_library().lba_integer_path())


def _path_name(name: bytes | None) -> str:
    if name is None:
        raise ValueError(load_library().lba_last_error().decode())
    return name.decode()


def path_counts() -> dict[str, int]:
    """Tiles that each path has computed since the process started."""
    counts = (ctypes.c_int64 * len(CPU_PATHS))()
    load_library().lba_path_counts(counts)
    return dict(zip(CPU_PATHS, counts, strict=True))
