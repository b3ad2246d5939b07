"""Twins of the operators for onnx's reference evaluator, with the bits that onnxruntime gives.

lba_onnx.reference_evaluator("model_lba.onnx").run(None, {"image": image})
ReferenceEvaluator(model, new_ops=lba_onnx.ops.TWINS)
"""

from lba_onnx.ops.attention import LbaAttention, LbaGroupQueryAttention, LbaMultiHeadAttention
from lba_onnx.ops.codes import (
    LbaConvInteger,
    LbaConvIntegerToFloat,
    LbaMatMulInteger,
    LbaMatMulIntegerToFloat,
    LbaQGemm,
    LbaQLinearConv,
    LbaQLinearMatMul,
)
from lba_onnx.ops.evaluator import TWINS, reference_evaluator
from lba_onnx.ops.floats import LbaConv, LbaGemm, LbaMatMul, LbaMatMulNBits

__all__ = [
    "TWINS",
    "LbaAttention",
    "LbaConv",
    "LbaConvInteger",
    "LbaConvIntegerToFloat",
    "LbaGemm",
    "LbaGroupQueryAttention",
    "LbaMatMul",
    "LbaMatMulInteger",
    "LbaMatMulIntegerToFloat",
    "LbaMatMulNBits",
    "LbaMultiHeadAttention",
    "LbaQGemm",
    "LbaQLinearConv",
    "LbaQLinearMatMul",
    "reference_evaluator",
]
