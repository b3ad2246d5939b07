"""Conv, MatMul and Gemm between DequantizeLinear and QuantizeLinear, and the operator of integers that each becomes.

    DequantizeLinear(x), DequantizeLinear(w), bias -> node -> QuantizeLinear       of MatMul also behind a Transpose

    node     bias                                   QuantizeLinear behind        nothing behind, or other nodes
    Conv     none, or int32 of scale sx * sw        LbaQLinearConv               LbaConvIntegerToFloat
    Conv     float32                                LbaConvIntegerToFloat        LbaConvIntegerToFloat
    MatMul   -                                      LbaQLinearMatMul             LbaMatMulIntegerToFloat
    Gemm     none, or int32 of scale sx * sw        LbaQGemm                     LbaQGemm, of float32 output
    Gemm     float32                                LbaQGemm and Add             LbaQGemm and Add

These are the operators that onnxruntime fuses such nodes to, but for those of Conv with a float32 result.
"""

from typing import Any

import numpy as np
import onnx

from lba_onnx.operators import BIAS_INPUT
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.code_types import codes_of
from lba_onnx.rewrite.integer_forms import Input, IntegerForm, Left, Zero
from lba_onnx.rewrite.integer_operators import check_addend
from lba_onnx.rewrite.qdq_nodes import Dequantized, Quantized, dequantized, is_dequantized, quantized
from lba_onnx.rewrite.twins import schema_of
from lba_onnx.rewrite.values import Values

_CLOSE = 2.0**-20  # of a bias's scale to the product that it stands for: exporters multiply in several precisions


def form_of_float_node(site: Site, values: Values) -> IntegerForm:
    """Return what a Conv, MatMul or Gemm becomes under an accumulator of integers.

    Raises:
        Left: It stays as it is.
    """
    make = _FORMS.get(site.node.op_type) if schema_of(site.node).replaced_domain == "" else None
    if make is None:
        raise Left("multiplies floats alone")
    quantized_operands = [is_dequantized(site, index, values) for index in (0, 1)]
    if not all(quantized_operands):
        which = "one operand" if any(quantized_operands) else "no operand"
        raise Left(f"multiplies floats: {which} comes from DequantizeLinear; expected both")
    x, w = (dequantized(site, index, values) for index in (0, 1))
    codes = codes_of(x.type, w.type)
    if x.axis is not None:
        raise Left(f"{x.codes!r} has scales along axis {x.axis}; expected one scale for the first operand")
    return make(site, values, codes, x, w)


def _conv(site: Site, values: Values, codes: str, x: Dequantized, w: Dequantized) -> IntegerForm:
    _check_axis(w, 0)
    behind, bias = quantized(site, values), _bias(site)
    if behind is not None and (not bias or is_dequantized(site, BIAS_INPUT, values)):
        exact = _exact_bias(site, values, x, w, 1.0) if bias else None
        if exact is not None or not bias:
            inputs: tuple[Input, ...] = (*_operands(x, w), behind.scale, behind.zero_point)
            return _quantizing("LbaQLinearConv", (*inputs, *_codes(exact)), codes, behind, x, w, exact)
    return _to_float("LbaConvIntegerToFloat", codes, x, w, *([bias] if bias else []))


def _matmul(site: Site, values: Values, codes: str, x: Dequantized, w: Dequantized) -> IntegerForm:
    dimensions = w.site.dimensions(0)
    _check_axis(w, len(dimensions) - 1 if dimensions is not None and len(dimensions) > 1 else -1)
    behind = quantized(site, values)
    if behind is None:
        return _to_float("LbaMatMulIntegerToFloat", codes, x, w)
    inputs = (*_operands(x, w), behind.scale, behind.zero_point)
    return _quantizing("LbaQLinearMatMul", inputs, codes, behind, x, w, None)


