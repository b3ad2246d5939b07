"""Matrix products and convolutions of numpy arrays by the native library."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator
from lba_onnx.conv_sizes import output_sizes
from lba_onnx.native.accumulators import accumulator_handle
from lba_onnx.native.library import ELEMENT_TYPES, ConvArgs, MatMulArgs, check, key_bytes, load_library
from lba_onnx.native.processors import thread_count
from lba_onnx.native.zero_points import ZeroPoints

Array = npt.NDArray[Any]


def matmul(
    a: Array,
    b: Array,
    spec: Accumulator,
    threads: int,
    statistics: str | None = None,
    initial: npt.NDArray[np.float32] | None = None,
    zero_points: ZeroPoints | None = None,
) -> Array:
    """Product of batches of matrices.

    Args:
        a: [batch, rows, depth], float32 or codes as the arithmetic takes them; any strides of whole elements.
        b: [batch, depth, columns], likewise; a broadcast dimension has stride 0.
        spec: The arithmetic.
        threads: Threads to use, at least 1.
        statistics: Key "run/node" of an open statistics run.
        initial: float32 [batch, rows, columns], likewise: what each sum starts from; None for zero.
        zero_points: Of codes; None for zeros.

    Returns:
        [batch, rows, columns], of the arithmetic's result type.
    """
    y = np.empty((*a.shape[:2], b.shape[2]), _result_dtype(a, spec))
    args, offsets = matmul_args(a, b, y)
    start_from(args, initial)
    if zero_points is not None:
        args.a_zero_point, args.b_zero_point_stride = zero_points.first, zero_points.second_stride
        args.b_zero_points = zero_points.second.ctypes.data
    check(load_library().lba_matmul(accumulator_handle(spec), args, thread_count(threads), key_bytes(statistics)))
    del offsets  # `args` points into them
    return y


def matmul_args(a: Array, b: Array, y: Array | None) -> tuple[MatMulArgs, tuple[npt.NDArray[np.int64], ...]]:
    """Return the C form of a batch of products, and the offsets that have to stay alive as long."""
    batch, rows, depth = a.shape
    a_strides, b_strides = ([s // x.itemsize for s in x.strides] for x in (a, b))
    offsets = tuple(np.arange(batch, dtype=np.int64) * s[0] for s in (a_strides, b_strides))
    args = MatMulArgs(
        a_type=ELEMENT_TYPES[a.dtype.name], b_type=ELEMENT_TYPES[b.dtype.name], y_type=_result_type(y),
        row_step=1, batch=batch, rows=rows, columns=b.shape[2], depth=depth,
        a=a.ctypes.data, a_offsets=offsets[0].ctypes.data, a_row_stride=a_strides[1], a_depth_stride=a_strides[2],
        b=b.ctypes.data, b_offsets=offsets[1].ctypes.data, b_depth_stride=b_strides[1], b_column_stride=b_strides[2],
        y=None if y is None else y.ctypes.data,
    )  # fmt: skip
    return args, offsets


def _result_dtype(operand: Array, spec: Accumulator) -> str:
    return "float32" if operand.dtype == np.float32 else spec.result_type


def _result_type(y: Array | None) -> int:
    return ELEMENT_TYPES["float32" if y is None else y.dtype.name]


def start_from(args: MatMulArgs | ConvArgs, initial: npt.NDArray[np.float32] | None) -> None:
    """Say in the C form of a product what its sums start from: an array of three dimensions, as the C form has them."""
    if initial is not None:
        args.initial = initial.ctypes.data
        args.initial_strides[:] = [0 if n == 1 else s // 4 for n, s in zip(initial.shape, initial.strides, strict=True)]


@dataclass(frozen=True)
class ConvGeometry:
    """Attributes of a convolution, one entry per spatial dimension (1 to 3)."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    group: int

    def output_sizes(self, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the spatial sizes of the output; None where the kernel does not fit into the padded input."""
        return output_sizes(sizes, kernel, self.strides, self.dilations, self.pads_begin, self.pads_end)


def conv(
    x: Array,
    w: Array,
    spec: Accumulator,
    geometry: ConvGeometry,
    output_shape: tuple[int, ...],
    threads: int,
    statistics: str | None = None,
    bias: npt.NDArray[np.float32] | None = None,
    initial: npt.NDArray[np.float32] | None = None,
    zero_points: ZeroPoints | None = None,
) -> Array:
    """Convolution of contiguous arrays.

    Args:
        x: [batch, channels, spatial...], C-contiguous, float32 or codes as the arithmetic takes them.
        w: [out_channels, channels / group, kernel...], likewise.
        spec: The arithmetic.
        geometry: Strides, dilations, pads and group.
        output_shape: [batch, out_channels, output...] that follows from the rest.
        threads: Threads to use, at least 1.
        statistics: Key "run/node" of an open statistics run.
        bias: float32 [out_channels], C-contiguous, added in float32 afterwards; None for none.
        initial: float32 [batch, out_channels, positions], any strides that are multiples of 4 bytes: what each sum
            starts from, positions in row-major order; None for zero.
        zero_points: Of codes; None for zeros.

    Returns:
        Of output_shape and the arithmetic's result type.
    """
    y = np.empty(output_shape, _result_dtype(x, spec))
    args = conv_args(x, w, geometry, y)
    if zero_points is not None:
        args.x_zero_point, args.w_zero_point_stride = zero_points.first, zero_points.second_stride
        args.w_zero_points = zero_points.second.ctypes.data
    args.bias = None if bias is None else bias.ctypes.data
    start_from(args, initial)
    check(load_library().lba_conv(accumulator_handle(spec), args, thread_count(threads), key_bytes(statistics)))
    return y


def conv_args(x: Array, w: Array, geometry: ConvGeometry, y: Array | None) -> ConvArgs:
    """Return the C form of a convolution without bias."""
    return ConvArgs(
        **geometry_fields(x.shape, w.shape, geometry),
        x_type=ELEMENT_TYPES[x.dtype.name], w_type=ELEMENT_TYPES[w.dtype.name], y_type=_result_type(y), row_step=1,
        x=x.ctypes.data, w=w.ctypes.data, y=None if y is None else y.ctypes.data,
    )  # fmt: skip


def geometry_fields(x: tuple[int, ...], w: tuple[int, ...], geometry: ConvGeometry) -> dict[str, Any]:
    """Return the fields of the C form that say where values meet: of operands of these shapes."""
    sizes = ctypes.c_int64 * 3
    return {
        "rank": len(x) - 2,
        "batch": x[0],
        "in_channels": x[1],
        "out_channels": w[0],
        "groups": geometry.group,
        "input": sizes(*x[2:]),
        "kernel": sizes(*w[2:]),
        "strides": sizes(*geometry.strides),
        "dilations": sizes(*geometry.dilations),
        "pads_begin": sizes(*geometry.pads_begin),
        "pads_end": sizes(*geometry.pads_end),
    }
