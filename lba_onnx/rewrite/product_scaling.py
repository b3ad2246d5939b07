"""A factor for the result of a converted product of two computed operands, as attention has them.

    y = LbaMatMul(a, b)     ->     y = Mul(LbaMatMul(a, b), factor)

Requires a LbaMatMul in a graph that runs once. Ensures that the product and the value's name stay what they were.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.rewrite.candidates import NATIVE_TYPES, Candidate
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.scopes import Scope

REPEATED = "both operands are computed, in a loop or a function, where no factor is put behind"
FIRST_OPSET_WITH_MUL = 7
"""Of those that onnxruntime has kernels for."""


@dataclass(frozen=True, eq=False)
class ScalableProduct:
    """A converted MatMul both of whose operands are computed.

    Attributes:
        name: What the ledger calls it.
        node: The node, in the model.
        scope: Where it lives.
        dtype: Of its operands and its output.
    """

    name: str
    node: onnx.NodeProto
    scope: Scope = field(repr=False)
    dtype: np.dtype[Any]


def scalable_product(candidate: Candidate, scope: Scope) -> ScalableProduct | str:
    """Return a converted MatMul of two computed operands as `scale_product` takes it, or why it does not."""
    if scope.repeats or isinstance(scope.body, onnx.FunctionProto):
        return REPEATED
    if candidate.site.opset < FIRST_OPSET_WITH_MUL:
        return f"both operands are computed, and onnxruntime has no Mul of opset {candidate.site.opset}"
    if candidate.element_type not in NATIVE_TYPES:
        return f"element type {candidate.element_type}"
    return ScalableProduct(candidate.name, candidate.site.node, scope, np.dtype(candidate.element_type))


def scale_product(place: ScalableProduct, factor: NDArray[np.float32], names: FreshNames, edits: Insertions) -> None:
    """Multiply what a product gives by a factor, float32 [1]."""
    node, by = place.node, names.make(f"{place.name}_factor")
    result, node.output[0] = node.output[0], names.make(f"{node.output[0]}_unscaled")
    value = onnx.numpy_helper.from_array(factor.astype(place.dtype).reshape(()), by)
    constant = onnx.helper.make_node("Constant", [], [by], name=names.make(f"{by}_node"), value=value)
    multiply = onnx.helper.make_node("Mul", [node.output[0], by], [result], name=names.make(f"{place.name}_scaled"))
    edits.behind(node, place.scope.body, constant, multiply)
