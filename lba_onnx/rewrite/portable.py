"""Bodies for the operators, so that a converted model also runs where the library is not registered.

    lba_onnx.LbaMatMul(A, B) { Y = MatMul(A, B) }        a function of the model, one for each operator that it uses

    lba_onnx.LbaConvIntegerToFloat(x, w, ...) {          of one that stands for several nodes, these nodes
        y = Conv(DequantizeLinear(x, ...), DequantizeLinear(w, ...), bias) }

onnxruntime inlines such a function only where no kernel of its name is registered; with the library, the kernel wins.
Without it the model computes in plain arithmetic, of floats or of int32.

Requires a default domain of opset 7 or newer. Ensures an IR version of at least 8, the first with functions.
"""

from collections.abc import Iterable
from itertools import product

import onnx

from lba_onnx import operators
from lba_onnx.errors import ModelError
from lba_onnx.operators import OperatorSchema
from lba_onnx.rewrite.analysis import default_opset
from lba_onnx.rewrite.provenance import import_operator_set
from lba_onnx.rewrite.scopes import FIRST_IR_WITH_SEPARATE_INITIALIZERS
from lba_onnx.rewrite.twins import without_empty_tail

_FIRST_IR_WITH_FUNCTIONS = 8
_FIRST_OPSET = 7  # from here on Gemm broadcasts without being told to

_ATTRIBUTE_TYPES = {
    "float": onnx.AttributeProto.FLOAT,
    "int": onnx.AttributeProto.INT,
    "ints": onnx.AttributeProto.INTS,
    "string": onnx.AttributeProto.STRING,
}


def add_function_bodies(model: onnx.ModelProto, twins: Iterable[str]) -> None:
    """Add a body for each of the given operators that has none in the model.

    Args:
        model: Changed in place.
        twins: Operators of this package that the model uses, such as "LbaMatMul".

    Raises:
        ModelError: The model's opset is older than 7.
    """
    opset = default_opset(model)
    if opset < _FIRST_OPSET:
        raise ModelError(f"a portable model takes opset {_FIRST_OPSET} or newer, got {opset}")
    _raise_ir_version(model)
    present = {function.name for function in model.functions if function.domain == operators.DOMAIN}
    for twin in sorted(set(twins) - present):
        import_operator_set(model, operators.OPERATORS[twin].replaced_domain)
        model.functions.append(_function(operators.OPERATORS[twin], model))


def _function(schema: OperatorSchema, model: onnx.ModelProto) -> onnx.FunctionProto:
    nodes = _nodes(schema)
    for node, attribute in product(nodes[-1:], schema.own_attributes):
        node.attribute.add(name=attribute.name, ref_attr_name=attribute.name, type=_ATTRIBUTE_TYPES[attribute.type])
    imported = [onnx.helper.make_opsetid("", default_opset(model))]
    imported += [o for o in model.opset_import if o.domain and o.domain == schema.replaced_domain]
    return onnx.helper.make_function(
        operators.DOMAIN,
        schema.op_type,
        schema.inputs,
        schema.outputs,
        nodes,
        imported,
        attributes=[attribute.name for attribute in schema.attributes],
    )


def _nodes(schema: OperatorSchema) -> list[onnx.NodeProto]:
    """Return the nodes of a body; the last one has the operator's attributes."""
    if schema.replaces:
        inputs = without_empty_tail([name if name in schema.inputs else "" for name in schema.inputs_of_replaced])
        return [onnx.helper.make_node(schema.replaces, inputs, schema.outputs, domain=schema.replaced_domain)]
    x, w, x_scale, w_scale, x_zero_point, w_zero_point, bias = schema.inputs
    make = onnx.helper.make_node
    return [
        make("DequantizeLinear", [x, x_scale, x_zero_point], ["floats"]),
        make("DequantizeLinear", [w, w_scale, w_zero_point], ["weights"], axis=0),
        make("Conv", ["floats", "weights", bias], schema.outputs),
    ]


def _raise_ir_version(model: onnx.ModelProto) -> None:
    if model.ir_version < FIRST_IR_WITH_SEPARATE_INITIALIZERS:
        # Later IR versions would let callers replace initializers that are inputs.
        initializers = {tensor.name for tensor in model.graph.initializer}
        for index in reversed(range(len(model.graph.input))):
            if model.graph.input[index].name in initializers:
                del model.graph.input[index]
    model.ir_version = max(model.ir_version, _FIRST_IR_WITH_FUNCTIONS)
