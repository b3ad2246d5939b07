"""The operators of float tensors, attention apart, for onnx's reference evaluator."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.reference.op_run import OpRun

from lba_onnx import kernels
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import BIAS_START, DOMAIN
from lba_onnx.ops.windows import conv_window
from lba_onnx.reference.block_quantization import (
    ACCURACY_LEVEL_OF_CODES,
    dequantized_weights,
    has_plain_blocks,
    quantized_rows,
)

_Floats = npt.NDArray[np.float32] | npt.NDArray[np.float16]
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
            **conv_window(attributes, x, w),
            initial=addend if starts_from_bias else None,
        )
        if addend is not None and not starts_from_bias:
            with np.errstate(all="ignore"):
                y += addend
        return (_round_to(x.dtype, y),)


def _starts_from_bias(attributes: Mapping[str, Any]) -> bool:
    value = attributes.get(BIAS_START.name) or BIAS_START.default
    if value not in (0, 1):
        raise ValueError(f"attribute {BIAS_START.name}: expected 0 or 1, got {value}")
    return bool(value)


def _float32(values: _Floats) -> npt.NDArray[np.float32]:
    if values.dtype not in (np.float32, np.float16):
        raise TypeError(f"expected float32 or float16, got {values.dtype}")
    return values.astype(np.float32)


def _round_to(dtype: npt.DTypeLike, values: npt.NDArray[np.float32]) -> _Floats:
    with np.errstate(over="ignore"):  # beyond float16 lies infinity
        return values.astype(dtype)
