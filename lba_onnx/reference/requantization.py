"""What operators of integers make of their sums, in the order of onnxruntime's kernels.

    codes      clamp(nearest even(float32(sum + bias) * scale) + zero point)      scale = (x_scale * w_scale) / y_scale
    float32    float32(sum) * (x_scale * w_scale) + bias

Each step is rounded to float32. Of QGemm, alpha is multiplied with x_scale first.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from lba_onnx.operators import CODE_TYPES

_Floats = npt.NDArray[np.float32]


def product_scales(
    x_scale: npt.ArrayLike, w_scale: npt.ArrayLike, y_scale: npt.ArrayLike | None = None, factor: float = 1.0
) -> _Floats:
    """Return what sums are multiplied with: one value, or one for each column or channel.

    Args:
        x_scale: The scale of the first operand.
        w_scale: The scales of the weights.
        y_scale: The scale of the result; None for a result in float32.
        factor: Alpha, of QGemm.
    """
    first = np.float32(factor) * _floats(x_scale).reshape(())
    scales = first * _floats(w_scale).reshape(-1)
    return np.asarray(scales if y_scale is None else scales / _floats(y_scale).reshape(()))


def quantized(sums: npt.NDArray[Any], scales: _Floats, zero_point: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return the codes of sums.

    Args:
        sums: int32 or int64.
        scales: What they are multiplied with; broadcasts to their shape.
        zero_point: uint8 or int8, the type of the codes.
    """
    point = np.asarray(zero_point).reshape(())
    if point.dtype.name not in CODE_TYPES:
        raise TypeError(f"expected a zero point of {' or '.join(CODE_TYPES)}, got {point.dtype}")
    held = np.iinfo(point.dtype)
    rounded = np.rint(sums.astype(np.float32) * scales)
    clamped = np.clip(rounded, np.float32(held.min) - np.float32(point), np.float32(held.max) - np.float32(point))
    return np.asarray(clamped.astype(np.int32) + np.int32(point)).astype(point.dtype)


def dequantized(sums: npt.NDArray[Any], scales: _Floats, bias: npt.ArrayLike | None = None) -> _Floats:
    """Return sums in float32.

    Args:
        sums: int32 or int64.
        scales: What they are multiplied with; broadcasts to their shape.
        bias: float32, what is added; broadcasts likewise.
    """
    y = sums.astype(np.float32) * scales
    return y if bias is None else y + _floats(bias)


def with_bias(sums: npt.NDArray[Any], bias: npt.NDArray[np.int32] | None) -> npt.NDArray[Any]:
    """Return sums with an int32 bias, modulo 2^32, or, of int64, 2^64."""
    if bias is None:
        return sums
    with np.errstate(over="ignore"):
        return np.asarray(sums + bias.astype(sums.dtype))


def _floats(values: npt.ArrayLike) -> _Floats:
    floats = np.asarray(values)
    if floats.dtype != np.float32:
        raise TypeError(f"expected scales and biases of float32, got {floats.dtype}")
    return floats