def _gemm(site: Site, values: Values, codes: str, x: Dequantized, w: Dequantized) -> IntegerForm:
    attributes = site.attributes()
    transposes, alpha, beta = (attributes.get(name, default) for name, default in _GEMM_DEFAULTS)
    if None in (transposes, alpha, beta):
        raise Left("transB, alpha or beta differs between the calls of its function")
    _check_axis(w, 0 if transposes else 1)
    exact, behind, bias = None, quantized(site, values), _bias(site) if beta != 0 else ""
    if bias and is_dequantized(site, BIAS_INPUT, values):
        exact = _exact_bias(site, values, x, w, alpha / beta)
    if bias and exact is None:
        if beta != 1:
            raise Left(f"its bias is float32, with a beta of {beta:g}; expected 1")
        return IntegerForm("LbaQGemm", _operands(x, w), codes, "float32", (*x.sites, *w.sites), addend=bias)
    inputs = (*_operands(x, w), *_codes(exact))
    if behind is None:
        used = (*x.sites, *w.sites, *(exact.sites if exact else ()))
        return IntegerForm("LbaQGemm", inputs, codes, "float32", used)
    inputs = (*inputs, *(() if exact else (Zero("int32"),)), behind.scale, behind.zero_point)
    return _quantizing("LbaQGemm", inputs, codes, behind, x, w, exact)


_FORMS = {"Conv": _conv, "MatMul": _matmul, "Gemm": _gemm}
_GEMM_DEFAULTS: tuple[tuple[str, Any], ...] = (("transB", 0), ("alpha", 1.0), ("beta", 1.0))


def _operands(x: Dequantized, w: Dequantized) -> tuple[Input, ...]:
    return x.operand, x.scale, x.zero_point, w.operand, w.scale, w.zero_point


def _codes(bias: Dequantized | None) -> tuple[Input, ...]:
    return () if bias is None else (bias.codes,)


def _quantizing(
    op_type: str,
    inputs: tuple[Input, ...],
    codes: str,
    behind: Quantized,
    x: Dequantized,
    w: Dequantized,
    bias: Dequantized | None,
) -> IntegerForm:
    used = (*x.sites, *w.sites, *(bias.sites if bias else ()))
    return IntegerForm(op_type, inputs, codes, behind.type, used, behind.site, behind.clamp)


def _to_float(op_type: str, codes: str, x: Dequantized, w: Dequantized, *bias: Input) -> IntegerForm:
    inputs: tuple[Input, ...] = (x.operand, w.operand, x.scale, w.scale, x.zero_point, w.zero_point, *bias)
    return IntegerForm(op_type, inputs, codes, "float32", (*x.sites, *w.sites))


def _bias(site: Site) -> str:
    return str(site.node.input[BIAS_INPUT]) if len(site.node.input) > BIAS_INPUT else ""


def _check_axis(w: Dequantized, expected: int) -> None:
    if w.axis is not None and w.axis != expected:
        wanted = f"axis {expected}, that of the outputs" if expected >= 0 else "one scale"
        raise Left(f"{w.codes!r} has scales along axis {w.axis}; expected {wanted}")


def _exact_bias(site: Site, values: Values, x: Dequantized, w: Dequantized, factor: float) -> Dequantized | None:
    """Return a bias that joins the sums as int32; None for one that is no int32.

    Raises:
        Left: It is one of int32 whose scale or zero point is another than that of the sums.
    """
    bias = dequantized(site, BIAS_INPUT, values)
    if bias.type != onnx.TensorProto.DataType.Name(onnx.TensorProto.INT32).lower():
        return None
    if x.scales is None or w.scales is None or bias.scales is None:
        raise Left("the scales of its operands and of its bias are not constant; expected constants beside a bias")
    product = np.multiply(x.scales.reshape(-1) * w.scales.reshape(-1), np.float32(factor), dtype=np.float32)
    scales = bias.scales.reshape(-1)
    sizes_fit = scales.size in (1, product.size) or product.size == 1
    if not sizes_fit or not np.all(np.abs(scales - product) <= _CLOSE * np.abs(product)):
        raise Left(f"the bias {bias.codes!r} has another scale than the product of those of the operands")
    if not isinstance(bias.zero_point, Zero):
        zero_points = values.constant(bias.site, bias.zero_point)
        if zero_points is None or np.any(zero_points):
            raise Left(f"the bias {bias.codes!r} has a zero point that is not known to be 0")
    if site.node.op_type == "Gemm":
        check_addend(bias.site, 0)
    return bias
