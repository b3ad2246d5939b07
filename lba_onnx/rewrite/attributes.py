"""A node's attributes: values, and references to the attributes of the function that holds the node.

function F(a, b) <scale>    y = Gemm<alpha: float = @scale>(a, b)        alpha has a value in each call of F only
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import onnx


def own_attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes whose values the node itself holds: all but references and those of no type."""
    return {
        attribute.name: onnx.helper.get_attribute_value(attribute)
        for attribute in node.attribute
        if attribute.type and not attribute.ref_attr_name
    }


def attributes_in_calls(node: onnx.NodeProto, copies: Sequence[onnx.NodeProto]) -> dict[str, Any]:
    """Return the attributes of a node in a function, its references as the calls of the function give them.

    Args:
        node: The node.
        copies: The node once for each way of calling the function, without references; none where these are not known.

    Returns:
        Names to values. A reference that no call gives a value is left out; None where calls differ or are not known.
    """
    values = own_attributes(node)
    references = [attribute.name for attribute in node.attribute if attribute.ref_attr_name]
    given = [own_attributes(copy) for copy in copies] if references else []
    for name in references:
        found = [attributes.get(name) for attributes in given]
        if not found or any(value != found[0] for value in found):
            values[name] = None
        elif found[0] is not None:
            values[name] = found[0]
    return values


def set_attributes(node: onnx.NodeProto, values: "Mapping[str, int | float | str]") -> None:
    """Give attributes of a node new values, in place of a reference, too; the others stay."""
    drop_attributes(node, values.keys())
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in values.items())


def drop_attributes(node: onnx.NodeProto, names: Collection[str]) -> None:
    """Take attributes off a node."""
    for index in reversed(range(len(node.attribute))):
        if node.attribute[index].name in names:
            del node.attribute[index]
