"""The specs of a converted model, changed in place of converting again."""

from collections.abc import Callable, Mapping

import onnx

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.conversion import converted_nodes


def read_specs(model: onnx.ModelProto) -> dict[str, AccumulatorSpec]:
    """Return the specs of a converted model's nodes, by the names that the ledger gives them.

    Raises:
        ModelError: The model has no converted node.
    """
    specs = {name: AccumulatorSpec.from_attributes(_attributes(node)) for name, node in converted_nodes(model)}
    if not specs:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    return specs


def change_specs(model: onnx.ModelProto, change: Callable[[str, AccumulatorSpec], AccumulatorSpec]) -> onnx.ModelProto:
    """Return a copy of a converted model with other specs; its metadata still tells of the first.

    Args:
        model: The converted model.
        change: Called with each node's name and spec; returns the new spec.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for name, node in converted_nodes(changed):
        spec = change(name, AccumulatorSpec.from_attributes(_attributes(node)))
        set_attributes(node, spec.to_attributes())
    return changed


def set_attributes(node: onnx.NodeProto, values: "Mapping[str, int | float | str]") -> None:
    """Give attributes of a node new values; the others stay."""
    for index in reversed(range(len(node.attribute))):
        if node.attribute[index].name in values:
            del node.attribute[index]
    node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in values.items())


def _attributes(node: onnx.NodeProto) -> "dict[str, object]":
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if a.type}
