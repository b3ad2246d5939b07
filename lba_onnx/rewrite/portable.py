"""Bodies for the operators, so that a converted model also runs where the library is not registered.

    lba_onnx.LbaMatMul(A, B) { Y = MatMul(A, B) }        a function of the model, one for each operator that it uses

    lba_onnx.LbaConvIntegerToFloat(x, w, ...) {          of one that stands for several nodes, these nodes
        y = Conv(DequantizeLinear(x, ...), DequantizeLinear(w, ...), bias) }

onnxruntime inlines such a function only where no kernel of its name is registered; with the library, the kernel wins.
Without it the model computes in plain arithmetic, of floats or of int32.

Requires a default domain of opset 7 or newer. Ensures an IR version of at least 8, the first with functions.
"""

from collections.abc import Collection, Iterable
from itertools import product

import onnx

from lba_onnx import operators
from lba_onnx.errors import ModelError
from lba_onnx.operators import AttributeSchema, OperatorSchema
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


def add_function_bodies(model: onnx.ModelProto, twins: Iterable[onnx.NodeProto]) -> None:
    """Add a body for each operator of the given nodes; one that is there stays, unless it lacks outputs of theirs.

    Args:
        model: Changed in place.
        twins: Nodes of the model that are operators of this package.

    Raises:
        ModelError: The model's opset is older than 7.
    """
    opset = default_opset(model)
    if opset < _FIRST_OPSET:
        raise ModelError(f"a portable model takes opset {_FIRST_OPSET} or newer, got {opset}")
    _raise_ir_version(model)
    outputs: dict[str, int] = {}
    for node in twins:
        outputs[node.op_type] = max(outputs.get(node.op_type, 0), len(without_empty_tail(node.output)))
    bodies = {function.name: function for function in model.functions if function.domain == operators.DOMAIN}
    for twin, count in sorted(outputs.items()):
        schema = operators.OPERATORS[twin]
        absent = {attribute.of_output for attribute in schema.own_attributes} & {*schema.outputs[count:]}
        if twin not in bodies:
            import_operator_set(model, schema.replaced_domain)
            model.functions.append(_function(schema, absent, model))
        elif len(bodies[twin].attribute_proto) < len(_of_outputs(schema, absent)):
            bodies[twin].CopyFrom(_function(schema, absent, model))


def _of_outputs(schema: OperatorSchema, absent: Collection[str]) -> list[AttributeSchema]:
    """Return the attributes that are about optional outputs which are there."""
    return [attribute for attribute in schema.own_attributes if {attribute.of_output} - {"", *absent}]


def _function(schema: OperatorSchema, absent: Collection[str], model: onnx.ModelProto) -> onnx.FunctionProto:
    """Return the function of an operator; outputs that no node has may be unknown to a release of onnxruntime."""
    nodes = _nodes(schema)
    of_outputs = _of_outputs(schema, absent)
    for node, attribute in product(nodes[-1:], schema.own_attributes):
        if attribute.of_output and attribute not in of_outputs:
            continue
        node.attribute.add(name=attribute.name, ref_attr_name=attribute.name, type=_ATTRIBUTE_TYPES[attribute.type])
    for output in absent:  # a function makes all of its outputs
        nodes[-1].output.remove(output)
        nodes.append(onnx.helper.make_node("Identity", schema.inputs[:1], [output]))
    imported = [onnx.helper.make_opsetid("", default_opset(model))]
    imported += [o for o in model.opset_import if o.domain and o.domain == schema.replaced_domain]
    return onnx.helper.make_function(
        operators.DOMAIN,
        schema.op_type,
        schema.inputs,
        schema.outputs,
        nodes,
        imported,
        attributes=[attribute.name for attribute in schema.attributes if attribute not in of_outputs],
        attribute_protos=[onnx.helper.make_attribute(each.name, each.default) for each in of_outputs],
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
