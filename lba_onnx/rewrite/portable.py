"""Float32 bodies for the operators, so that a converted model also runs where the library is not registered.

    lba_onnx.LbaMatMul(A, B) { Y = MatMul(A, B) }        a function of the model, one for each operator that it uses

onnxruntime inlines such a function only where no kernel of its name is registered; with the library, the kernel wins.
Without it the model computes in plain float arithmetic.

Requires a default domain of opset 7 or newer. Ensures an IR version of at least 8, the first with functions.
"""

from collections.abc import Iterable

import onnx

from lba_onnx import ops
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.analysis import default_opset
from lba_onnx.rewrite.scopes import FIRST_IR_WITH_SEPARATE_INITIALIZERS

_FIRST_IR_WITH_FUNCTIONS = 8
_FIRST_OPSET = 7  # from here on Gemm broadcasts without being told to

_ATTRIBUTE_TYPES = {
    "float": onnx.AttributeProto.FLOAT,
    "int": onnx.AttributeProto.INT,
    "ints": onnx.AttributeProto.INTS,
    "string": onnx.AttributeProto.STRING,
}


def add_function_bodies(model: onnx.ModelProto, op_types: Iterable[str]) -> None:
    """Add a float32 body for each of the given operator types that has none in the model.

    Args:
        model: Changed in place.
        op_types: Standard operator types whose twins the model uses.

    Raises:
        ModelError: The model's opset is older than 7.
    """
    opset = default_opset(model)
    if opset < _FIRST_OPSET:
        raise ModelError(f"a portable model takes opset {_FIRST_OPSET} or newer, got {opset}")
    _raise_ir_version(model)
    present = {function.name for function in model.functions if function.domain == ops.DOMAIN}
    for op_type in sorted(set(op_types)):
        if ops.OP_TYPES[op_type] not in present:
            model.functions.append(_function(op_type, opset))


def _function(op_type: str, opset: int) -> onnx.FunctionProto:
    schema = ops.OPERATORS[ops.OP_TYPES[op_type]]
    node = onnx.helper.make_node(op_type, schema.inputs, [schema.output])
    for attribute in schema.attributes:
        if attribute not in ops.ARITHMETIC_ATTRIBUTES:
            node.attribute.add(name=attribute.name, ref_attr_name=attribute.name, type=_ATTRIBUTE_TYPES[attribute.type])
    return onnx.helper.make_function(
        ops.DOMAIN,
        schema.op_type,
        schema.inputs,
        [schema.output],
        [node],
        [onnx.helper.make_opsetid("", opset)],
        attributes=[attribute.name for attribute in schema.attributes],
    )


def _raise_ir_version(model: onnx.ModelProto) -> None:
    if model.ir_version < FIRST_IR_WITH_SEPARATE_INITIALIZERS:
        # Later IR versions would let callers replace initializers that are inputs.
        initializers = {tensor.name for tensor in model.graph.initializer}
        for index in reversed(range(len(model.graph.input))):
            if model.graph.input[index].name in initializers:
                del model.graph.input[index]
    model.ir_version = max(model.ir_version, _FIRST_IR_WITH_FUNCTIONS)
