"""Operations of the tuner in PyTorch give what onnxruntime gives, node for node, and pass gradients."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from small_models import constant, model, tensor

from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.session import make_session

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.torch

from lba_onnx.torch.tuning.operation import OPERATIONS  # noqa: E402
from lba_onnx.torch.tuning.program import Program  # noqa: E402

RANDOM = np.random.default_rng(0)
MATRIX, IMAGE = (3, 8), (2, 4, 7, 6)
VECTOR = RANDOM.uniform(0.5, 1.5, 4).astype(np.float32)
POSITIVE = ("Log", "Sqrt", "Reciprocal", "Pow")


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


ONE = ["Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Erf", "Reciprocal", "Softplus", "HardSwish"]
ONE += ["Mish", "Sin", "Cos", "Identity", "Dropout", "LeakyRelu", "Elu", "HardSigmoid", "LogSoftmax", "Flatten"]
CASES = [
    *((name, IMAGE, {}, [], 18) for name in ONE),
    *((name, MATRIX, {}, [floats(3, 8)], 18) for name in ("Add", "Sub", "Mul", "Min", "Max", "Sum")),
    ("Div", MATRIX, {}, [np.abs(floats(8)) + 1], 18),
    ("Pow", MATRIX, {}, [np.array(2.5, np.float32)], 18),
    ("PRelu", IMAGE, {}, [floats(4, 1, 1)], 18),
    ("Gelu", MATRIX, {"approximate": "tanh"}, [], 20),
    ("Gelu", MATRIX, {}, [], 20),
    ("Clip", MATRIX, {}, [np.array(-0.5, np.float32), np.array(0.5, np.float32)], 18),
    ("Clip", MATRIX, {"max": 0.25}, [], 10),
    ("Softmax", IMAGE, {"axis": 1}, [], 18),
    ("Softmax", IMAGE, {"axis": 1}, [], 11),
    ("BatchNormalization", IMAGE, {}, [VECTOR, floats(4), floats(4), VECTOR], 18),
    ("InstanceNormalization", IMAGE, {}, [VECTOR, floats(4)], 18),
    ("LayerNormalization", IMAGE, {"axis": -2}, [floats(7, 6), floats(7, 6)], 18),
    ("RMSNormalization", MATRIX, {}, [floats(8)], 23),
    ("ReduceMean", IMAGE, {"axes": [2, 3]}, [], 13),
    ("ReduceMean", IMAGE, {"keepdims": 0}, [int64(-1, 1)], 18),
    ("ReduceSum", IMAGE, {"noop_with_empty_axes": 1}, [], 18),
    ("Reshape", IMAGE, {}, [int64(0, -1, 6)], 18),
    ("Transpose", IMAGE, {"perm": [0, 2, 3, 1]}, [], 18),
    ("Transpose", MATRIX, {}, [], 18),
    ("Squeeze", (3, 1, 4), {}, [int64(1)], 18),
    ("Unsqueeze", MATRIX, {}, [int64(0, -1)], 18),
    ("Concat", MATRIX, {"axis": -1}, [floats(3, 2)], 18),
    ("Slice", IMAGE, {}, [int64(1, -1), int64(100, -(2**63)), int64(1, 3), int64(2, -1)], 18),
    ("Slice", MATRIX, {"starts": [1], "ends": [-1], "axes": [1]}, [], 9),
    ("Gather", IMAGE, {"axis": 1}, [np.array([[0, -1], [2, 2]])], 18),
    ("Expand", (3, 1), {}, [int64(2, 1, 5)], 18),
    ("Pad", IMAGE, {}, [int64(0, 0, 1, 2, 0, 1, 0, 3), np.array(0.5, np.float32)], 18),
    ("Pad", IMAGE, {"mode": "reflect"}, [int64(0, 0, 1, 2, 0, 0, 0, 3)], 18),
    ("MatMul", (2, 3, 8), {}, [floats(8, 5)], 18),
    ("Gemm", MATRIX, {"alpha": 0.5, "beta": 2.0, "transB": 1}, [floats(5, 8), floats(5)], 18),
    ("Conv", IMAGE, {"strides": [2, 1], "pads": [1, 0, 2, 1]}, [floats(6, 4, 3, 2), floats(6)], 18),
    ("Conv", IMAGE, {"group": 4, "dilations": [2, 1]}, [floats(4, 1, 3, 2)], 18),
    ("Conv", IMAGE, {"strides": [1, 2], "auto_pad": "SAME_LOWER"}, [floats(2, 4, 3, 2)], 18),
    ("GlobalAveragePool", IMAGE, {}, [], 18),
    ("GlobalMaxPool", IMAGE, {}, [], 18),
    ("MaxPool", IMAGE, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, [], 18),
    ("AveragePool", IMAGE, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}, [], 18),
    ("AveragePool", IMAGE, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, [], 18),
    ("Cast", MATRIX, {"to": TensorProto.DOUBLE}, [], 18),
]


@pytest.mark.parametrize(("op_type", "shape", "attributes", "others", "opset"), CASES)
def test_an_operation_gives_what_onnxruntime_gives(op_type, shape, attributes, others, opset):
    names = [f"other{number}" for number in range(len(others))]
    node = helper.make_node(op_type, ["h", *names], ["y"], "node", **attributes)
    weights = dict(zip(names, others, strict=True)) | {"w": np.eye(shape[-1], dtype=np.float32)}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "layer"), node]
    output = helper.make_tensor_value_info("y", attributes.get("to", TensorProto.FLOAT), None)
    constants = [constant(name, values) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "one", [tensor("x", *shape)], [output], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    x = np.abs(floats(*shape)) + 0.1 if op_type in POSITIVE else floats(*shape)
    program = Program(OpenModel(proto, None), accumulates=False)
    program._constants["w"].requires_grad_()  # so that nothing is left to the reference evaluator
    y = program.run({"x": x}, ["y"])["y"]
    y.sum().backward()
    assert np.isfinite(program._constants["w"].grad.numpy()).all()
    expected = make_session(proto).run(None, {"x": x})[0]
    assert y.shape == expected.shape
    assert np.allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_every_operation_has_a_case():
    of_shapes = {"Shape", "Equal", "Where", "Split"}  # test_shapes_are_followed
    assert {case[0] for case in CASES} | of_shapes == set(OPERATIONS) - {"SimplifiedLayerNormalization"}


def test_shapes_are_followed():
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["h"]),
        helper.make_node("Split", ["h", "sizes"], ["left", "right"], axis=1),
        helper.make_node("Equal", ["rows", "rows"], ["same"]),
        helper.make_node("Where", ["same", "right", "left"], ["y"]),
        helper.make_node("OneHot", ["rows", "depth", "values"], ["marked"]),  # left to the reference evaluator
    ]
    weights = {"first": int64(0), "rest": int64(6), "sizes": int64(3, 3)}
    weights |= {"depth": np.array(4), "values": np.array([0, 1], np.float32)}
    proto = model(nodes, [tensor("x", 2, 2, 3)], [tensor("y", 2, 3), tensor("marked", 1, 4)], weights)
    x = floats(2, 2, 3)
    found = Program(OpenModel(proto, None), accumulates=False).run({"x": x}, ["y", "marked"])
    for name, expected in zip(("y", "marked"), make_session(proto).run(None, {"x": x}), strict=True):
        assert np.array_equal(found[name].numpy(), expected)
