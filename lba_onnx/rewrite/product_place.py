"""A converted product in its graph, and what is put beside it: constants, and a node behind that takes over its value.

    y = LbaMatMul(a, b)     ->     y = Mul(LbaMatMul(a, b), factor)                                likewise Add

What reads the value reads it by the same name.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.scopes import Scope


@dataclass(frozen=True, eq=False)
class ProductPlace:
    """A converted product.

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


@dataclass(frozen=True)
class Edit:
    """What is to be done to a model, and names that are free in it."""

    names: FreshNames
    insertions: Insertions


def insert_constant(place: ProductPlace, values: NDArray[Any], name: str, edit: Edit) -> str:
    """Put a constant of the product's type in front of it; return its name, which begins as the one that is given."""
    name = edit.names.make(name)
    tensor = onnx.numpy_helper.from_array(values.astype(place.dtype), name)
    node = onnx.helper.make_node("Constant", [], [name], name=edit.names.make(f"{name}_node"), value=tensor)
    edit.insertions.before(place.node, place.scope.body, node)
    return name


def put_behind(
    place: ProductPlace, op_type: str, values: NDArray[np.float32], what: str, done: str, edit: Edit
) -> None:
    """Put `op_type(product, values)` behind a product, in whose value's place it comes.

    Args:
        place: The product.
        op_type: The operator.
        values: Its other operand.
        what: What the values are, for their name, such as "offset".
        done: What becomes of the product, likewise, such as "raised".
        edit: Where it is noted.
    """
    constant = insert_constant(place, values, f"{place.name}_{what}", edit)
    result, place.node.output[0] = place.node.output[0], edit.names.make(f"{place.node.output[0]}_un{done}")
    name = edit.names.make(f"{place.name}_{done}")
    node = onnx.helper.make_node(op_type, [place.node.output[0], constant], [result], name=name)
    edit.insertions.behind(place.node, place.scope.body, node)
