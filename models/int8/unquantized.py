"""The float32 model in a dynamically quantized one: its own weights, with activations that are not quantized.

    x -> DynamicQuantizeLinear -> codes, scale, zero point      x / scale
         MatMulInteger(codes, w, zero points) -> ...      becomes   -> MatMul(floats of w - zero point of w)
                                                                    -> Round -> Cast to int32 -> ...

The integer sum of codes becomes a float sum of what the codes stand for, in units of their scale, and is rounded to
whole units, so that whatever is behind it stays.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_FLOAT_OPERATORS = {"MatMulInteger": "MatMul", "ConvInteger": "Conv"}


def unquantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose MatMulInteger and ConvInteger of dynamically quantized tensors are of floats."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    quantized = {node.output[0]: node for node in graph.node if node.op_type == "DynamicQuantizeLinear"}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in _FLOAT_OPERATORS and node.input[0] in quantized:
            codes, zero = (numpy_helper.to_array(weights[node.input[place]]) for place in (1, 3))
            graph.initializer.append(numpy_helper.from_array(_centered(codes, zero), f"{node.output[0]}.weight"))
            nodes += _of_floats(node, quantized[node.input[0]])
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def _centered(codes: NDArray[np.int8], zero: NDArray[np.int8]) -> NDArray[np.float32]:
    return codes.astype(np.float32) - zero.astype(np.float32)


def _of_floats(node: onnx.NodeProto, quantizing: onnx.NodeProto) -> list[onnx.NodeProto]:
    output = node.output[0]
    steps = (
        ("Div", [quantizing.input[0], quantizing.output[1]], f"{output}.units"),
        (_FLOAT_OPERATORS[node.op_type], [f"{output}.units", f"{output}.weight"], f"{output}.float"),
        ("Round", [f"{output}.float"], f"{output}.whole"),
    )
    nodes = [helper.make_node(operator, inputs, [result]) for operator, inputs, result in steps]
    nodes[1].attribute.extend(node.attribute)
    return [*nodes, helper.make_node("Cast", [f"{output}.whole"], [output], to=onnx.TensorProto.INT32)]
