"""The edit: a node becomes its low-bit-accumulator twin, in place.

    y = MatMul(a, b)      ->  y = lba_onnx.LbaMatMul(a, b, accumulator="M7E4b12/M7E4b10")

    float64 or bfloat16:
    y = MatMul(a, b)      ->  a_float32 = Cast(a, to=float32); b_float32 = Cast(b, to=float32)
                              y_float32 = lba_onnx.LbaMatMul(a_float32, b_float32, ...)
                              y = Cast(y_float32, to=float64)

    in a function's body, where onnxruntime infers types without asking custom operators:
    y = MatMul(a, b)      ->  y_untyped = lba_onnx.LbaMatMul(a, b, ...)
                              y = Cast(y_untyped, to=float32)         or CastLike(y_untyped, a)

Requires a candidate without an obstacle. Ensures that the node keeps its name, doc string, metadata and attributes,
and that the names of its inputs and outputs still stand for the same values.
"""

from collections.abc import Mapping

import onnx

from lba_onnx.arithmetic import Accumulator
from lba_onnx.rewrite.attributes import drop_attributes
from lba_onnx.rewrite.candidates import CAST_TYPES, Candidate
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.twins import rename_to_twin, schema_of

_ONNX_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
    "bfloat16": onnx.TensorProto.BFLOAT16,
    "float64": onnx.TensorProto.DOUBLE,
}


def patch_node(
    candidate: Candidate, specs: Mapping[str, Accumulator], names: FreshNames, insertions: Insertions
) -> None:
    """Turn a node into its twin; the Casts that its element type needs around it are left to insert.

    Args:
        candidate: Any of the node's products.
        specs: The specs of all of them, by the name of the product.
        names: Hands out names for the Casts.
        insertions: Gets the Casts.
    """
    node = candidate.site.node
    rename_to_twin(node)
    outputs = schema_of(node).outputs
    node.output.extend([""] * (len(outputs) - len(node.output)))  # older onnxruntimes crash where optional ones lack
    drop_attributes(node, ("broadcast",))  # of Gemm before opset 7; the twin always broadcasts
    for product, spec in specs.items():
        for name, value in spec.to_attributes(product).items():
            node.attribute.append(onnx.helper.make_attribute(name, value))
    body = candidate.site.body
    if candidate.element_type in CAST_TYPES:
        insertions.before(node, body, *_cast_inputs(node, names))
        insertions.behind(node, body, *_cast_outputs(candidate, "float32", names))
    elif candidate.site.function is not None:
        insertions.behind(node, body, *_cast_outputs(candidate, "untyped", names))


def _cast_inputs(node: onnx.NodeProto, names: FreshNames) -> list[onnx.NodeProto]:
    casts: dict[str, onnx.NodeProto] = {}
    for position, operand in enumerate(node.input):
        if schema_of(node).input_types[position] != "T":
            continue
        if operand not in casts:
            name = names.make(f"{node.name}_cast_{position}")
            output = names.make(f"{operand}_float32")
            casts[operand] = onnx.helper.make_node("Cast", [operand], [output], name=name, to=onnx.TensorProto.FLOAT)
        node.input[position] = casts[operand].output[0]
    return list(casts.values())


def _cast_outputs(candidate: Candidate, suffix: str, names: FreshNames) -> list[onnx.NodeProto]:
    """Return a Cast to stand behind the node for each of its outputs, whose name the Cast's output takes."""
    outputs = range(len(candidate.site.node.output))
    return [_cast_output(candidate, i, suffix, names) for i in outputs if candidate.site.node.output[i]]


def _cast_output(candidate: Candidate, index: int, suffix: str, names: FreshNames) -> onnx.NodeProto:
    node = candidate.site.node
    name, result = names.make(f"{node.name}_cast_back"), node.output[index]
    node.output[index] = uncast = names.make(f"{result}_{suffix}")
    if candidate.element_type in _ONNX_TYPES:
        to = _ONNX_TYPES[candidate.element_type]
        return onnx.helper.make_node("Cast", [uncast], [result], name=name, to=to)
    # a function that is called with several types, or never
    return onnx.helper.make_node("CastLike", [uncast, node.input[0]], [result], name=name)
