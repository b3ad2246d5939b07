"""The one place that knows the C entry points of the native library (custom_ops/include/lba/c_api.h)."""

import ctypes
import functools
import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.errors import LibraryError
from lba_onnx.formats import FloatFormat

LIBRARY_NAME = "liblba_ops.so"
LOG2_BINS = 704
LOG2_OFFSET = 352
CPU_PATHS = ("avx512", "avx2", "portable", "exact")

_INVALID_ARGUMENT = 1
_OUT_OF_MEMORY = 2


class _Format(ctypes.Structure):
    _fields_ = (
        ("mantissa_bits", ctypes.c_int32),
        ("exponent_bits", ctypes.c_int32),
        ("exponent_bias", ctypes.c_int32),
    )


class _Spec(ctypes.Structure):
    _fields_ = (
        ("product_format", _Format),
        ("accumulator_format", _Format),
        ("chunk_size", ctypes.c_int64),
        ("underflow", ctypes.c_int32),
    )


class _Events(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("values", "overflows", "underflows", "swamped"))


class _Statistics(ctypes.Structure):
    _fields_ = (
        ("outputs", ctypes.c_int64),
        ("sampled_outputs", ctypes.c_int64),
        ("max_abs_product", ctypes.c_double),
        ("max_abs_partial_sum", ctypes.c_double),
        ("max_abs_total", ctypes.c_double),
        ("products", _Events),
        ("partial_sums", _Events),
        ("totals", _Events),
        ("products_log2", ctypes.c_int64 * LOG2_BINS),
        ("partial_sums_log2", ctypes.c_int64 * LOG2_BINS),
        ("totals_log2", ctypes.c_int64 * LOG2_BINS),
    )


class _MatMulArgs(ctypes.Structure):
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


class _ConvArgs(ctypes.Structure):
    _fields_ = (
        ("rank", ctypes.c_int32),
        *((name, ctypes.c_int64) for name in ("batch", "in_channels", "out_channels", "groups")),
        *((name, ctypes.c_int64 * 3) for name in ("input", "kernel", "strides", "dilations", "pads_begin", "pads_end")),
        *((name, ctypes.c_void_p) for name in ("x", "w", "bias", "y")),
    )


@dataclass(frozen=True)
class Events:
    """What happened to one kind of value in the quantized chain of the sampled outputs.

    Attributes:
        values: How many values were formed.
        overflows: Exact magnitudes of max_value or more.
        underflows: Nonzero values that became zero.
        swamped: Nonzero addends that left the accumulator unchanged without overflow.
    """

    values: int
    overflows: int
    underflows: int
    swamped: int


@dataclass(frozen=True, eq=False)
class Statistics:
    """Intermediate values of one node.

    Attributes:
        outputs: Output values computed.
        sampled_outputs: Output values that were looked into.
        max_abs_product: Largest exact product of all outputs; infinite values are not counted.
        max_abs_partial_sum: Largest unquantized prefix sum inside a chunk, of all outputs.
        max_abs_total: Largest unquantized running total, of all outputs.
        products: Events of Q_prod(x * w), like all that follows over the sampled outputs.
        partial_sums: Events of Q_acc(product + partial sum).
        totals: Events of Q_acc(total + partial sum of a chunk).
        products_log2: int64 [704]; bin i counts exact products v with floor(log2|v|) = i - 352.
        partial_sums_log2: The same of the prefix sums.
        totals_log2: The same of the running totals.
    """

    outputs: int
    sampled_outputs: int
    max_abs_product: float
    max_abs_partial_sum: float
    max_abs_total: float
    products: Events
    partial_sums: Events
    totals: Events
    products_log2: npt.NDArray[np.int64]
    partial_sums_log2: npt.NDArray[np.int64]
    totals_log2: npt.NDArray[np.int64]


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
def _library() -> ctypes.CDLL:
    path = library_path()
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LibraryError(f"{path} does not load: {error}; reinstall the package on this machine") from error
    library.lba_version.restype = ctypes.c_char_p
    library.lba_last_error.restype = ctypes.c_char_p
    library.lba_cpu_path.restype = ctypes.c_char_p
    library.lba_matmul.argtypes = (
        ctypes.POINTER(_Spec),
        ctypes.POINTER(_MatMulArgs),
        ctypes.c_int32,
        ctypes.c_char_p,
    )
    library.lba_conv.argtypes = (ctypes.POINTER(_Spec), ctypes.POINTER(_ConvArgs), ctypes.c_int32, ctypes.c_char_p)
    library.lba_statistics_open.argtypes = (ctypes.c_char_p, ctypes.c_double)
    library.lba_statistics_close.argtypes = (ctypes.c_char_p,)
    library.lba_statistics_read.argtypes = (ctypes.c_char_p, ctypes.POINTER(_Statistics))
    return library


def _check(code: int) -> None:
    if code == 0:
        return
    reason = _library().lba_last_error().decode()
    if code == _INVALID_ARGUMENT:
        raise ValueError(reason)
    if code == _OUT_OF_MEMORY:
        raise MemoryError(reason)
    raise RuntimeError(reason)


