"""The slow, exact definition of the arithmetic. Every kernel gives these bits.

    dot(x, w):   total = 0
                 for each chunk of chunk_size consecutive k:
                     partial_sum = 0
                     for each k in it:  partial_sum = quantize_acc(quantize_prod(x[k] * w[k]) + partial_sum)
                     total = quantize_acc(total + partial_sum)

The first half of this module is that definition, in Python integers: values count units of 2^-298, the smallest product
of two float32 numbers, so nothing is rounded except where `quantize_units` truncates. The second half is its twin for
arrays of outputs, in float64 steps that lose nothing; the tests hold the two together.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lba_onnx.accumulator import AccumulatorSpec, as_spec
from lba_onnx.formats import FloatFormat, as_integer

_UNITS_LOG2 = 298
_OPERAND_UNITS_LOG2 = 149  # float32 values are whole multiples of 2^-149

_Float64s = NDArray[np.float64]


@cache
def _limits(number_format: FloatFormat, underflow: bool) -> tuple[int, int, int]:
    """Return the largest value and the smallest kept magnitude, in units, and the number of significant bits."""
    smallest = number_format.smallest_kept(underflow)
    return _to_units(number_format.max_value), _to_units(smallest), number_format.mantissa_bits + 1


def quantize_units(units: int, number_format: FloatFormat, underflow: bool = True) -> int:
    """Quantize an exact value: saturate, underflow to zero, or truncate the magnitude; all in units of 2^-298."""
    largest, smallest, significant_bits = _limits(number_format, underflow)
    magnitude = abs(units)
    if magnitude >= largest:
        magnitude = largest
    elif magnitude < smallest:
        magnitude = 0
    else:
        dropped_bits = max(magnitude.bit_length() - significant_bits, 0)
        magnitude = magnitude >> dropped_bits << dropped_bits
    return -magnitude if units < 0 else magnitude


def product_units(x: float, w: float, spec: AccumulatorSpec) -> int | None:
    """Return the quantized product of two float32 values in units of 2^-298; None stands for NaN."""
    if math.isfinite(x) and math.isfinite(w):
        exact = int(math.ldexp(x, _OPERAND_UNITS_LOG2)) * int(math.ldexp(w, _OPERAND_UNITS_LOG2))
        return quantize_units(exact, spec.product_format, spec.underflow)
    product = x * w
    if math.isnan(product):
        return None
    return _to_units(math.copysign(spec.product_format.max_value, product))


def sum_units(products: Sequence[int | None], spec: AccumulatorSpec) -> float:
    """Return the sum, in chunks, of quantized products in units of 2^-298 (None for NaN)."""
    total = 0
    for start, stop in _chunks(len(products), spec):
        partial_sum = 0
        for product in products[start:stop]:
            if product is None:
                return math.nan
            partial_sum = quantize_units(product + partial_sum, spec.accumulator_format, spec.underflow)
        total = quantize_units(total + partial_sum, spec.accumulator_format, spec.underflow)
    return _from_units(total)


def dot(x: ArrayLike, w: ArrayLike, spec: AccumulatorSpec | str) -> float:
    """Return the dot product of two vectors; 0 when they are empty.

    Args:
        x: Float32 values [depth].
        w: Float32 values [depth].
        spec: Formats, chunk size and underflow, or the text of it.

    Raises:
        ValueError: The vectors differ in length, or a value is not a float32 number.
    """
    spec = as_spec(spec)
    pairs = zip(_float32_values(x), _float32_values(w), strict=True)
    return sum_units([product_units(a, b, spec) for a, b in pairs], spec)


def fmaq(x: float, w: float, partial_sum: float, spec: AccumulatorSpec | str) -> float:
    """Return one multiply-accumulate step, quantize_acc(quantize_prod(x * w) + partial_sum).

    Args:
        x: A float32 value.
        w: A float32 value.
        partial_sum: A value of the accumulator, or NaN.
        spec: Formats and underflow, or the text of it; the chunk size plays no part.

    Raises:
        ValueError: An operand is not a float32 number.
    """
    spec = as_spec(spec)
    (x, w) = _float32_values([x, w])
    product = product_units(x, w, spec)
    if product is None or math.isnan(partial_sum):
        return math.nan
    return _from_units(quantize_units(product + _to_units(partial_sum), spec.accumulator_format, spec.underflow))


def quantize(value: float | Fraction, number_format: FloatFormat, underflow: bool = True) -> float:
    """Quantize one exact value; the scalar twin of `FloatFormat.quantize`.

    Args:
        value: A float, int or rational; NaN gives NaN, infinities saturate.
        number_format: The format to truncate to.
        underflow: Whether magnitudes below the format's `min_value` become zero, or only those below 2^-126.
    """
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return math.nan if math.isnan(value) else math.copysign(number_format.max_value, value)
    return _from_units(quantize_units(_to_units(value), number_format, underflow))


def _to_units(value: float | Fraction) -> int:
    """Return a finite value in units of 2^-298; what is less than a unit cannot matter and is cut off."""
    numerator, denominator = value.as_integer_ratio()
    magnitude = (abs(numerator) << _UNITS_LOG2) // denominator
    return -magnitude if numerator < 0 else magnitude


def _from_units(units: int) -> float:
    """Return the value of quantized units; exact, since they have at most 23 significant bits."""
    return units / (1 << _UNITS_LOG2)


def _chunks(depth: int, spec: AccumulatorSpec) -> Iterator[tuple[int, int]]:
    """Yield the first k of each chunk and the one behind its last; the last chunk may be shorter."""
    size = spec.chunk_size or max(depth, 1)
    for start in range(0, depth, size):
        yield start, min(start + size, depth)


def _float32_values(values: ArrayLike) -> list[float]:
    exact: _Float64s = np.asarray(values, dtype=np.float64)
    if exact.ndim != 1:
        raise ValueError(f"expected a vector, got shape {exact.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.array_equal(exact, exact.astype(np.float32), equal_nan=True):
            raise ValueError("expected values that float32 can hold, got some with more bits or range")
    listed: list[float] = exact.tolist()
    return listed


# The twin for arrays. Why float64 loses nothing here:
# - A product of two float32 numbers has at most 48 significant bits and an exponent from -298 to 255: float64 holds it.
# - The terms of a sum are quantized: at most 23 bits each, magnitudes from 2^-126 to below 2^128. Their exact sum can
#   need 276 bits, so it is taken as rounded + error (Knuth's TwoSum, exact in float64 in this range). An error whose
#   sign opposes the rounded sum's says that rounding went up in magnitude; the next float64 toward zero is then the sum
#   truncated to 53 bits, and otherwise the rounded sum is. Truncating that to 23 bits or fewer is truncating the exact
#   sum, and it lies on the same side of max_value and min_value, which are float64 numbers.


def truncated_sum(a: _Float64s, b: _Float64s) -> _Float64s:
    """Return the exact sum of two arrays of quantized values, truncated toward zero to 53 bits."""
    rounded = a + b
    b_seen = rounded - a
    error = (a - (rounded - b_seen)) + (b - b_seen)
    went_up = (error != 0) & (np.signbit(error) != np.signbit(rounded))
    return np.where(went_up, np.nextafter(rounded, 0.0), rounded)


@dataclass(frozen=True, eq=False)
class Step:
    """One addition of a dot product, for an array of outputs; arrays are float64 and broadcast to the outputs' shape.

    Attributes:
        start: First k of the chunk.
        stop: One more than the last k that has entered the chunk's partial sum.
        product: The exact product k = stop - 1, which this step adds; None where the chunk's sum joins the total.
        addend: What is added: the quantized product, or the chunk's sum.
        before: The accumulator (the partial sum, or the total) before the step.
        exact: Their exact sum, truncated toward zero to 53 bits.
        after: The accumulator after the step.
    """

    start: int
    stop: int
    product: _Float64s | None
    addend: _Float64s
    before: _Float64s
    exact: _Float64s
    after: _Float64s


def steps(products: Iterator[_Float64s], depth: int, shape: tuple[int, ...], spec: AccumulatorSpec) -> Iterator[Step]:
    """Yield the additions of dot products in order: those of each chunk, then the one of its sum to the total.

    Args:
        products: Exact products for each k in turn; each broadcasts to `shape`.
        depth: How many.
        shape: Shape of the outputs.
        spec: Formats, chunk size and underflow, or the text of it.
    """
    total = np.zeros(shape)
    for start, stop in _chunks(depth, spec):
        partial_sum = np.zeros(shape)
        for k, product in enumerate(itertools.islice(products, stop - start), start):
            quantized = spec.product_format.quantize(product, spec.underflow).astype(np.float64)
            step = _step(start, k + 1, product, quantized, partial_sum, spec)
            partial_sum = step.after
            yield step
        step = _step(start, stop, None, partial_sum, total, spec)
        total = step.after
        yield step


def _step(
    start: int, stop: int, product: _Float64s | None, addend: _Float64s, before: _Float64s, spec: AccumulatorSpec
) -> Step:
    exact = truncated_sum(addend, before)
    after = spec.accumulator_format.quantize(exact, spec.underflow).astype(np.float64)
    return Step(start, stop, product, addend, before, exact, after)


def _sum_products(
    products: Iterator[_Float64s], depth: int, shape: tuple[int, ...], spec: AccumulatorSpec
) -> NDArray[np.float32]:
    """Return the float32 sums, in chunks, of `depth` arrays of exact products, each of which broadcasts to `shape`."""
    total = np.zeros(shape)
    for step in steps(products, depth, shape, spec):
        if step.product is None:
            total = step.after
    return total.astype(np.float32)  # quantizing has made every zero +0


def matmul(a: NDArray[np.float32], b: NDArray[np.float32], spec: AccumulatorSpec | str) -> NDArray[np.float32]:
    """Return the matrix product, shaped as by `numpy.matmul`.

    Args:
        a: float32 [..., rows, depth] or [depth].
        b: float32 [..., depth, columns] or [depth]; the leading dimensions of both broadcast.
        spec: Formats, chunk size and underflow, or the text of it; k runs upward.

    Returns:
        float32 [..., rows, columns]; a 1-D operand's dimension is left out. Zeros are +0.

    Raises:
        TypeError: An operand is not float32.
        ValueError: The shapes do not fit.
    """
    spec = as_spec(spec)
    left, right = operand("a", a), operand("b", b)
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError(f"expected operands of at least one dimension, got shapes {left.shape} and {right.shape}")
    left_matrix = left if left.ndim > 1 else left[np.newaxis, :]
    right_matrix = right if right.ndim > 1 else right[:, np.newaxis]
    depth = left_matrix.shape[-1]
    if right_matrix.shape[-2] != depth:
        raise ValueError(f"expected operands of equal depth, got shapes {left.shape} and {right.shape}")
    batch = np.broadcast_shapes(left_matrix.shape[:-2], right_matrix.shape[:-2])
    shape = (*batch, left_matrix.shape[-2], right_matrix.shape[-1])
    result = _sum_products(matmul_products(left_matrix, right_matrix), depth, shape, spec)
    left_out = [axis for axis, operand in ((-2, left), (-1, right)) if operand.ndim == 1]
    return result.squeeze(axis=tuple(left_out))


def matmul_products(a: _Float64s, b: _Float64s) -> Iterator[_Float64s]:
    """Yield for each k the exact products [..., rows, columns] of float32 values held in float64."""
    return (multiply(a[..., :, k, np.newaxis], b[..., k, np.newaxis, :]) for k in range(a.shape[-1]))


def conv(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    spec: AccumulatorSpec | str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
) -> NDArray[np.float32]:
    """Return the convolution (cross-correlation, as ONNX Conv) over one to three spatial axes.

    k runs over (channel in the group, kernel position), the last fastest. A position in the padding is a product equal
    to zero, whatever the weight, and counts toward its chunk.

    Args:
        x: float32 [batch, channels, *size].
        w: float32 [out_channels, channels / group, *kernel].
        spec: Formats, chunk size and underflow, or the text of it.
        strides: One a spatial axis; 1 by default.
        pads: All begins, then all ends; 0 by default.
        dilations: One a spatial axis; 1 by default.
        group: Number of groups.

    Returns:
        float32 [batch, out_channels, *out_size]; zeros are +0.

    Raises:
        TypeError: An operand is not float32.
        ValueError: Shapes or settings do not fit.
    """
    x64, w64 = operand("x", x), operand("w", w)
    window = window_of(x64.shape, w64.shape, strides, pads, dilations, group)
    depth = math.prod(w64.shape[1:])
    shape = (x64.shape[0], window.group, w64.shape[0] // window.group, *window.out_size)
    result = _sum_products(conv_products(x64, w64, window), depth, shape, as_spec(spec))
    return result.reshape(x64.shape[0], w64.shape[0], *window.out_size)


@dataclass(frozen=True)
class Window:
    """How a kernel moves over its input; one entry a spatial axis, two for the margins."""

    strides: tuple[int, ...]
    margins: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    group: int
    out_size: tuple[int, ...]

    def taps(self, position: Sequence[int]) -> tuple[slice, ...]:
        """Return where in the padded input the outputs meet one position of the kernel."""
        starts = [p * dilation for p, dilation in zip(position, self.dilations, strict=True)]
        sizes = zip(starts, self.out_size, self.strides, strict=True)
        return tuple(slice(start, start + (size - 1) * stride + 1, stride) for start, size, stride in sizes)


def conv_operands(
    x: _Float64s, w: _Float64s, window: Window
) -> Iterator[tuple[_Float64s, _Float64s, NDArray[np.bool_]]]:
    """Yield for each k what meets there: input values, weights, and which values lie in the input, not in its padding.

    They broadcast to [batch, group, out_channels / group, *out_size].
    """
    channels, kernel = w.shape[1], w.shape[2:]
    by_group = x.reshape(x.shape[0], window.group, channels, *x.shape[2:])
    padded = np.pad(by_group, ((0, 0), (0, 0), (0, 0), *window.margins))
    inside = np.pad(np.ones(x.shape[2:], dtype=bool), window.margins)
    for channel, *position in np.ndindex(w.shape[1:]):  # the last axis fastest
        taps = window.taps(position)
        met = (slice(None), slice(None), slice(channel, channel + 1), *taps)
        used = (slice(None), channel, *position)
        weights = w[used].reshape(window.group, w.shape[0] // window.group, *(1 for _ in kernel))
        yield padded[met], weights, inside[taps]


def conv_products(x: _Float64s, w: _Float64s, window: Window) -> Iterator[_Float64s]:
    """Yield for each k the exact products [batch, group, out_channels / group, *out_size] (some axes broadcast)."""
    for values, weights, inside in conv_operands(x, w, window):
        # Not just a product with the padding's zero: that would be NaN for an infinite weight.
        yield np.where(inside, multiply(values, weights), 0.0)


def window_of(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    group: int,
) -> Window:
    """Return how the kernel moves, with what `conv` takes.

    Raises:
        TypeError: A setting is not made of integers.
        ValueError: Shapes or settings do not fit.
    """
    axes = len(x_shape) - 2
    if axes not in (1, 2, 3) or len(w_shape) != len(x_shape):
        raise ValueError(f"expected x and w with 1 to 3 spatial axes each, got shapes {x_shape} and {w_shape}")
    group = as_integer("group", group)
    if group < 1 or w_shape[0] % group or x_shape[1] != w_shape[1] * group:
        raise ValueError(f"expected channels that fit group={group}, got shapes {x_shape} and {w_shape}")
    strides = _per_axis("strides", strides, (1,) * axes, least=1)
    dilations = _per_axis("dilations", dilations, (1,) * axes, least=1)
    pads = _per_axis("pads", pads, (0,) * (2 * axes), least=0)
    margins = tuple(zip(pads[:axes], pads[axes:], strict=True))
    reach = [(kernel - 1) * dilation for kernel, dilation in zip(w_shape[2:], dilations, strict=True)]
    room = [size + sum(margin) - r for size, margin, r in zip(x_shape[2:], margins, reach, strict=True)]
    if min(room) < 1 or min(w_shape[2:]) < 1:
        raise ValueError(f"expected a kernel that fits into the padded input, got shapes {x_shape} and {w_shape}")
    out_size = tuple((r - 1) // stride + 1 for r, stride in zip(room, strides, strict=True))
    return Window(strides, margins, dilations, group, out_size)


def _per_axis(name: str, values: Sequence[int] | None, default: tuple[int, ...], least: int) -> tuple[int, ...]:
    if values is None:
        return default
    integers = tuple(as_integer(name, value) for value in values)
    if len(integers) != len(default) or min(integers) < least:
        raise ValueError(f"expected {len(default)} {name} of at least {least}, got {list(integers)}")
    return integers


def operand(name: str, values: NDArray[np.float32]) -> _Float64s:
    """Return float32 values as float64.

    Raises:
        TypeError: They are not a float32 array; `name` is what the message calls them.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        raise TypeError(f"expected {name} to be a float32 array, got {getattr(values, 'dtype', type(values).__name__)}")
    with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any other
        return values.astype(np.float64)


def multiply(a: _Float64s, b: _Float64s) -> _Float64s:
    """Return the products of float32 values held in float64: exact."""
    with np.errstate(invalid="ignore"):  # inf * 0 is meant to give NaN
        return a * b
