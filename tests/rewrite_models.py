"""Small models that the tests of the rewriter share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lba_onnx.arithmetic import AccumulatorSpec

SPEC = AccumulatorSpec.parse("M7E4b10")
EXACT_SPEC = AccumulatorSpec.parse("M22E7b63/M22E7b63")
FLOAT, DOUBLE, BOOL, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.BOOL, TensorProto.INT64


def value(name: str, element_type: int = FLOAT, shape: Sequence[Any] | None = ("rows", 4)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element_type, shape)


def weights(name: str, shape: Sequence[int] = (4, 4), dtype: Any = np.float32) -> onnx.TensorProto:
    generator = np.random.default_rng(len(name))
    return numpy_helper.from_array(generator.standard_normal(shape).astype(dtype), name)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto] = (),
    outputs: Sequence[onnx.ValueInfoProto] = (),
    initializers: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 17,
    ir_version: int = 8,
    **kwargs: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs or [value("x")], outputs or [value("y")], list(initializers))
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions), **kwargs)
    model.ir_version = ir_version
    return model


def matmul_model(dtype: Any = np.float32, **kwargs: Any) -> onnx.ModelProto:
    element_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        [value("x", element_type)],
        [value("y", element_type)],
        [weights("w", dtype=dtype)],
        **kwargs,
    )


def branch(name: str, nodes: Sequence[onnx.NodeProto], output: str, **kwargs: Any) -> onnx.GraphProto:
    return helper.make_graph(nodes, name, [], [value(output)], **kwargs)


def nested_model() -> onnx.ModelProto:
    """If within If; the inner branch multiplies by an initializer of the main graph and by one of its own."""
    inner = branch(
        "inner",
        [
            helper.make_node("MatMul", ["x", "w"], ["inner_a"], name="by_outer"),
            helper.make_node("MatMul", ["inner_a", "v"], ["inner_b"], name="by_own"),
        ],
        "inner_b",
        initializer=[weights("v")],
    )
    other = branch("other", [helper.make_node("Identity", ["x"], ["other_y"])], "other_y")
    middle = branch(
        "middle",
        [helper.make_node("If", ["c"], ["middle_y"], name="inner_if", then_branch=inner, else_branch=other)],
        "middle_y",
    )
    plain = branch("plain", [helper.make_node("MatMul", ["x", "x"], ["plain_y"], name="plain")], "plain_y")
    return model_of(
        [helper.make_node("If", ["c"], ["y"], then_branch=middle, else_branch=plain)],
        [value("x", shape=(4, 4)), value("c", BOOL, [])],
        [value("y", shape=(4, 4))],
        [weights("w")],
    )


def block_function() -> onnx.FunctionProto:
    nodes = [
        helper.make_node("Transpose", ["b"], ["b_t"]),
        helper.make_node("MatMul", ["a", "b_t"], ["c"], name="function_product"),
    ]
    return helper.make_function("my", "Block", ["a", "b"], ["c"], nodes, [helper.make_opsetid("", 17)])
