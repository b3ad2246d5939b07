"""The slow, exact definition of products and convolutions of integer codes.

    S = sum of (x + x_shift) * (w + w_shift)    in the accumulator; the shifts follow from it, and from the types
    y = S - a * sum(W) - b * sum(X) + depth * a * b    X = x + x_shift, W = w + w_shift,
                                                       a = x's zero point + x_shift, b = w's zero point + w_shift

The second line makes it the sum of (x - x's zero point) * (w - w's zero point), exactly, modulo 2^32 or 2^64. Where the
accumulator takes codes minus their zero points, a and b are 0. A padded position holds x's zero point.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.integers import as_integer
from lba_onnx.reference.windows import Window, conv_operands

_Codes = NDArray[Any]
_Float64s = NDArray[np.float64]
_Int64s = NDArray[np.int64]


def check_codes(name: str, values: Any, spec: Accumulator) -> _Codes:
    """Return an array of codes.

    Raises:
        TypeError: It is none, of a type that the accumulator takes; `name` is what the message calls it.
    """
    if not isinstance(values, np.ndarray) or values.dtype.name not in spec.operand_types:
        expected = " or ".join(spec.operand_types)
        got = getattr(values, "dtype", type(values).__name__)
        raise TypeError(f"expected {name} to be a {expected} array, as {spec} takes, got {got}")
    return values


def zero_points(name: str, value: ArrayLike | None, dtype: np.dtype[Any], count: int | None = None) -> _Int64s:
    """Return the codes that stand for zero: one, or where `count` is given also as many.

    Raises:
        TypeError: They are no integers.
        ValueError: They are no codes of the type, or not as many.
    """
    given = np.asarray(0 if value is None else value)
    codes = np.array([as_integer(name, code) for code in given.ravel()], np.int64)
    limits = np.iinfo(dtype)
    if any(not limits.min <= code <= limits.max for code in codes):
        raise ValueError(f"expected {name} from {limits.min} to {limits.max}, as {dtype} codes are, got {given}")
    if given.size == 1:
        return codes.reshape(())
    if count is None or given.shape != (count,):
        most = "one" if count is None else f"one or {count}"
        raise ValueError(f"expected {most} of {name}, got shape {given.shape}")
    return codes


def matmul(
    a: _Codes,
    b: _Codes,
    spec: Accumulator,
    a_zero_point: ArrayLike | None = None,
    b_zero_point: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return matrix products [..., rows, columns] of codes [..., rows, depth] and [..., depth, columns]."""
    of_a = zero_points("a_zero_point", a_zero_point, a.dtype)
    of_b = zero_points("b_zero_point", b_zero_point, b.dtype, b.shape[-1])
    how = spec.of_codes(a.dtype.name, b.dtype.name)
    x, x_rest = _shifted(a, of_a, how.x_shift)
    w, w_rest = _shifted(b, of_b, how.w_shift)
    depth = a.shape[-1]
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    products = (x[..., :, k, np.newaxis] * w[..., k, np.newaxis, :] for k in range(depth))
    total = _sums(how.accumulator, products, depth, shape)
    sum_x = x.sum(axis=-1, keepdims=True).astype(np.int64)
    sum_w = w.sum(axis=-2, keepdims=True).astype(np.int64)
    return _result(total - x_rest * sum_w - w_rest * sum_x + depth * x_rest * w_rest, spec)


def conv(
    x: _Codes,
    w: _Codes,
    spec: Accumulator,
    window: Window,
    x_zero_point: ArrayLike | None = None,
    w_zero_point: ArrayLike | None = None,
) -> NDArray[Any]:
    """Return the convolution [batch, out_channels, *out_size] of codes, with a kernel that moves as `window` says."""
    out_channels, axes = w.shape[0], w.ndim - 2
    of_x = zero_points("x_zero_point", x_zero_point, x.dtype)
    of_w = zero_points("w_zero_point", w_zero_point, w.dtype, out_channels)
    is_depthwise = w.shape[1] == 1 and out_channels == window.group
    how = spec.of_codes(x.dtype.name, w.dtype.name, is_depthwise=is_depthwise)
    moved, x_rest = _shifted(x, of_x, how.x_shift)
    weights, w_rest = _shifted(w, np.broadcast_to(of_w, out_channels).reshape(-1, *(1,) * (axes + 1)), how.w_shift)
    shape = (x.shape[0], window.group, out_channels // window.group, *window.out_size)
    depth = math.prod(w.shape[1:])
    met = (moved, weights, window, spec.product_order, float(x_rest))
    products = (values * factors for values, factors, _ in conv_operands(*met))
    total = _sums(how.accumulator, products, depth, shape)
    sum_x = sum((values for values, _, _ in conv_operands(*met)), np.zeros(()))
    by_channel = (1, window.group, -1, *(1,) * axes)
    sum_w = weights.sum(axis=tuple(range(1, w.ndim))).astype(np.int64).reshape(by_channel)
    w_rest = np.broadcast_to(w_rest, (out_channels, *(1,) * (axes + 1))).reshape(by_channel)
    total = total - x_rest * sum_w - w_rest * sum_x.astype(np.int64) + depth * x_rest * w_rest
    return _result(total, spec).reshape(x.shape[0], out_channels, *window.out_size)


def _shifted(codes: _Codes, zero_point: _Int64s, shift: int | None) -> tuple[_Float64s, _Int64s]:
    """Return what is accumulated of codes, and what of that stands for zero."""
    if shift is None:
        return (codes.astype(np.int64) - zero_point).astype(np.float64), np.zeros_like(zero_point)
    return codes.astype(np.float64) + shift, zero_point + shift


def _sums(spec: Accumulator, products: Iterator[_Float64s], depth: int, shape: tuple[int, ...]) -> _Int64s:
    total = np.zeros(shape)
    for step in spec.steps(products, depth, shape):
        total = np.broadcast_to(step.after, shape)
    return total.astype(np.int64)


def _result(total: _Int64s, spec: Accumulator) -> NDArray[Any]:
    """Return int64 values modulo 2^32 where results are int32."""
    return total.astype(spec.result_type)
