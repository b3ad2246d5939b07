"""The slow, exact definition of products and convolutions in any accumulator.

What one dot product is, its accumulator says (`lba_onnx.arithmetic`): `dot` is that definition, one value at a time.
`matmul` and `conv` follow it for arrays of outputs at once, step by step in float64; the tests hold the two together.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.arithmetic.accumulator import Step
from lba_onnx.arithmetic.places import Places
from lba_onnx.reference import codes
from lba_onnx.reference.windows import Window, conv_operands, window_of

_Float64s = NDArray[np.float64]


def dot(
    x: ArrayLike, w: ArrayLike, spec: Accumulator | str, initial: float = 0.0, place: tuple[int, int] = (0, 0)
) -> float:
    """Return the dot product of two vectors; `initial`, rounded to the accumulator, when they are empty.

    Args:
        x: Float32 values [depth].
        w: Float32 values [depth].
        spec: The accumulator, or the text of it.
        initial: What the last chain of sums starts from, once it is rounded to the accumulator.
        place: The row and the column of the output among those of its node, for kinds that draw random bits.

    Raises:
        ValueError: The vectors differ in length, or a value is not a float32 number.
    """
    left, right = _float32_values(x), _float32_values(w)
    if len(left) != len(right):
        raise ValueError(f"expected vectors of one length, got {len(left)} and {len(right)} values")
    return as_spec(spec).dot(left, right, initial, place)


def fmaq(x: float, w: float, partial_sum: float, spec: Accumulator | str) -> float:
    """Return one multiply-accumulate step, for floats quantize_acc(quantize_prod(x * w) + partial_sum).

    Args:
        x: A float32 value.
        w: A float32 value.
        partial_sum: A value of the accumulator, or NaN.
        spec: The accumulator, or the text of it; the order of additions plays no part.

    Raises:
        ValueError: An operand is not a float32 number.
    """
    (x, w) = _float32_values([x, w])
    return as_spec(spec).step(x, w, partial_sum)


def _float32_values(values: ArrayLike) -> list[float]:
    exact: _Float64s = np.asarray(values, dtype=np.float64)
    if exact.ndim != 1:
        raise ValueError(f"expected a vector, got shape {exact.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        if not np.array_equal(exact, exact.astype(np.float32), equal_nan=True):
            raise ValueError("expected values that float32 can hold, got some with more bits or range")
    listed: list[float] = exact.tolist()
    return listed


@dataclass(frozen=True, eq=False)
class Outputs:
    """Where the outputs of a product stand, and what their sums start from.

    Attributes:
        shape: Of the outputs.
        places: Where they stand.
        initial: What their sums start from, of their shape; None for zero.
    """

    shape: tuple[int, ...]
    places: Places
    initial: _Float64s | None

    def steps(self, products: Iterator[_Float64s], depth: int, spec: Accumulator) -> Iterator[Step]:
        """Yield what happens to `depth` arrays of exact products, each of which broadcasts to the shape."""
        start = None
        if self.initial is not None:
            step = spec.start_step(self.initial, depth, self.places)
            start = step.after
            yield step
        yield from spec.steps(products, depth, self.shape, self.places, start)

    def sums(self, products: Iterator[_Float64s], depth: int, spec: Accumulator) -> NDArray[np.float32]:
        """Return the float32 sums of `depth` arrays of exact products."""
        total = np.zeros(self.shape)
        for step in self.steps(products, depth, spec):
            total = step.after
        return total.astype(np.float32)


def matmul(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    spec: Accumulator | str,
    initial: NDArray[np.float32] | None = None,
    *,
    a_zero_point: ArrayLike | None = None,
    b_zero_point: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return the matrix product, shaped as by `numpy.matmul`.

    Args:
        a: float32 [..., rows, depth] or [depth]; uint8 or int8 codes where the accumulator is one of integers.
        b: Likewise [..., depth, columns] or [depth]; the leading dimensions of both broadcast.
        spec: The accumulator, or the text of it; k runs upward.
        initial: float32 that broadcasts to the result: what each sum starts from, rounded to the accumulator; None for
            zero. Not of codes.
        a_zero_point: Of codes, the one that stands for zero; None for 0.
        b_zero_point: Likewise, or one for each column.

    Returns:
        float32 [..., rows, columns]; a 1-D operand's dimension is left out. Zeros are +0 where there is no infinity. Of
        codes int32, or int64 where the accumulator has more than 32 bits.

    Raises:
        TypeError: An operand is of another type.
        ValueError: The shapes do not fit, or a zero point is no code.
    """
    spec = as_spec(spec)
    zero_points = a_zero_point, b_zero_point
    _check_options(spec, initial, zero_points)
    left, right = operand("a", a, spec), operand("b", b, spec)
    if left.ndim == 0 or right.ndim == 0:
        raise ValueError(f"expected operands of at least one dimension, got shapes {left.shape} and {right.shape}")
    left_matrix = left if left.ndim > 1 else left[np.newaxis, :]
    right_matrix = right if right.ndim > 1 else right[:, np.newaxis]
    depth = left_matrix.shape[-1]
    if right_matrix.shape[-2] != depth:
        raise ValueError(f"expected operands of equal depth, got shapes {left.shape} and {right.shape}")
    batch = np.broadcast_shapes(left_matrix.shape[:-2], right_matrix.shape[:-2])
    shape = (*batch, left_matrix.shape[-2], right_matrix.shape[-1])
    left_out = tuple(axis for axis, operand in ((-2, left), (-1, right)) if operand.ndim == 1)
    if spec.sums_codes:
        return codes.matmul(left_matrix, right_matrix, spec, *zero_points).squeeze(axis=left_out)
    told = np.empty(shape, bool).squeeze(axis=left_out).shape
    outputs = Outputs(shape, matmul_places(shape), starts_of(initial, told, shape))
    return outputs.sums(matmul_products(left_matrix, right_matrix), depth, spec).squeeze(axis=left_out)


