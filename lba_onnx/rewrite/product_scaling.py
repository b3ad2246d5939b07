"""Which converted products of two computed operands, as attention has them, take a factor behind (`product_place`)."""

import numpy as np
import onnx

from lba_onnx.rewrite.candidates import NATIVE_TYPES, Candidate
from lba_onnx.rewrite.product_place import ProductPlace
from lba_onnx.rewrite.scopes import Scope

REPEATED = "both operands are computed, in a loop or a function, where no factor is put behind"
FIRST_OPSET_WITH_MUL = 7
"""Of those that onnxruntime has kernels for."""


class ScalableProduct(ProductPlace):
    """A converted MatMul both of whose operands are computed."""


def scalable_product(candidate: Candidate, scope: Scope) -> ScalableProduct | str:
    """Return a converted MatMul of two computed operands if a factor can be put behind, or why it cannot."""
    if scope.repeats or isinstance(scope.body, onnx.FunctionProto):
        return REPEATED
    if candidate.site.opset < FIRST_OPSET_WITH_MUL:
        return f"both operands are computed, and onnxruntime has no Mul of opset {candidate.site.opset}"
    if candidate.element_type not in NATIVE_TYPES:
        return f"element type {candidate.element_type}"
    return ScalableProduct(candidate.name, candidate.site.node, scope, np.dtype(candidate.element_type))
