"""The nodes that have a twin among this package's operators, and those that are one.

MatMul        <-  rename_to_replaced   rename_to_twin  ->        lba_onnx.LbaMatMul

Where a twin has an order of inputs of its own, the inputs change places. Of operators of integers that stand for
several nodes there is no way back.
"""

from collections.abc import Sequence

import onnx

from lba_onnx import operators
from lba_onnx.operators import OperatorSchema


def has_twin(node: onnx.NodeProto) -> bool:
    """Return whether a node is of an operator type that one of this package's operators stands for."""
    return operators.twin_of(node.domain, node.op_type) is not None


def is_twin(node: onnx.NodeProto) -> bool:
    """Return whether a node is one of this package's operators."""
    return node.domain == operators.DOMAIN and node.op_type in operators.OPERATORS


def schema_of(node: onnx.NodeProto) -> OperatorSchema:
    """Return the operator that a node is, or that stands for it.

    Raises:
        KeyError: It neither is a twin nor has one.
    """
    twin = operators.twin_of(node.domain, node.op_type)
    return operators.OPERATORS[node.op_type] if twin is None else twin


def rename_to_twin(node: onnx.NodeProto) -> None:
    """Give a node the type of its twin, and its inputs the twin's order; the rest stays."""
    schema = schema_of(node)
    _order_inputs(node, inputs_of_twin(node))
    node.domain, node.op_type = operators.DOMAIN, schema.op_type


def rename_to_replaced(node: onnx.NodeProto) -> None:
    """Give a twin the type that it stands for, and its inputs the order there; the rest stays."""
    schema = schema_of(node)
    given = dict(zip(schema.inputs, node.input, strict=False))
    _order_inputs(node, [given.get(name, "") for name in schema.inputs_of_replaced])
    node.domain, node.op_type = schema.replaced_domain, schema.replaces


def inputs_of_twin(node: onnx.NodeProto) -> list[str]:
    """Return the inputs of a node that has a twin in the twin's order, without those that the twin does not have."""
    schema = schema_of(node)
    given = dict(zip(schema.inputs_of_replaced, node.input, strict=False))
    return without_empty_tail([given.get(name, "") for name in schema.inputs])


def inputs_without_twin(node: onnx.NodeProto) -> list[str]:
    """Return the inputs of a node that has a twin which the twin does not have, as the node's operator calls them."""
    schema = schema_of(node)
    given = dict(zip(schema.inputs_of_replaced, node.input, strict=False))
    return [name for name, value in given.items() if value and name not in schema.inputs]


def without_empty_tail(names: Sequence[str]) -> list[str]:
    """Return names without the empty ones behind the last that is not."""
    kept = list(names)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _order_inputs(node: onnx.NodeProto, names: Sequence[str]) -> None:
    node.input[:] = without_empty_tail(names)


def arithmetic_attributes(node: onnx.NodeProto) -> frozenset[str]:
    """Return the names of a twin's attributes that the operator it stands for does not have."""
    return frozenset(attribute.name for attribute in schema_of(node).arithmetic_attributes)