def starts_of(initial: NDArray[np.float32] | None, told: tuple[int, ...], shape: tuple[int, ...]) -> _Float64s | None:
    """Return what sums start from, one for each output.

    Args:
        initial: float32 that broadcasts to `told`, or None.
        told: The shape of the outputs as users see it.
        shape: The shape of the same outputs that is returned.

    Raises:
        TypeError: It is not float32.
        ValueError: It does not broadcast to the outputs.
    """
    if initial is None:
        return None
    values = operand("initial", initial)
    try:
        return np.broadcast_to(values, told).reshape(shape)
    except ValueError:
        raise ValueError(f"expected initial to broadcast to {told}, got shape {values.shape}") from None


def matmul_places(shape: tuple[int, ...]) -> Places:
    """Return where the outputs [..., rows, columns] of matrix products stand."""
    rows = np.arange(math.prod(shape[:-1]), dtype=np.int64).reshape(*shape[:-1], 1)
    return Places(rows, np.arange(shape[-1], dtype=np.int64))


def conv_places(shape: tuple[int, ...]) -> Places:
    """Return where the outputs [batch, group, channels / group, *size] of a convolution stand."""
    batch, groups, channels, *size = shape
    rows = np.arange(batch * math.prod(size), dtype=np.int64).reshape(batch, 1, 1, *size)
    return Places(rows, np.arange(groups * channels, dtype=np.int64).reshape(groups, channels, *(1 for _ in size)))


def matmul_products(a: _Float64s, b: _Float64s) -> Iterator[_Float64s]:
    """Yield for each k the exact products [..., rows, columns] of float32 values held in float64."""
    return (multiply(a[..., :, k, np.newaxis], b[..., k, np.newaxis, :]) for k in range(a.shape[-1]))


