"""Operators that multiply and accumulate, taken apart: equal nodes, whose products are MatMul, Gemm and Conv."""

from lba_onnx.rewrite.lowering.lowering import lower_model
from lba_onnx.rewrite.lowering.record import Lowering, Origin

__all__ = ["Lowering", "Origin", "lower_model"]
