"""The operators of domain `lba_onnx`: their twins for onnx's reference evaluator, and their table.

lba_onnx.reference_evaluator("model_lba.onnx").run(None, {"image": image})
ReferenceEvaluator(model, new_ops=lba_onnx.ops.TWINS)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.inliner
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from lba_onnx import kernels
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.attention_ops import LbaAttention as LbaAttention
from lba_onnx.attention_ops import LbaGroupQueryAttention as LbaGroupQueryAttention
from lba_onnx.attention_ops import LbaMultiHeadAttention as LbaMultiHeadAttention
from lba_onnx.block_quantization import (
    ACCURACY_LEVEL_OF_CODES,
    dequantized_weights,
    has_plain_blocks,
    quantized_rows,
)
from lba_onnx.conv_sizes import covered_size, same_outputs
from lba_onnx.operators import BIAS_START
from lba_onnx.operators import DOMAIN as DOMAIN
from lba_onnx.operators import ELEMENT_TYPES as ELEMENT_TYPES
from lba_onnx.operators import OPERATORS as OPERATORS
from lba_onnx.operators import VERSION as VERSION
from lba_onnx.operators import AttributeSchema as AttributeSchema
from lba_onnx.operators import OperatorSchema as OperatorSchema
from lba_onnx.requantization import dequantized, product_scales, quantized, with_bias

_Floats = npt.NDArray[np.float32] | npt.NDArray[np.float16]
_Codes = npt.NDArray[np.uint8] | npt.NDArray[np.int8]
_Array = npt.NDArray[Any]


class LbaMatMul(OpRun):  # type: ignore[misc]
    """MatMul for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, a: _Floats, b: _Floats, **attributes: Any) -> tuple[_Floats]:
        spec = from_attributes(attributes)
        return (_round_to(a.dtype, kernels.matmul(_float32(a), _float32(b), spec)),)


class LbaGemm(OpRun):  # type: ignore[misc]
    """Gemm for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, a: _Floats, b: _Floats, c: _Floats | None = None, **attributes: Any) -> tuple[_Floats]:
        spec = from_attributes(attributes)
        left = _float32(a).T if attributes.get("transA") else _float32(a)
        right = _float32(b).T if attributes.get("transB") else _float32(b)
        alpha, beta = (np.float32(attributes.get(name, 1.0)) for name in ("alpha", "beta"))
        starts_from_bias = _starts_from_bias(attributes)
        if starts_from_bias and alpha != 1:
            raise ValueError(f"attribute alpha: expected 1 beside bias_start=1, got {alpha}")
        with np.errstate(all="ignore"):
            addend = None if c is None or beta == 0 else _float32(c) * beta
            y = kernels.matmul(left, right, spec, initial=addend if starts_from_bias else None) * alpha
            if addend is not None and not starts_from_bias:
                y += addend
        return (_round_to(a.dtype, y),)


class LbaMatMulNBits(OpRun):  # type: ignore[misc]
    """com.microsoft's MatMulNBits for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        a: _Floats,
        b: npt.NDArray[np.uint8],
        scales: _Floats,
        zero_points: _Array | None = None,
        g_idx: npt.NDArray[np.int32] | None = None,
        **attributes: Any,
    ) -> tuple[_Floats]:
        block_size = attributes["block_size"]
        weights = dequantized_weights(
            b,
            scales,
            zero_points,
            g_idx,
            depth=attributes["K"],
            bits=attributes.get("bits", 4),
            block_size=block_size,
        )
        left = _float32(a)
        quantizes = attributes.get("accuracy_level", 0) == ACCURACY_LEVEL_OF_CODES
        if quantizes and has_plain_blocks(zero_points, g_idx):
            left = quantized_rows(left, block_size)
        return (_round_to(a.dtype, kernels.matmul(left, weights, from_attributes(attributes))),)


class LbaConv(OpRun):  # type: ignore[misc]
    """Conv for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, x: _Floats, w: _Floats, bias: _Floats | None = None, **attributes: Any) -> tuple[_Floats]:
        spec = from_attributes(attributes)
        addend = None if bias is None else _float32(bias).reshape(-1, *(1,) * (x.ndim - 2))
        starts_from_bias = _starts_from_bias(attributes)
        y = kernels.conv(
            _float32(x),
            _float32(w),
            spec,
            **_window(attributes, x, w),
            initial=addend if starts_from_bias else None,
        )
        if addend is not None and not starts_from_bias:
            with np.errstate(all="ignore"):
                y += addend
        return (_round_to(x.dtype, y),)


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
        return np.asarray(kernels.conv(x, w, from_attributes(attributes), **_window(attributes, x, w), **points))

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


TWINS: Sequence[type[OpRun]] = [globals()[op_type] for op_type in OPERATORS]
"""All of them: what onnx's `ReferenceEvaluator` takes as `new_ops`."""


