"""The edit: a node becomes its low-bit-accumulator twin, in place.

    y = MatMul(a, b)      ->  y = lba_onnx.LbaMatMul(a, b, product_format="M7E4b12", ...)

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

from collections.abc import Iterator

import onnx

from lba_onnx import ops
from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.rewrite.analysis import Body
from lba_onnx.rewrite.candidates import CAST_TYPES, Candidate

_ONNX_TYPES = {
    "float32": onnx.TensorProto.FLOAT,
    "float16": onnx.TensorProto.FLOAT16,
    "bfloat16": onnx.TensorProto.BFLOAT16,
    "float64": onnx.TensorProto.DOUBLE,
}


class FreshNames:
    """Hands out names of values and nodes that nothing in the model has."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = set(_names_in(model))

    def make(self, name: str) -> str:
        """Return the name, with underscores behind it where it is taken."""
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def patch_node(candidate: Candidate, spec: AccumulatorSpec, names: FreshNames) -> None:
    """Turn a candidate's node into its twin, with Casts around it where its element type needs them."""
    node = candidate.site.node
    node.domain, node.op_type = ops.DOMAIN, ops.OP_TYPES[node.op_type]
    while node.input and not node.input[-1]:
        node.input.pop()  # an explicit empty optional input crashes the shape inference of older onnxruntimes
    _drop_attribute(node, "broadcast")  # of Gemm before opset 7; the twin always broadcasts
    for name, value in spec.to_attributes().items():
        node.attribute.append(onnx.helper.make_attribute(name, value))
    if candidate.element_type in CAST_TYPES:
        _cast_inputs(node, candidate.site.body, names)
        _cast_output(candidate, f"{node.output[0]}_float32", names)
    elif candidate.site.function is not None:
        _cast_output(candidate, f"{node.output[0]}_untyped", names)


def _drop_attribute(node: onnx.NodeProto, name: str) -> None:
    for index in reversed(range(len(node.attribute))):
        if node.attribute[index].name == name:
            del node.attribute[index]


def _cast_inputs(node: onnx.NodeProto, body: Body, names: FreshNames) -> None:
    casts: dict[str, onnx.NodeProto] = {}
    for position, operand in enumerate(node.input):
        if operand not in casts:
            name = names.make(f"{node.name}_cast_{position}")
            output = names.make(f"{operand}_float32")
            casts[operand] = onnx.helper.make_node("Cast", [operand], [output], name=name, to=onnx.TensorProto.FLOAT)
        node.input[position] = casts[operand].output[0]
    index = _index(node, body)
    for cast in reversed(casts.values()):
        body.node.insert(index, cast)


def _cast_output(candidate: Candidate, uncast: str, names: FreshNames) -> None:
    """Put a Cast behind the node; its output keeps the node's output name."""
    node = candidate.site.node
    name = names.make(f"{node.name}_cast_back")
    result, node.output[0] = node.output[0], names.make(uncast)
    if candidate.element_type in _ONNX_TYPES:
        to = _ONNX_TYPES[candidate.element_type]
        cast = onnx.helper.make_node("Cast", [node.output[0]], [result], name=name, to=to)
    else:  # a function that is called with several types, or never
        cast = onnx.helper.make_node("CastLike", [node.output[0], node.input[0]], [result], name=name)
    candidate.site.body.node.insert(_index(node, candidate.site.body) + 1, cast)


def _index(node: onnx.NodeProto, body: Body) -> int:
    return next(index for index, other in enumerate(body.node) if other is node)


def _names_in(model: onnx.ModelProto) -> Iterator[str]:
    bodies: list[Body] = [model.graph, *model.functions]
    while bodies:
        body = bodies.pop()
        if isinstance(body, onnx.FunctionProto):
            yield from (*body.input, *body.output)
        else:
            yield from (value.name for value in (*body.input, *body.output, *body.value_info, *body.initializer))
            yield from (tensor.values.name for tensor in body.sparse_initializer)
        for node in body.node:
            yield from (node.name, *node.input, *node.output)
            bodies.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
