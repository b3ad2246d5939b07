"""Small models for the tests of calibration, evaluation and the command line."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]


def tensor(name: str, *shape: int | str | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name: str, values: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def model(nodes, inputs, outputs, weights=(), functions=(), opsets=OPSET) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "small", inputs, outputs, [constant(n, v) for n, v in dict(weights).items()])
    made = helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)
    onnx.checker.check_model(made)
    return made


def matmul_model(weights: np.ndarray, batch: int | str = "batch", name: str = "matmul") -> onnx.ModelProto:
    """y = MatMul(x, weights)."""
    depth, columns = weights.shape
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], name)]
    return model(nodes, [tensor("x", batch, depth)], [tensor("y", batch, columns)], {"w": weights})


def network() -> onnx.ModelProto:
    """A convolution, a depthwise one and a classifier, on images [batch, 1, 8, 8]."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["h1"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["h1"], ["h2"], "relu1"),
        helper.make_node("Conv", ["h2", "w2"], ["h3"], "depthwise", group=8, strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["h3"], ["h4"], "flatten"),
        helper.make_node("Gemm", ["h4", "w3", "b3"], ["y"], "classifier", transB=1),
    ]
    shapes = {"w1": (8, 1, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "w3": (10, 128), "b3": (10,)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return model(nodes, [tensor("x", "batch", 1, 8, 8)], [tensor("y", "batch", 10)], weights)


def images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, 8, 8)).astype(np.float32)


def branching_model() -> onnx.ModelProto:
    """y = if x.sum() > 0 then x @ a else x @ b; both MatMuls in the branches."""

    def branch(weight: str, name: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["x", weight], [f"{name}_y"], name)
        return helper.make_graph([node], name, [], [tensor(f"{name}_y", "batch", 2)])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], "sum", keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_positive"], "greater"),
        helper.make_node(
            "If", ["is_positive"], ["y"], "if",
            then_branch=branch("a", "then_matmul"), else_branch=branch("b", "else_matmul"),
        ),
    ]  # fmt: skip
    weights = {"a": np.eye(2, dtype=np.float32), "b": np.eye(2, dtype=np.float32), "zero": np.array(0, np.float32)}
    return model(nodes, [tensor("x", "batch", 2)], [tensor("y", "batch", 2)], weights)


def loop_model(count: int) -> onnx.ModelProto:
    """y = x doubled `count` times by a MatMul in a Loop's body."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], "loop_matmul"),
            helper.make_node("Identity", ["condition"], ["condition_out"], "keep_going"),
        ],
        "body",
        [tensor("index", kind=TensorProto.INT64), tensor("condition", kind=TensorProto.BOOL), tensor("state", 1, 2)],
        [tensor("condition_out", kind=TensorProto.BOOL), tensor("next", 1, 2)],
    )
    nodes = [helper.make_node("Loop", ["count", "", "x"], ["y"], "loop", body=body)]
    weights = {"count": np.array(count, np.int64), "w": np.eye(2, dtype=np.float32) * 2}
    return model(nodes, [tensor("x", 1, 2)], [tensor("y", 1, 2)], weights)


def function_model() -> onnx.ModelProto:
    """y = f(f(x)) with f(x) = x @ (2 I), a function of the model."""
    weight = helper.make_node("Constant", [], ["w"], "weight", value=constant("", np.eye(2, dtype=np.float32) * 2))
    matmul = helper.make_node("MatMul", ["a", "w"], ["b"], "inner_matmul")
    double = helper.make_function("mine", "Double", ["a"], ["b"], [weight, matmul], OPSET)
    calls = [
        helper.make_node("Double", ["x"], ["h"], "first", domain="mine"),
        helper.make_node("Double", ["h"], ["y"], "second", domain="mine"),
    ]
    opsets = [*OPSET, helper.make_opsetid("mine", 1)]
    return model(calls, [tensor("x", "batch", 2)], [tensor("y", "batch", 2)], functions=[double], opsets=opsets)
