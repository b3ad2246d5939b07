"""The operators of 8-bit codes for onnx's reference evaluator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.reference.op_run import OpRun

from lba_onnx import kernels
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import DOMAIN
from lba_onnx.ops.windows import conv_window
from lba_onnx.reference.requantization import dequantized, product_scales, quantized, with_bias

_Codes = npt.NDArray[np.uint8] | npt.NDArray[np.int8]
_Array = npt.NDArray[Any]


class _OfMatrices:
    """Sums of products of two matrices of codes; of outputs, the last axis is that of columns."""

    @staticmethod
    def _sums(
        a: Any, b: Any, a_zero_point: _Codes | None, b_zero_point: _Codes | None, attributes: Mapping[str, Any]
    ) -> _Array:
        points = {"a_zero_point": _point(a_zero_point), "b_zero_point": _point(b_zero_point)}
        return np.asarray(kernels.matmul(a, b, from_attributes(attributes), **points))

    @staticmethod
    def _along(values: _Array, sums: _Array) -> _Array:
        """Return values, one or one for each output, so that they broadcast to the sums."""
        return values


class _OfImages:
    """Sums of a convolution of codes; of outputs, the second axis is that of channels."""

    @staticmethod
    def _sums(
        x: Any, w: Any, x_zero_point: _Codes | None, w_zero_point: _Codes | None, attributes: Mapping[str, Any]
    ) -> _Array:
        points = {"x_zero_point": _point(x_zero_point), "w_zero_point": _point(w_zero_point)}
        return np.asarray(kernels.conv(x, w, from_attributes(attributes), **conv_window(attributes, x, w), **points))

    @staticmethod
    def _along(values: _Array, sums: _Array) -> _Array:
        """Return values, one or one for each output, so that they broadcast to the sums."""
        return np.asarray(values).reshape(-1, *(1,) * (sums.ndim - 2))


class LbaQLinearMatMul(_OfMatrices, OpRun):  # type: ignore[misc]
    """QLinearMatMul for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        a: _Codes,
        a_scale: _Array,
        a_zero_point: _Codes,
        b: _Codes,
        b_scale: _Array,
        b_zero_point: _Codes,
        y_scale: _Array,
        y_zero_point: _Codes,
        **attributes: Any,
    ) -> tuple[_Codes]:
        sums = self._sums(a, b, a_zero_point, b_zero_point, attributes)
        return (quantized(sums, product_scales(a_scale, b_scale, y_scale), y_zero_point),)


class LbaMatMulInteger(_OfMatrices, OpRun):  # type: ignore[misc]
    """MatMulInteger for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        x: _Codes,
        w: _Codes,
        x_zero_point: _Codes | None = None,
        w_zero_point: _Codes | None = None,
        **attributes: Any,
    ) -> tuple[_Array]:
        return (self._sums(x, w, x_zero_point, w_zero_point, attributes),)


class LbaMatMulIntegerToFloat(_OfMatrices, OpRun):  # type: ignore[misc]
    """com.microsoft's MatMulIntegerToFloat for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        x: _Codes,
        w: _Codes,
        x_scale: _Array,
        w_scale: _Array,
        x_zero_point: _Codes | None = None,
        w_zero_point: _Codes | None = None,
        bias: _Array | None = None,
        **attributes: Any,
    ) -> tuple[_Array]:
        sums = self._sums(x, w, x_zero_point, w_zero_point, attributes)
        addend = None if bias is None else self._along(bias, sums)
        return (dequantized(sums, self._along(product_scales(x_scale, w_scale), sums), addend),)


class LbaQLinearConv(_OfImages, OpRun):  # type: ignore[misc]
    """QLinearConv for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        x: _Codes,
        x_scale: _Array,
        x_zero_point: _Codes,
        w: _Codes,
        w_scale: _Array,
        w_zero_point: _Codes,
        y_scale: _Array,
        y_zero_point: _Codes,
        bias: npt.NDArray[np.int32] | None = None,
        **attributes: Any,
    ) -> tuple[_Codes]:
        sums = self._sums(x, w, x_zero_point, w_zero_point, attributes)
        biased = with_bias(sums, None if bias is None else self._along(bias, sums))
        scales = self._along(product_scales(x_scale, w_scale, y_scale), sums)
        return (quantized(biased, scales, y_zero_point),)


class LbaConvInteger(_OfImages, LbaMatMulInteger):
    """ConvInteger for onnx's reference evaluator."""


class LbaConvIntegerToFloat(_OfImages, LbaMatMulIntegerToFloat):
    """A convolution of codes with a float32 result for onnx's reference evaluator."""


class LbaQGemm(_OfMatrices, OpRun):  # type: ignore[misc]
    """com.microsoft's QGemm for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        a: _Codes,
        a_scale: _Array,
        a_zero_point: _Codes,
        b: _Codes,
        b_scale: _Array,
        b_zero_point: _Codes,
        c: npt.NDArray[np.int32] | None = None,
        y_scale: _Array | None = None,
        y_zero_point: _Codes | None = None,
        **attributes: Any,
    ) -> tuple[_Array]:
        left, right = (v.T if attributes.get(name) else v for v, name in ((a, "transA"), (b, "transB")))
        sums = with_bias(self._sums(left, right, a_zero_point, b_zero_point, attributes), c)
        scales = product_scales(a_scale, b_scale, y_scale, attributes.get("alpha", 1.0))
        return (dequantized(sums, scales) if y_zero_point is None else quantized(sums, scales, y_zero_point),)


def _point(zero_point: _Codes | None) -> Any:
    """Return a zero point, or one for each output, as integers; 0 where there is none."""
    if zero_point is None:
        return 0
    points = np.asarray(zero_point).astype(np.int64)
    return int(points.reshape(())) if points.size == 1 else points.reshape(-1)
