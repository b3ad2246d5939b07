"""The operators of domain `lba_onnx`: one table of what each is called, takes, replaces and multiplies.

An operator computes one product, or several with an accumulator each:

    LbaMatMul(A, B)                accumulator="M7E4b12/M7E4b10"
    an operator of two products    accumulator_qk="M7E4b12/M7E4b10", accumulator_pv="M10E5b15/M10E5b15"

    one of codes                   LbaQLinearConv(x, x_scale, x_zero_point, w, ...)    accumulator="int32-wrap"

docs/operators.md specifies them in words, `lba_onnx.ops` has their twins for onnx's reference evaluator, and
custom_ops/onnxruntime/ implements them for onnxruntime. `registration` tells onnx of them.
"""

from lba_onnx.operators.lowered import LOWERED, LOWERED_ON_REQUEST, is_lowered, op_types
from lba_onnx.operators.schema import (
    BIAS_INPUT,
    BIAS_START,
    CODE_TYPES,
    DOMAIN,
    ELEMENT_TYPES,
    MICROSOFT,
    TYPE_VARIABLES,
    VERSION,
    AttributeSchema,
    OperatorSchema,
    Product,
    standard_domain,
)
from lba_onnx.operators.table import DYNAMIC_MATMUL, OPERATORS, twin_of

__all__ = [
    "BIAS_INPUT",
    "BIAS_START",
    "CODE_TYPES",
    "DOMAIN",
    "DYNAMIC_MATMUL",
    "ELEMENT_TYPES",
    "LOWERED",
    "LOWERED_ON_REQUEST",
    "MICROSOFT",
    "OPERATORS",
    "TYPE_VARIABLES",
    "VERSION",
    "AttributeSchema",
    "OperatorSchema",
    "Product",
    "is_lowered",
    "op_types",
    "standard_domain",
    "twin_of",
]