def conv(
    x: NDArray[np.float32],
    w: NDArray[np.float32],
    spec: Accumulator | str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    initial: NDArray[np.float32] | None = None,
    *,
    x_zero_point: ArrayLike | None = None,
    w_zero_point: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return the convolution (cross-correlation, as ONNX Conv) over one to three spatial axes.

    k runs over (channel in the group, kernel position), the last fastest, or as the accumulator says. A position in the
    padding is a product equal to zero, whatever the weight, and counts toward its chunk; of codes it holds the zero
    point of x.

    Args:
        x: float32 [batch, channels, *size]; uint8 or int8 codes where the accumulator is one of integers.
        w: Likewise [out_channels, channels / group, *kernel].
        spec: The accumulator, or the text of it.
        strides: One a spatial axis; 1 by default.
        pads: All begins, then all ends; 0 by default.
        dilations: One a spatial axis; 1 by default.
        group: Number of groups.
        initial: float32 that broadcasts to the result: what each sum starts from, rounded to the accumulator; None for
            zero. Not of codes.
        x_zero_point: Of codes, the one that stands for zero; None for 0.
        w_zero_point: Likewise, or one for each output channel.

    Returns:
        float32 [batch, out_channels, *out_size]; zeros are +0 where there is no infinity. Of codes int32, or int64
        where the accumulator has more than 32 bits.

    Raises:
        TypeError: An operand is of another type.
        ValueError: Shapes or settings do not fit, or a zero point is no code.
    """
    spec = as_spec(spec)
    _check_options(spec, initial, (x_zero_point, w_zero_point))
    x64, w64 = operand("x", x, spec), operand("w", w, spec)
    window = window_of(x64.shape, w64.shape, strides, pads, dilations, group)
    if spec.sums_codes:
        return codes.conv(x64, w64, spec, window, x_zero_point, w_zero_point)
    depth = math.prod(w64.shape[1:])
    shape = (x64.shape[0], window.group, w64.shape[0] // window.group, *window.out_size)
    told = (x64.shape[0], w64.shape[0], *window.out_size)
    outputs = Outputs(shape, conv_places(shape), starts_of(initial, told, shape))
    return outputs.sums(conv_products(x64, w64, window), depth, spec).reshape(told)


def conv_products(x: _Float64s, w: _Float64s, window: Window) -> Iterator[_Float64s]:
    """Yield for each k the exact products [batch, group, out_channels / group, *out_size] (some axes broadcast)."""
    for values, weights, inside in conv_operands(x, w, window):
        # Not just a product with the padding's zero: that would be NaN for an infinite weight.
        yield np.where(inside | np.isfinite(weights), multiply(values, weights), 0.0)


def operand(name: str, values: Any, spec: Accumulator | None = None) -> NDArray[Any]:
    """Return float32 values as float64; codes as they are where an accumulator sums codes.

    Raises:
        TypeError: They are no array of that type; `name` is what the message calls them.
    """
    if spec is not None and spec.sums_codes:
        return codes.check_codes(name, values, spec)
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        of = "" if spec is None else f", as {spec} takes"
        got = values.dtype if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
        raise TypeError(f"expected {name} to be a float32 array{of}, got {got}")
    with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any other
        return values.astype(np.float64)


def _check_options(spec: Accumulator, initial: Any, zero_points: tuple[ArrayLike | None, ArrayLike | None]) -> None:
    """Check that floats come without zero points, and codes without what their sums start from."""
    if spec.sums_codes and initial is not None:
        raise ValueError(f"expected no initial values of codes, whose sums start from zero in {spec}")
    if not spec.sums_codes and zero_points != (None, None):
        raise ValueError(f"expected no zero points beside the floats that {spec} takes")


def multiply(a: _Float64s, b: _Float64s) -> _Float64s:
    """Return the products of float32 values held in float64: exact."""
    with np.errstate(invalid="ignore"):  # inf * 0 is meant to give NaN
        return a * b
