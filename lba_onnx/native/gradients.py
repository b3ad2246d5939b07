"""Gradients of matrix products and convolutions by the estimators that gate single products (docs/numerics.md)."""

import ctypes
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator
from lba_onnx.native.accumulators import accumulator_handle
from lba_onnx.native.library import check, load_library
from lba_onnx.native.processors import thread_count
from lba_onnx.native.products import ConvGeometry, conv_args, matmul_args, start_from

Floats = npt.NDArray[np.float32]


class Gradients(NamedTuple):
    """Gradients of a product's operands.

    Attributes:
        first: Of the first operand; None where it was not wanted.
        second: Of the second operand, likewise.
        initial: What each output passes to what its sum starts from, of the outputs' shape; None where that is zero.
        gated: How many products of values pass no gradient.
    """

    first: Floats | None
    second: Floats | None
    initial: Floats | None
    gated: int


def matmul_gradients(
    grad: Floats,
    a: Floats,
    b: Floats,
    spec: Accumulator,
    estimator: int,
    threads: int,
    *,
    wants_a: bool = True,
    wants_b: bool = True,
    initial: Floats | None = None,
) -> Gradients:
    """Gradients of `products.matmul`.

    Args:
        grad: float32 [batch, rows, columns], C-contiguous: the gradient of the product.
        a: float32 [batch, rows, depth], any strides that are multiples of 4 bytes.
        b: float32 [batch, depth, columns], likewise; a broadcast dimension has stride 0.
        spec: The arithmetic of the product.
        estimator: The estimator's number in the native library.
        threads: Threads to use, at least 1; they change no bit.
        wants_a: Whether to compute the gradient of a.
        wants_b: Whether to compute the gradient of b.
        initial: float32 [batch, rows, columns], as `products.matmul` takes it; None for zero.

    Returns:
        float32 [batch, rows, depth], float32 [batch, columns, depth] (the gradient of b, transposed), that of what sums
        start from, and the number of gated products.
    """
    (batch, rows, depth), columns = a.shape, b.shape[2]
    grad_a = np.zeros((batch, rows, depth), np.float32) if wants_a else None
    grad_b = np.zeros((batch, columns, depth), np.float32) if wants_b else None
    grad_initial = None if initial is None else np.zeros(grad.shape, np.float32)
    args, offsets = matmul_args(a, b, None)
    start_from(args, initial)
    gated = ctypes.c_int64()
    entry = load_library().lba_matmul_gradients
    pointers = _pointers(grad, grad_a, grad_b, grad_initial)
    check(entry(accumulator_handle(spec), args, estimator, *pointers, gated, thread_count(threads)))
    del offsets  # `args` points into them
    return Gradients(grad_a, grad_b, grad_initial, gated.value)


def conv_gradients(
    grad: Floats,
    x: Floats,
    w: Floats,
    spec: Accumulator,
    estimator: int,
    geometry: ConvGeometry,
    threads: int,
    *,
    wants_x: bool = True,
    wants_w: bool = True,
    initial: Floats | None = None,
) -> Gradients:
    """Gradients of `products.conv`.

    Args:
        grad: float32 [batch, out_channels, output...], C-contiguous: the gradient of the convolution.
        x: float32 [batch, channels, spatial...], C-contiguous.
        w: float32 [out_channels, channels / group, kernel...], C-contiguous.
        spec: The arithmetic of the convolution.
        estimator: The estimator's number in the native library.
        geometry: Strides, dilations, pads and group.
        threads: Threads to use, at least 1; they change no bit.
        wants_x: Whether to compute the gradient of x.
        wants_w: Whether to compute the gradient of w.
        initial: float32 [batch, out_channels, positions], as `products.conv` takes it; None for zero.

    Returns:
        float32 arrays of the shapes of x and w, that of what sums start from, and the number of gated products.
    """
    grad_x = np.zeros(x.shape, np.float32) if wants_x else None
    grad_w = np.zeros(w.shape, np.float32) if wants_w else None
    gated = ctypes.c_int64()
    grad_initial = None if initial is None else np.zeros(grad.shape, np.float32)
    args = conv_args(x, w, geometry, None)
    start_from(args, initial)
    entry = load_library().lba_conv_gradients
    pointers = _pointers(grad, grad_x, grad_w, grad_initial)
    check(entry(accumulator_handle(spec), args, estimator, *pointers, gated, thread_count(threads)))
    return Gradients(grad_x, grad_w, grad_initial, gated.value)


def _pointers(*arrays: Floats | None) -> list[int | None]:
    return [None if array is None else array.ctypes.data for array in arrays]
