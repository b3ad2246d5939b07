"""The nodes that have a twin among this package's operators, and those that are one.

MatMul        <-  rename_to_replaced   rename_to_twin  ->        lba_onnx.LbaMatMul

Of operators of integers that stand for several nodes there is no way back.
"""

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
    """Give a node the type of its twin; the rest stays."""
    node.domain, node.op_type = operators.DOMAIN, schema_of(node).op_type


def rename_to_replaced(node: onnx.NodeProto) -> None:
    """Give a twin the type that it stands for; the rest stays."""
    schema = schema_of(node)
    node.domain, node.op_type = schema.replaced_domain, schema.replaces


def arithmetic_attributes(node: onnx.NodeProto) -> frozenset[str]:
    """Return the names of a twin's attributes that the operator it stands for does not have."""
    return frozenset(attribute.name for attribute in schema_of(node).arithmetic_attributes)