def _format(value: FloatFormat) -> _Format:
    return _Format(value.mantissa_bits, value.exponent_bits, value.exponent_bias)


def _spec(spec: AccumulatorSpec) -> _Spec:
    return _Spec(
        _format(spec.product_format), _format(spec.accumulator_format), spec.chunk_size or 0, int(spec.underflow)
    )


def _key(statistics: str | None) -> bytes | None:
    return None if statistics is None else statistics.encode()


def version() -> str:
    """Version of the native library."""
    return str(_library().lba_version().decode())


def cpu_path() -> str:
    """The path that calls take where the data allow: one of CPU_PATHS.

    The environment variable LBA_ONNX_CPU_PATH forces one.

    Raises:
        ValueError: LBA_ONNX_CPU_PATH names no path, or one that this CPU lacks.
    """
    name = _library().lba_cpu_path()
    if name is None:
        raise ValueError(_library().lba_last_error().decode())
    return str(name.decode())


def path_counts() -> dict[str, int]:
    """Tiles that each path has computed since the process started."""
    counts = (ctypes.c_int64 * len(CPU_PATHS))()
    _library().lba_path_counts(counts)
    return dict(zip(CPU_PATHS, counts, strict=True))


def matmul(
    a: npt.NDArray[np.float32],
    b: npt.NDArray[np.float32],
    spec: AccumulatorSpec,
    threads: int,
    statistics: str | None = None,
) -> npt.NDArray[np.float32]:
    """Product of batches of matrices.

    Args:
        a: float32 [batch, rows, depth], any strides that are multiples of 4 bytes.
        b: float32 [batch, depth, columns], likewise; a broadcast dimension has stride 0.
        spec: The arithmetic.
        threads: Threads to use, at least 1.
        statistics: Key "run/node" of an open statistics run.

    Returns:
        float32 [batch, rows, columns].
    """
    batch, rows, depth = a.shape
    columns = b.shape[2]
    y = np.empty((batch, rows, columns), np.float32)
    a_strides, b_strides = ([s // 4 for s in x.strides] for x in (a, b))
    a_offsets, b_offsets = (np.arange(batch, dtype=np.int64) * s[0] for s in (a_strides, b_strides))
    args = _MatMulArgs(
        batch, rows, columns, depth,
        a.ctypes.data, a_offsets.ctypes.data, a_strides[1], a_strides[2],
        b.ctypes.data, b_offsets.ctypes.data, b_strides[1], b_strides[2],
        y.ctypes.data,
    )  # fmt: skip
    _check(_library().lba_matmul(_spec(spec), args, threads, _key(statistics)))
    return y


@dataclass(frozen=True)
class ConvGeometry:
    """Attributes of a convolution, one entry per spatial dimension (1 to 3)."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    group: int


def conv(
    x: npt.NDArray[np.float32],
    w: npt.NDArray[np.float32],
    spec: AccumulatorSpec,
    geometry: ConvGeometry,
    output_shape: tuple[int, ...],
    threads: int,
    statistics: str | None = None,
) -> npt.NDArray[np.float32]:
    """Convolution of contiguous arrays.

    Args:
        x: float32 [batch, channels, spatial...], C-contiguous.
        w: float32 [out_channels, channels / group, kernel...], C-contiguous.
        spec: The arithmetic.
        geometry: Strides, dilations, pads and group.
        output_shape: [batch, out_channels, output...] that follows from the rest.
        threads: Threads to use, at least 1.
        statistics: Key "run/node" of an open statistics run.

    Returns:
        float32 of output_shape.
    """
    y = np.empty(output_shape, np.float32)
    sizes = ctypes.c_int64 * 3
    args = _ConvArgs(
        x.ndim - 2, x.shape[0], x.shape[1], w.shape[0], geometry.group,
        sizes(*x.shape[2:]), sizes(*w.shape[2:]), sizes(*geometry.strides), sizes(*geometry.dilations),
        sizes(*geometry.pads_begin), sizes(*geometry.pads_end),
        x.ctypes.data, w.ctypes.data, None, y.ctypes.data,
    )  # fmt: skip
    _check(_library().lba_conv(_spec(spec), args, threads, _key(statistics)))
    return y


def statistics_open(run: str, sampled_fraction: float) -> None:
    """Open a statistics run.

    Nodes with keys "run/..." sample this fraction of their rows or output positions for histograms and events.
    """
    _check(_library().lba_statistics_open(run.encode(), sampled_fraction))


def statistics_close(run: str) -> None:
    """Forget a statistics run."""
    _check(_library().lba_statistics_close(run.encode()))


def statistics_read(key: str) -> Statistics:
    """What the node with this key has collected so far; all zero if it has not run."""
    raw = _Statistics()
    _check(_library().lba_statistics_read(key.encode(), raw))
    values: dict[str, object] = {}
    for name, _ in raw._fields_:
        value = getattr(raw, name)
        if isinstance(value, _Events):
            value = Events(value.values, value.overflows, value.underflows, value.swamped)
        elif isinstance(value, ctypes.Array):
            value = np.array(value, np.int64)
        values[name] = value
    return Statistics(**values)  # type: ignore[arg-type]
