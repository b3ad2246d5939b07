"""Formats whose bias is given: debug names the power of two that brings sums back into their range, and it does."""

import re

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from lba_onnx.diagnosis.model_diagnosis import Diagnosis


def linear(scale: float) -> onnx.ModelProto:
    """Return a product of activations that are divided by a scale, with weights."""
    weights = np.random.default_rng(0).standard_normal((512, 8)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Div", ["x", "scale"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"], "scores")],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 512])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(np.float32(scale), "scale"), numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def diagnose(scale: float, spec: str, size: float) -> Diagnosis:
    """Debug the model on activations of a size."""
    x = size * np.random.default_rng(1).standard_normal((32, 512)).astype(np.float32)
    return lba_onnx.debug(lba_onnx.convert(linear(scale), spec)[0], {"x": x}, linear(scale))


@pytest.mark.parametrize("spec", ["fp16-fma", "fp16-mul-add", "kulisch(float16)", "splitk4(fp16-fma)"])
@pytest.mark.parametrize(
    ("size", "verb", "event"),
    [(3000.0, "divide", "accumulator_overflow"), (1e-6, "multiply", "accumulator_subnormal")],
)
def test_the_scale_that_is_named_cures(spec: str, size: float, verb: str, event: str) -> None:
    found = diagnose(1, spec, size)
    named = re.search(rf"{verb} the activations of node scores by (\d+)", found.sentences(1)[0])
    before = found.layers[0].events
    assert named and before is not None and before[event] > 0.01
    scale = int(named[1]) if verb == "divide" else 1 / int(named[1])
    after = diagnose(scale, spec, size).layers[0].events
    assert after is not None and after["accumulator_overflow"] == 0 and after[event] < 0.01


def test_a_bias_that_calibration_chooses_is_not_told_to_scale() -> None:
    sentence = diagnose(1, "M10E4b7,chunk=none,round=nearest", 3000.0).sentences(1)[0]
    assert "a smaller bias" in sentence and "divide the activations" not in sentence


@pytest.mark.parametrize(
    ("weights", "size", "told"),
    [
        ([-10000, 70000, 3], 1.0, r"% of products overflow: products reach 7\S+e\+04.*divide the activations"),
        ([1e-3] * 512, 1e-3, r"% of products are subnormal.*multiply the activations"),
    ],
)
def test_products_that_leave_the_range_alone_are_told(weights: list[float], size: float, told: str) -> None:
    x = size * (1 + 0.01 * np.random.default_rng(2).random((16, len(weights)), np.float32))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "scores")],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.float32(weights)[:, np.newaxis], "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    converted = lba_onnx.convert(model, "M10E5b15/M23E8b127,chunk=none,range=infinity,subnormals=keep,round=nearest")[0]
    sentence = lba_onnx.debug(converted, {"x": x}, model).sentences(1)[0]
    assert re.search(told, sentence) and "nan" not in sentence


def test_another_order_of_slices_is_named() -> None:
    sentence = diagnose(1, "splitk4(fp16-fma)", 1.0).sentences(1)[0]
    assert "chunk=16 in place of chunk=none would take away" in sentence
