"""The native library as ctypes sees it: structures, entry points, errors (custom_ops/include/lba/c_api.h)."""

import ctypes
import functools
import importlib.resources
from pathlib import Path
from typing import NoReturn

from lba_onnx.arithmetic import Accumulator, FloatFormat, as_spec
from lba_onnx.errors import LibraryError

LIBRARY_NAME = "liblba_ops.so"
LOG2_BINS = 704
LOG2_OFFSET = 352
CPU_PATHS = ("avx512", "avx2", "portable", "exact")

_INVALID_ARGUMENT = 1
_OUT_OF_MEMORY = 2


class Format(ctypes.Structure):
    """LbaFormat."""

    _fields_ = (
        ("mantissa_bits", ctypes.c_int32),
        ("exponent_bits", ctypes.c_int32),
        ("exponent_bias", ctypes.c_int32),
    )


class Spec(ctypes.Structure):
    """LbaSpec."""

    _fields_ = (
        ("product_format", Format),
        ("accumulator_format", Format),
        ("chunk_size", ctypes.c_int64),
        ("underflow", ctypes.c_int32),
    )


class EventsStruct(ctypes.Structure):
    """LbaEvents."""

    _fields_ = tuple((name, ctypes.c_int64) for name in ("values", "overflows", "underflows", "swamped"))


class StatisticsStruct(ctypes.Structure):
    """LbaStatistics."""

    _fields_ = (
        ("outputs", ctypes.c_int64),
        ("sampled_outputs", ctypes.c_int64),
        ("max_abs_product", ctypes.c_double),
        ("max_abs_partial_sum", ctypes.c_double),
        ("max_abs_total", ctypes.c_double),
        ("products", EventsStruct),
        ("partial_sums", EventsStruct),
        ("totals", EventsStruct),
        ("products_log2", ctypes.c_int64 * LOG2_BINS),
        ("partial_sums_log2", ctypes.c_int64 * LOG2_BINS),
        ("totals_log2", ctypes.c_int64 * LOG2_BINS),
    )


class MatMulArgs(ctypes.Structure):
    """LbaMatMulArgs."""

    _fields_ = (
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
    )


class ConvArgs(ctypes.Structure):
    """LbaConvArgs."""

    _fields_ = (
        ("rank", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("batch", "in_channels", "out_channels", "groups")),
        *((name, ctypes.c_int64 * 3) for name in ("input", "kernel", "strides", "dilations", "pads_begin", "pads_end")),
        *((name, ctypes.c_void_p) for name in ("x", "w", "bias", "y")),
    )


class RunProgressStruct(ctypes.Structure):
    """LbaRunProgress."""

    _fields_ = (("created_nodes", ctypes.c_int64), ("ended_nodes", ctypes.c_int64), ("node_share", ctypes.c_double))


class Observation(ctypes.Structure):
    """LbaObservation."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("spec", ctypes.POINTER(Spec)),
        ("matmul", ctypes.POINTER(MatMulArgs)),
        ("conv", ctypes.POINTER(ConvArgs)),
    )


ObserverFunction = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(Observation), ctypes.c_void_p)


def library_path() -> Path:
    """Path of the native library, which is also the onnxruntime custom-op library.

    Raises:
        LibraryError: It is not installed beside the package.
    """
    resource = importlib.resources.files("lba_onnx").joinpath(LIBRARY_NAME)
    path = Path(str(resource))
    if not path.is_file():
        raise LibraryError(
            f"expected the native library at {path}, but there is none; install the package with "
            "`pip install .` or `pip install -e .`, which builds it (a C++17 compiler is needed)"
        )
    return path


@functools.cache
def load_library() -> ctypes.CDLL:
    """Load the library once, and declare what its entry points take.

    Raises:
        LibraryError: It is not installed, or does not load.
    """
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryError(f"{path} does not load: {error}; reinstall the package on this machine") from error
    library.lba_version.restype = ctypes.c_char_p
    library.lba_last_error.restype = ctypes.c_char_p
    library.lba_cpu_path.restype = ctypes.c_char_p
    library.lba_matmul.argtypes = (
        ctypes.POINTER(Spec),
        ctypes.POINTER(MatMulArgs),
        ctypes.c_int32,
        ctypes.c_char_p,
    )
    library.lba_conv.argtypes = (ctypes.POINTER(Spec), ctypes.POINTER(ConvArgs), ctypes.c_int32, ctypes.c_char_p)
    floats, count = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    for name, args in (("lba_matmul_gradients", MatMulArgs), ("lba_conv_gradients", ConvArgs)):
        entry = getattr(library, name)
        operands = (ctypes.POINTER(Spec), ctypes.POINTER(args), ctypes.c_int32)
        entry.argtypes = (*operands, floats, floats, floats, count, ctypes.c_int32)
    library.lba_statistics_open.argtypes = (ctypes.c_char_p, ctypes.c_double)
    library.lba_observer_open.argtypes = (ctypes.c_char_p, ObserverFunction, ctypes.c_void_p)
    library.lba_statistics_close.argtypes = (ctypes.c_char_p,)
    library.lba_run_open.restype = ctypes.c_void_p
    for name in ("lba_run_close", "lba_run_enter", "lba_run_stop"):
        getattr(library, name).argtypes = (ctypes.c_void_p,)
        getattr(library, name).restype = None
    library.lba_run_progress.argtypes = (ctypes.c_void_p, ctypes.POINTER(RunProgressStruct))
    library.lba_run_progress.restype = None
    library.lba_statistics_forget_largest.argtypes = (ctypes.c_char_p,)
    library.lba_statistics_read.argtypes = (ctypes.c_char_p, ctypes.POINTER(StatisticsStruct))
    return library


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


def _format(value: FloatFormat) -> Format:
    return Format(value.mantissa_bits, value.exponent_bits, value.exponent_bias)


def spec_struct(spec: Accumulator | str) -> Spec:
    """Return the C form of a spec, or of its text."""
    spec = as_spec(spec)
    return Spec(
        _format(spec.product_format), _format(spec.accumulator_format), spec.chunk_size or 0, int(spec.underflow)
    )


def key_bytes(statistics: str | None) -> bytes | None:
    """Return the C form of a key."""
    return None if statistics is None else statistics.encode()


def version() -> str:
    """Version of the native library."""
    return str(load_library().lba_version().decode())


def cpu_path() -> str:
    """The path that calls take where the data allow: one of CPU_PATHS.

    The environment variable LBA_ONNX_CPU_PATH forces one.

    Raises:
        ValueError: LBA_ONNX_CPU_PATH names no path, or one that this CPU lacks.
    """
    name = load_library().lba_cpu_path()
    if name is None:
        raise ValueError(load_library().lba_last_error().decode())
    return str(name.decode())


def path_counts() -> dict[str, int]:
    """Tiles that each path has computed since the process started."""
    counts = (ctypes.c_int64 * len(CPU_PATHS))()
    load_library().lba_path_counts(counts)
    return dict(zip(CPU_PATHS, counts, strict=True))