def reference_evaluator(model: str | Path | onnx.ModelProto, **keywords: Any) -> ReferenceEvaluator:
    """Return onnx's reference evaluator of a converted model, which gives the bits that onnxruntime gives.

    The evaluator knows new operators in no function of a model, so functions are inlined first; the float32 bodies of a
    portable model are left out.

    Args:
        model: A path or a model, converted or not.
        keywords: What `onnx.reference.ReferenceEvaluator` takes besides, such as `verbose=1`.
    """
    proto = model if isinstance(model, onnx.ModelProto) else onnx.load(model)
    return ReferenceEvaluator(
        _inlined(proto) if proto.functions else proto, new_ops=[*TWINS, *keywords.pop("new_ops", ())], **keywords
    )


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    bare.functions.extend(function for function in model.functions if function.domain != DOMAIN)
    return onnx.inliner.inline_local_functions(bare)


def _window(attributes: Mapping[str, Any], x: _Array, w: _Array) -> dict[str, Any]:
    """Return the arguments of a convolution that its attributes say."""
    kernel_shape = attributes.get("kernel_shape")
    if kernel_shape is not None and tuple(kernel_shape) != w.shape[2:]:
        raise ValueError(f"expected kernel_shape to be the spatial shape of W {w.shape}, got {list(kernel_shape)}")
    return {
        "strides": attributes.get("strides"),
        "pads": conv_pads(attributes, x.shape[2:], w.shape[2:]),
        "dilations": attributes.get("dilations"),
        "group": attributes.get("group", 1),
    }


def _point(zero_point: _Codes | None) -> Any:
    """Return a zero point, or one for each output, as integers; 0 where there is none."""
    if zero_point is None:
        return 0
    points = np.asarray(zero_point).astype(np.int64)
    return int(points.reshape(())) if points.size == 1 else points.reshape(-1)


def _starts_from_bias(attributes: Mapping[str, Any]) -> bool:
    value = attributes.get(BIAS_START.name) or BIAS_START.default
    if value not in (0, 1):
        raise ValueError(f"attribute {BIAS_START.name}: expected 0 or 1, got {value}")
    return bool(value)


def conv_pads(attributes: Mapping[str, Any], input_shape: Sequence[int], kernel_shape: Sequence[int]) -> list[int]:
    """Return a convolution's padding, all begins and then all ends, as `auto_pad` or `pads` gives it.

    Args:
        attributes: `auto_pad`, `pads`, `strides`, `dilations`; each may be absent.
        input_shape: Spatial shape of the input.
        kernel_shape: Spatial shape of the kernel.

    Raises:
        ValueError: `auto_pad` has another value than the standard's.
    """
    axes = len(input_shape)
    auto_pad = attributes.get("auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        return list(attributes.get("pads") or [0] * (2 * axes))
    if auto_pad == "VALID":
        return [0] * (2 * axes)
    if auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"expected auto_pad to be NOTSET, SAME_UPPER, SAME_LOWER or VALID, got {auto_pad!r}")
    smaller, larger = [], []
    strides, dilations = (attributes.get(name) or [1] * axes for name in ("strides", "dilations"))
    for size, kernel, stride, dilation in zip(input_shape, kernel_shape, strides, dilations, strict=True):
        total = max(0, covered_size(same_outputs(size, stride), kernel, stride, dilation) - size)
        smaller.append(total // 2)
        larger.append(total - total // 2)
    return smaller + larger if auto_pad == "SAME_UPPER" else larger + smaller


def _float32(values: _Floats) -> npt.NDArray[np.float32]:
    if values.dtype not in (np.float32, np.float16):
        raise TypeError(f"expected float32 or float16, got {values.dtype}")
    return values.astype(np.float32)


def _round_to(dtype: npt.DTypeLike, values: npt.NDArray[np.float32]) -> _Floats:
    with np.errstate(over="ignore"):  # beyond float16 lies infinity
        return values.astype(dtype)
