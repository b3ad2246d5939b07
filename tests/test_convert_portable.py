"""Portable models: float32 without the library, low-bit accumulators with it."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from rewrite_models import model_of, nested_model, value, weights

from lba_onnx import reference
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session

COARSE = AccumulatorSpec.parse("M2E3b4,chunk=4")
GENERATOR = np.random.default_rng(7)


def run_without_library(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def gemm(inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Gemm", inputs, ["y"], **attributes)


def conv(inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node("Conv", inputs, ["y"], **attributes)


NODES = {
    "matmul": helper.make_node("MatMul", ["x", "w"], ["y"]),
    "gemm": gemm(["x", "w"]),
    "gemm_empty": gemm(["x", "w", ""]),
    "gemm_bias": gemm(["x", "w", "b"]),
    "gemm_attributes": gemm(["x", "w", "b"], alpha=0.5, beta=3.0, transA=1, transB=1),
    "conv": conv(["i", "k"]),
    "conv_bias": conv(["i", "k", "b"], pads=[1, 0, 2, 1]),
    "conv_attributes": conv(["i", "k", ""], auto_pad="SAME_LOWER", strides=[2, 2], kernel_shape=[3, 3]),
    "conv_group": conv(["i", "g"], group=2, dilations=[1, 2]),
}


def single_model(case: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    node = NODES[case]
    name, shape = ("i", [1, 2, 6, 7]) if node.op_type == "Conv" else ("x", [4, 4])
    initializers = [weights("w"), weights("b", [4]), weights("k", [4, 2, 3, 3]), weights("g", [4, 1, 3, 3])]
    used = [tensor for tensor in initializers if tensor.name in node.input]
    rank = 4 if name == "i" else 2
    model = model_of([node], [value(name, shape=shape)], [value("y", shape=[None] * rank)], used)
    return model, {name: GENERATOR.standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("case", NODES)
def test_portable_model_without_the_library_is_the_float_model(case: str):
    source, feeds = single_model(case)
    model, report = convert(source, COARSE, portable=True)
    assert len(report.converted) == 1
    onnx.checker.check_model(model)
    # Not bit for bit: onnxruntime's optimizer may choose another float32 kernel for what it has inlined.
    expected = run_without_library(source, feeds)
    np.testing.assert_allclose(run_without_library(model, feeds), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", NODES)
def test_portable_model_with_the_library_has_the_bits_of_the_plain_one(case: str):
    source, feeds = single_model(case)
    plain, portable = (convert(source, COARSE, portable=portable)[0] for portable in (False, True))
    got = make_session(portable).run(None, feeds)[0]
    np.testing.assert_array_equal(got, make_session(plain).run(None, feeds)[0])
    assert not np.array_equal(got, run_without_library(source, feeds))


def test_portable_product_with_the_library_has_the_bits_of_the_definition():
    source, feeds = single_model("matmul")
    model, _ = convert(source, COARSE, portable=True)
    expected = reference.matmul(feeds["x"], numpy_helper.to_array(source.graph.initializer[0]), COARSE)
    np.testing.assert_array_equal(make_session(model).run(None, feeds)[0], expected)


@pytest.mark.parametrize("condition", [True, False])
def test_portable_subgraphs_run_without_the_library(condition: bool):
    source = nested_model()
    feeds = {"x": GENERATOR.standard_normal((4, 4)).astype(np.float32), "c": np.array(condition)}
    model, _ = convert(source, COARSE, portable=True)
    expected = run_without_library(source, feeds)
    np.testing.assert_allclose(run_without_library(model, feeds), expected, rtol=1e-5, atol=1e-5)


def test_plain_model_without_the_library_does_not_load():
    source, feeds = single_model("matmul")
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.Fail, match="lba_onnx"):
        run_without_library(convert(source, COARSE)[0], feeds)
