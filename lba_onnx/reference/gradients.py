"""The slow, exact definition of the gradients that train through low bit-width sums.

With g the gradient of a dot product y = Σ x[k]·w[k], the straight-through estimators of Blumenfeld, Hubara and Soudry
(ICLR 2024, section 4) give x[k] the gradient g·w[k]·alpha[k], and w[k] the gradient g·x[k]·alpha[k]. An alpha is 1, or
0 for a product that is gated: it then contributes nothing, not even where g is infinite. Each estimator has its rule
(`lba_onnx.estimators`), which looks at the steps of the sum as `Accumulator.steps` makes them, with the random bits
that they drew; adding a chunk's sum to the total is a step too, and so is rounding what a sum starts from, which has an
alpha of its own. Gradients are summed here in float64, once per product that is not gated.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.estimators import check_defined, gating_of
from lba_onnx.reference.products import (
    Outputs,
    conv_places,
    conv_products,
    matmul_places,
    matmul_products,
    multiply,
    operand,
    starts_of,
)
from lba_onnx.reference.windows import conv_operands, window_of

_Float32s = NDArray[np.float32]
_Float64s = NDArray[np.float64]
_Masks = NDArray[np.bool_]


def matmul_masks(
    a: _Float32s, b: _Float32s, spec: Accumulator | str, estimator: str, initial: _Float32s | None = None
) -> _Masks:
    """Return which products of a matrix product pass their gradient.

    Args:
        a: float32 [..., rows, depth].
        b: float32 [..., depth, columns], with the same leading dimensions.
        spec: The accumulator, or the text of it.
        estimator: One of `estimators.ESTIMATORS`.
        initial: float32 that broadcasts to the result: what each sum starts from; None for zero.

    Returns:
        bool [..., rows, columns, depth]; False where a product is gated. With `initial` one more than the depth,
        the last of what the sum starts from.

    Raises:
        TypeError: An operand is not float32.
        ValueError: Shapes do not fit, or the estimator is unknown.
    """
    left, right = _matrices(a, b)
    depth, shape = left.shape[-1], (*left.shape[:-1], right.shape[-1])
    outputs = Outputs(shape, matmul_places(shape), starts_of(initial, shape, shape))
    return _masks(matmul_products(left, right), depth, outputs, as_spec(spec), estimator)


def matmul_gradients(
    grad: _Float32s,
    a: _Float32s,
    b: _Float32s,
    spec: Accumulator | str,
    estimator: str,
    initial: _Float32s | None = None,
) -> tuple[_Float64s, ...]:
    """Return the gradients of the operands of a matrix product.

    Args:
        grad: float32 [..., rows, columns], the gradient of the product.
        a: float32 [..., rows, depth].
        b: float32 [..., depth, columns], with the same leading dimensions.
        spec: The accumulator, or the text of it.
        estimator: One of `estimators.ESTIMATORS`.
        initial: float32 that broadcasts to the result: what each sum starts from; None for zero.

    Returns:
        float64 arrays of the shapes of a and b, and of `initial` where it is given.

    Raises:
        TypeError: An operand is not float32.
        ValueError: Shapes do not fit, or the estimator is unknown.
    """
    left, right = _matrices(a, b)
    upstream = operand("grad", grad)
    masks = matmul_masks(a, b, spec, estimator, initial)
    grad_a, grad_b = np.zeros(left.shape), np.zeros(right.shape)
    for k in range(left.shape[-1]):
        passed = masks[..., k]
        grad_a[..., :, k] = _passed_on(upstream, right[..., k, np.newaxis, :], passed, -1)
        grad_b[..., k, :] = _passed_on(upstream, left[..., :, k, np.newaxis], passed, -2)
    return grad_a, grad_b, *_start_gradients(upstream, masks, left.shape[-1], initial)


def conv_masks(
    x: _Float32s,
    w: _Float32s,
    spec: Accumulator | str,
    estimator: str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    initial: _Float32s | None = None,
) -> _Masks:
    """Return which products of a convolution pass their gradient; those with the padding are products too.

    Args:
        x: float32 [batch, channels, *size].
        w: float32 [out_channels, channels / group, *kernel].
        spec: The accumulator, or the text of it.
        estimator: One of `estimators.ESTIMATORS`.
        strides: One a spatial axis; 1 by default.
        pads: All begins, then all ends; 0 by default.
        dilations: One a spatial axis; 1 by default.
        group: Number of groups.
        initial: float32 that broadcasts to the result: what each sum starts from; None for zero.

    Returns:
        bool [batch, out_channels, *out_size, depth], k as in `reference.conv`; False where a product is gated. With
        `initial` one more than the depth, the last of what the sum starts from.

    Raises:
        TypeError: An operand is not float32.
        ValueError: Shapes or settings do not fit, or the estimator is unknown.
    """
    x64, w64 = operand("x", x), operand("w", w)
    window = window_of(x64.shape, w64.shape, strides, pads, dilations, group)
    depth = int(np.prod(w64.shape[1:]))
    shape = (len(x64), group, len(w64) // group, *window.out_size)
    told = (len(x64), len(w64), *window.out_size)
    outputs = Outputs(shape, conv_places(shape), starts_of(initial, told, shape))
    masks = _masks(conv_products(x64, w64, window), depth, outputs, as_spec(spec), estimator)
    return masks.reshape(*told, masks.shape[-1])


def conv_gradients(
    grad: _Float32s,
    x: _Float32s,
    w: _Float32s,
    spec: Accumulator | str,
    estimator: str,
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    group: int = 1,
    initial: _Float32s | None = None,
) -> tuple[_Float64s, ...]:
    """Return the gradients of the operands of a convolution.

    Args:
        grad: float32 [batch, out_channels, *out_size], the gradient of the convolution.
        x: float32 [batch, channels, *size].
        w: float32 [out_channels, channels / group, *kernel].
        spec: The accumulator, or the text of it.
        estimator: One of `estimators.ESTIMATORS`.
        strides: One a spatial axis; 1 by default.
        pads: All begins, then all ends; 0 by default.
        dilations: One a spatial axis; 1 by default.
        group: Number of groups.
        initial: float32 that broadcasts to the result: what each sum starts from; None for zero.

    Returns:
        float64 arrays of the shapes of x and w, and of `initial` where it is given.

    Raises:
        TypeError: An operand is not float32.
        ValueError: Shapes or settings do not fit, or the estimator is unknown.
    """
    x64, w64 = operand("x", x), operand("w", w)
    window = window_of(x64.shape, w64.shape, strides, pads, dilations, group)
    outputs = (len(x64), group, len(w64) // group, *window.out_size)
    upstream = operand("grad", grad).reshape(outputs)
    all_masks = conv_masks(x, w, spec, estimator, strides, pads, dilations, group, initial)
    masks = all_masks.reshape(*outputs, all_masks.shape[-1])
    by_group = (len(x64), group, x64.shape[1] // group, *x64.shape[2:])
    grad_padded = np.pad(np.zeros(by_group), ((0, 0), (0, 0), (0, 0), *window.margins))
    grad_w = np.zeros((group, len(w64) // group, *w64.shape[1:]))
    places = list(np.ndindex(*w64.shape[1:]))
    for k, (values, weights, inside) in enumerate(conv_operands(x64, w64, window)):
        channel, *position = places[k]
        passed = masks[..., k] & inside
        over_outputs = (0, *range(3, passed.ndim))
        used = (slice(None), slice(None), channel, *position)
        grad_w[used] = _passed_on(upstream, values, passed, over_outputs)
        met = (slice(None), slice(None), channel, *window.taps(position))
        grad_padded[met] += _passed_on(upstream, weights, passed, 2)
    sizes = zip(window.margins, x64.shape[2:], strict=True)
    inner = (slice(None), slice(None), slice(None), *(slice(begin, begin + size) for (begin, _), size in sizes))
    starts = _start_gradients(upstream.reshape(all_masks.shape[:-1]), all_masks, len(places), initial)
    return grad_padded[inner].reshape(x64.shape), grad_w.reshape(w64.shape), *starts


def _masks(products: Iterator[_Float64s], depth: int, outputs: Outputs, spec: Accumulator, estimator: str) -> _Masks:
    """Return [*outputs, depth], or one more where sums start from values: False where a product is gated."""
    masks = np.ones((*outputs.shape, depth + 1), dtype=bool)
    gating = gating_of(estimator)
    check_defined(estimator, spec)
    if gating is not None:
        for step in outputs.steps(products, depth, spec):
            gating.gate(masks, step)
    return masks[..., :depth] if outputs.initial is None else masks


def _start_gradients(
    upstream: _Float64s, masks: _Masks, depth: int, initial: _Float32s | None
) -> tuple[_Float64s, ...]:
    """Return the gradient of what sums start from, in its shape; nothing where it is zero."""
    if initial is None:
        return ()
    passed = np.where(masks[..., depth], upstream, 0.0)
    shape = np.shape(initial)
    added = passed.ndim - len(shape)
    broadcast = [axis for axis, size in enumerate(passed.shape) if axis < added or shape[axis - added] != size]
    return (passed.sum(tuple(broadcast)).reshape(shape),)


def _passed_on(upstream: _Float64s, other: _Float64s, passed: _Masks, axes: int | tuple[int, ...]) -> _Float64s:
    """Return the sum over axes of upstream * other where a product passes its gradient, and of 0 elsewhere."""
    with np.errstate(invalid="ignore"):  # infinities of both signs are meant to give NaN
        total: _Float64s = np.where(passed, multiply(upstream, other), 0.0).sum(axes)
    return total


def _matrices(a: _Float32s, b: _Float32s) -> tuple[_Float64s, _Float64s]:
    left, right = operand("a", a), operand("b", b)
    if left.ndim < 2 or left.ndim != right.ndim or left.shape[:-2] != right.shape[:-2]:
        raise ValueError(f"expected matrices or equal batches of them, got shapes {left.shape} and {right.shape}")
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"expected operands of equal depth, got shapes {left.shape} and {right.shape}")
    return left, right
