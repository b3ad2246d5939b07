"""Matrix multiplication and convolution with a low bit-width accumulator, of numpy arrays and of arrays on a device."""

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from lba_onnx import device_arrays, native
from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.integers import as_integer
from lba_onnx.native.processors import thread_count

_MAX_SETTING = 2**31 - 1  # the native library's limit, which has to be checked before values become 64 bits wide


@overload
def matmul(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    spec: Accumulator | str,
    *,
    initial: npt.ArrayLike | None = None,
    a_zero_point: int = 0,
    b_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> npt.NDArray[Any]: ...
@overload
def matmul(
    a: Any,
    b: Any,
    spec: Accumulator | str,
    *,
    initial: npt.ArrayLike | None = None,
    a_zero_point: int = 0,
    b_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> Any: ...
def matmul(
    a: Any,
    b: Any,
    spec: Accumulator | str,
    *,
    initial: npt.ArrayLike | None = None,
    a_zero_point: int = 0,
    b_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> Any:
    """Matrix product as numpy.matmul defines it, computed in the formats of `spec` (docs/numerics.md).

    Arrays on a CUDA device are CuPy arrays, or offer DLPack or __cuda_array_interface__, as those of PyTorch, JAX and
    Numba do; the extra `cuda` brings CuPy. They are float32 or float16, on one device; the product is queued on CuPy's
    current stream of that device, and has the bits that it has on the host.

    Args:
        a: [..., rows, depth], or [depth]: float32, or uint8 or int8 codes with an accumulator of integers.
        b: [..., depth, columns], or [depth], likewise; batch dimensions broadcast.
        spec: The accumulator, or the text of it, such as "M7E4b10" or "int16-wrap".
        initial: float32 that broadcasts to the result: what each sum starts from, rounded to the accumulator; None for
            zero. Products of codes, and those on a CUDA device, take none.
        a_zero_point: The code of a that stands for zero.
        b_zero_point: The code of b that does, or one for each column.
        threads: Threads to use; None for one per processor that this process may use. Never changes a bit, and is of
            no effect on a CUDA device.

    Returns:
        float32 [..., rows, columns]; without the dimension that a 1-D operand lacks. Of codes int32, or int64 where the
        accumulator has more than 32 bits: sums of (a - a_zero_point) * (b - b_zero_point). Of operands on a CUDA
        device, a CuPy array of their type on that device; float16 is rounded from the float32 product.

    Raises:
        LbaError: An operand is on a CUDA device, and CuPy or the CUDA library is missing.
        TypeError: An operand is of another type, only one is on a device, `spec` is neither a spec nor text, or a
            number is no integer.
        ValueError: `spec` cannot be read or is of other operands, shapes, zero points or attributes do not fit,
            operands are on different devices, or threads is below 1 or above 2^31 - 1.
    """
    spec = as_spec(spec)
    threads = thread_count(threads)
    on_device = device_arrays.to_device_arrays(a=a, b=b)
    a, b = on_device or (_operand("a", a, spec), _operand("b", b, spec))
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"expected operands of at least one dimension, got shapes {a.shape} and {b.shape}")
    a_matrix = a[np.newaxis, :] if a.ndim == 1 else a
    b_matrix = b[:, np.newaxis] if b.ndim == 1 else b
    if a_matrix.shape[-1] != b_matrix.shape[-2]:
        raise ValueError(f"expected operands of the same depth, got shapes {a.shape} and {b.shape}")
    batch = _batch(a_matrix.shape, b_matrix.shape)
    shape = (*batch, a_matrix.shape[-2], b_matrix.shape[-1])
    left_out = tuple(axis for axis, operand in ((-2, a), (-1, b)) if operand.ndim == 1)
    starts = _initial(initial, shape, left_out, is_on_device=bool(on_device))
    zero_points = _zero_points(spec, ("a", a_zero_point), ("b", b_zero_point), shape[-1])
    if on_device:
        y = device_arrays.matmul(a_matrix, b_matrix, batch, spec)
    else:
        y = _matmul_batched(a_matrix, b_matrix, batch, spec, threads, starts, zero_points)
    y = y[..., 0] if b.ndim == 1 else y
    if a.ndim == 1:
        y = y[..., 0] if b.ndim == 1 else y[..., 0, :]
    return y


def _batch(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(a[:-2], b[:-2])
    except ValueError:
        raise ValueError(f"expected batch dimensions that broadcast, got shapes {a} and {b}") from None


def _matmul_batched(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    batch: tuple[int, ...],
    spec: Accumulator,
    threads: int,
    initial: npt.NDArray[np.float32] | None,
    zero_points: native.ZeroPoints | None,
) -> npt.NDArray[Any]:
    rows, depth, columns = a.shape[-2], a.shape[-1], b.shape[-1]
    if all(size == 1 for size in b.shape[:-2]):  # one matrix for all: the batch is more rows
        flat = a.reshape(1, math.prod(a.shape[:-1]), depth)
        starts = None if initial is None else initial.reshape(1, math.prod(initial.shape[:-1]), columns)
        y = native.matmul(flat, b.reshape(1, depth, columns), spec, threads, initial=starts, zero_points=zero_points)
    else:
        count = math.prod(batch)
        a_all = np.broadcast_to(a, (*batch, rows, depth)).reshape(count, rows, depth)
        b_all = np.broadcast_to(b, (*batch, depth, columns)).reshape(count, depth, columns)
        starts = None if initial is None else initial.reshape(count, rows, columns)
        y = native.matmul(a_all, b_all, spec, threads, initial=starts, zero_points=zero_points)
    return y.reshape(*batch, rows, columns)


@overload
def conv(
    x: npt.ArrayLike,
    w: npt.ArrayLike,
    spec: Accumulator | str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    *,
    initial: npt.ArrayLike | None = None,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> npt.NDArray[Any]: ...
@overload
def conv(
    x: Any,
    w: Any,
    spec: Accumulator | str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    *,
    initial: npt.ArrayLike | None = None,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> Any: ...
def conv(
    x: Any,
    w: Any,
    spec: Accumulator | str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    *,
    initial: npt.ArrayLike | None = None,
    x_zero_point: int = 0,
    w_zero_point: npt.ArrayLike = 0,
    threads: int | None = None,
) -> Any:
    """Convolution as ONNX's Conv defines it, without bias, computed in the formats of `spec` (docs/numerics.md).

    Arrays on a CUDA device are taken as `matmul` takes them; those that are not contiguous are copied on the device.

    Args:
        x: [batch, channels, spatial...] with 1 to 3 spatial dimensions: float32, or codes as `matmul` takes them.
        w: [out_channels, channels / group, kernel...], likewise.
        spec: The accumulator, or the text of it, such as "M7E4b10" or "int16-wrap".
        strides: One per spatial dimension; default 1.
        pads: All begins, then all ends; default 0.
        dilations: One per spatial dimension; default 1.
        group: Groups of channels.
        initial: float32 that broadcasts to the result: what each sum starts from, rounded to the accumulator; None for
            zero. Products of codes, and those on a CUDA device, take none.
        x_zero_point: The code of x that stands for zero, in the padding too.
        w_zero_point: The code of w that does, or one for each output channel.
        threads: Threads to use; None for one per processor that this process may use. Never changes a bit, and is of
            no effect on a CUDA device.

    Returns:
        float32 [batch, out_channels, output...], of codes int32 or int64 as by `matmul`. Of operands on a CUDA device,
        a CuPy array of their type on that device.

    Raises:
        LbaError: An operand is on a CUDA device, and CuPy or the CUDA library is missing.
        TypeError: An operand is of another type, only one is on a device, `spec` is neither a spec nor text, or a
            number is no integer.
        ValueError: `spec` cannot be read or is of other operands, shapes, zero points or attributes do not fit,
            operands are on different devices, or threads is below 1 or above 2^31 - 1.
    """
    spec = as_spec(spec)
    threads = thread_count(threads)
    on_device = device_arrays.to_device_arrays(x=x, w=w)
    x, w = on_device or (np.ascontiguousarray(_operand(name, value, spec)) for name, value in (("x", x), ("w", w)))
    rank = x.ndim - 2
    if not 1 <= rank <= 3 or w.ndim != x.ndim:
        raise ValueError(f"expected x and w with the same 1 to 3 spatial dimensions, got shapes {x.shape}, {w.shape}")
    pads = _per_dimension("pads", pads, 2 * rank, 0)
    geometry = native.ConvGeometry(
        strides=_per_dimension("strides", strides, rank, 1),
        dilations=_per_dimension("dilations", dilations, rank, 1),
        pads_begin=pads[:rank],
        pads_end=pads[rank:],
        group=as_integer("group", group),
    )
    shape = _conv_shape(x.shape, w.shape, geometry)
    starts = _initial(initial, shape, (), is_on_device=bool(on_device))
    zero_points = _zero_points(spec, ("x", x_zero_point), ("w", w_zero_point), shape[1])
    if on_device:
        return device_arrays.conv(x, w, spec, geometry, shape)
    if starts is not None:
        starts = starts.reshape(*shape[:2], math.prod(shape[2:]))
    return native.conv(x, w, spec, geometry, shape, threads, initial=starts, zero_points=zero_points)


def _initial(
    initial: npt.ArrayLike | None, shape: tuple[int, ...], left_out: tuple[int, ...], *, is_on_device: bool
) -> npt.NDArray[np.float32] | None:
    """Return what sums start from, broadcast to the outputs; `left_out` are the axes that the result has not."""
    if initial is None:
        return None
    if is_on_device:
        raise ValueError("expected no initial values of operands on a CUDA device, whose sums start from zero")
    told = tuple(size for axis, size in enumerate(shape, -len(shape)) if axis not in left_out)
    values = _float32("initial", initial)
    try:
        return np.expand_dims(np.broadcast_to(values, told), tuple(sorted(left_out)))
    except ValueError:
        raise ValueError(f"expected initial to broadcast to {told}, got shape {values.shape}") from None


def _conv_shape(x: tuple[int, ...], w: tuple[int, ...], geometry: native.ConvGeometry) -> tuple[int, ...]:
    """Shape of the output; the native library checks the rest."""
    group = geometry.group
    if group < 1 or x[1] != w[1] * group or w[0] % group:
        raise ValueError(f"expected w [out_channels, channels / group, ...] for x {x} and group {group}, got {w}")
    if min((*geometry.strides, *geometry.dilations, *w[2:])) < 1 or min((*geometry.pads_begin, *geometry.pads_end)) < 0:
        raise ValueError(
            f"expected strides, dilations and kernel sizes of at least 1 and pads of 0 or more: {geometry}"
        )
    largest = max((*geometry.strides, *geometry.dilations, *geometry.pads_begin, *geometry.pads_end))
    if largest > _MAX_SETTING:
        raise ValueError(f"expected strides, dilations and pads of at most {_MAX_SETTING}, got {largest}")
    sizes = geometry.output_sizes(x[2:], w[2:])
    if sizes is None:
        raise ValueError(f"expected a kernel that fits the padded input, got x {x}, w {w}, {geometry}")
    return (x[0], w[0], *sizes)


def _operand(name: str, value: npt.ArrayLike, spec: Accumulator) -> npt.NDArray[Any]:
    """Return an operand as the accumulator takes it.

    Raises:
        TypeError: It is of a type that no accumulator of the kind takes.
    """
    if not spec.sums_codes:
        return _float32(name, value)
    array = np.asarray(value)
    if array.dtype.name not in spec.operand_types:
        expected = " or ".join(spec.operand_types)
        raise TypeError(f"expected {name} to be {expected} for sums in {spec}, got {array.dtype}")
    return array


def _zero_points(
    spec: Accumulator, first: tuple[str, int], second: tuple[str, npt.ArrayLike], count: int
) -> native.ZeroPoints | None:
    """Return the zero points of two operands, each a name and a value; None for kinds of floats.

    Raises:
        TypeError: One is no integer.
        ValueError: The second operand has neither one nor one for each of `count` columns, or floats have any.
    """
    values = np.asarray(second[1])
    if values.dtype.kind not in "iu":
        raise TypeError(f"expected {second[0]}_zero_point as integers, got {values.dtype}")
    if not spec.sums_codes:
        if first[1] or values.any():
            raise ValueError(f"expected no zero points with an accumulator of floats, got {spec}")
        return None
    if values.size != 1 and values.shape != (count,):
        raise ValueError(f"expected one {second[0]}_zero_point or {count}, got shape {values.shape}")
    clipped = np.ascontiguousarray(np.clip(values, -1000, 1000).reshape(-1), np.int32)  # no codes: the library says so
    return native.ZeroPoints(as_integer(f"{first[0]}_zero_point", first[1]), clipped)


def _float32(name: str, value: npt.ArrayLike) -> npt.NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype != np.float32:
        raise TypeError(f"expected {name} to be float32, got {array.dtype}")
    return array if array.flags.aligned else array.copy()  # the native library counts strides in values


def _per_dimension(name: str, values: Sequence[int] | None, count: int, default: int) -> tuple[int, ...]:
    if values is None:
        return (default,) * count
    try:
        integers = tuple(as_integer(name, value) for value in values)
    except TypeError:
        raise TypeError(f"expected {name} as a sequence of {count} integers, got {values!r}") from None
    if len(integers) != count:
        raise ValueError(f"expected {count} values in {name}, got {len(integers)}")
    return integers
