"""Models of opset 1 to 7, with initializers that are inputs too, as IR version 3 has them.

A model of opset 6 ran in onnxruntime and was converted, but with data its conversion ended after calibration: the
correction put in a Mul, for which onnxruntime has no kernel below opset 7.
"""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from rewrite_models import EXACT_SPEC
from small_models import constant, tensor

import lba_onnx
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.folding import ChannelAffine, find_scalable, fold
from lba_onnx.session import make_session

OP_TYPES = ("MatMul", "Gemm", "Conv")
SHAPES = {"MatMul": ((6, 4), (4, 3)), "Gemm": ((6, 4), (4, 3)), "Conv": ((6, 2, 4, 4), (3, 2, 3, 3))}


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def old_model(op_type: str, opset: int, uses: int = 1, ir_version: int = 3, bias: tuple[int, ...] = (3,)) -> Any:
    """`uses` nodes with the same weights, as a graph of the time would be written."""
    x, w = SHAPES[op_type]
    weights = {"w": integers(*w, seed=1)} if op_type == "MatMul" else {"w": integers(*w, seed=1), "b": integers(*bias)}
    attributes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4} if op_type == "Conv" else {}
    if op_type == "Gemm" and opset < 7:
        attributes["broadcast"] = 1
    nodes = [helper.make_node(op_type, ["x", *weights], [f"y{i}"], f"{op_type}_{i}", **attributes) for i in range(uses)]
    inputs = [tensor("x", *x), *((tensor(name, *values.shape) for name, values in weights.items()))]
    outputs = [tensor(f"y{i}", *[None] * len(x)) for i in range(uses)]
    graph = helper.make_graph(nodes, "old", inputs, outputs, [constant(n, v) for n, v in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def run(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return make_session(model).run(None, {"x": x})


def feed(op_type: str) -> np.ndarray:
    return integers(*SHAPES[op_type][0], seed=2)


def is_run(model: onnx.ModelProto) -> bool:
    try:
        make_session(model)
    except lba_onnx.LbaError:
        return False
    return True


every_opset = pytest.mark.parametrize("opset", range(1, 8))
every_operator = pytest.mark.parametrize("op_type", OP_TYPES)


@every_opset
@every_operator
def test_conversion_gives_what_onnxruntime_gives(op_type: str, opset: int):
    source = old_model(op_type, opset)
    converted, report = lba_onnx.convert(source, EXACT_SPEC)
    assert [(entry.converted, entry.weights) for entry in report] == [(True, "initializer 'w'")]
    (result,) = run(converted, feed(op_type))
    if op_type == "Gemm" and opset < 7:  # for which onnxruntime has no kernel, but its twin has
        assert not is_run(source)
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in source.graph.initializer}
        expected = feed(op_type) @ weights["w"] + weights["b"]
    else:
        (expected,) = run(source, feed(op_type))
    np.testing.assert_array_equal(result, expected)


@every_opset
@every_operator
@pytest.mark.parametrize("uses", [1, 2])
def test_calibration_and_correction_go_through(op_type: str, opset: int, uses: int):
    source = old_model(op_type, opset, uses)
    data = np.random.default_rng(3).standard_normal((24, *SHAPES[op_type][0][1:])).astype(np.float32)
    biases = lba_onnx.calibrate(source, {"x": data}, family="M3E4")
    corrected, correction = lba_onnx.correct(lba_onnx.convert(source, biases)[0], {"x": data})
    assert correction.recipe != "none"  # three mantissa bits lose enough for a scale to win
    assert len(correction.corrected) == uses
    assert all(np.isfinite(y).all() for y in run(corrected, feed(op_type)))
    assert len(list_candidates(corrected)) == uses


AFFINE = ChannelAffine(np.array([2, 1, 0.5], np.float32), np.array([1, -3, 2], np.float32))


@every_opset
@pytest.mark.parametrize("uses", [1, 2])
@pytest.mark.parametrize(("op_type", "bias"), [("MatMul", (3,)), ("Gemm", (3,)), ("Gemm", (1,)), ("Conv", (3,))])
def test_folding_changes_one_node_alone(op_type: str, opset: int, uses: int, bias: tuple[int, ...]):
    """Shared weights, and a bias that broadcasts, are not changed in place; below opset 7 a copy takes their place."""
    model = lba_onnx.convert(old_model(op_type, opset, uses, bias=bias), EXACT_SPEC)[0]
    place = find_scalable(model).nodes[f"{op_type}_0"]
    assert place.takes_offset == (op_type != "MatMul" or opset >= 7)
    x = feed(op_type)
    plain, addend = run(model, x)[0], 0
    if op_type != "MatMul":
        channels = (1, -1, 1, 1) if op_type == "Conv" else (1, -1)
        addend = onnx.numpy_helper.to_array(model.graph.initializer[1]).reshape(channels)
    by_channel = [a.reshape(1, -1, 1, 1) if op_type == "Conv" else a for a in (AFFINE.scale, AFFINE.offset)]
    offset = by_channel[1] if place.takes_offset else np.zeros_like(by_channel[1])
    expected = (plain - addend) * by_channel[0] + offset + addend
    fold(model, {place.name: ChannelAffine(AFFINE.scale, offset.reshape(-1))})
    results = run(model, x)
    np.testing.assert_array_equal(results[0], expected)
    for other in results[1:]:
        np.testing.assert_array_equal(other, plain)
    types = {node.op_type for node in model.graph.node}
    assert opset >= 7 or types <= {place.node.op_type, "Constant"}


def test_weights_that_are_computed_are_left_with_the_reason():
    model = old_model("MatMul", 6)
    model.graph.node.insert(0, helper.make_node("Transpose", ["v"], ["w"], "turn"))
    values = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(constant("v", np.ascontiguousarray(values.T)))
    model.graph.input[1].CopyFrom(tensor("v", *values.T.shape))
    converted = lba_onnx.convert(model, EXACT_SPEC)[0]
    scalable = find_scalable(converted)
    nodes, reasons = scalable.nodes, scalable.reasons
    assert not nodes
    assert "onnxruntime has no Mul of opset 6" in reasons["MatMul_0"]
    data = np.random.default_rng(3).standard_normal((24, 4)).astype(np.float32)
    assert lba_onnx.correct(converted, {"x": data})[1].nodes[0].reason == reasons["MatMul_0"]


def test_bias_that_is_computed_takes_no_offset():
    model = old_model("Gemm", 6)
    model.graph.node.insert(0, helper.make_node("Identity", ["c"], ["b"], "same"))
    model.graph.initializer[1].name = "c"
    model.graph.input[2].name = "c"
    converted = lba_onnx.convert(model, EXACT_SPEC)[0]
    assert not find_scalable(converted).nodes["Gemm_0"].takes_offset


def test_initializer_that_may_be_fed_is_scaled_where_it_is_read():
    """From IR version 4 on an initializer that is an input is a default: whoever feeds another must get it scaled."""
    model = lba_onnx.convert(old_model("MatMul", 7, ir_version=4), EXACT_SPEC)[0]
    fold(model, {"MatMul_0": AFFINE})
    other = integers(4, 3, seed=5)
    (result,) = make_session(model).run(None, {"x": feed("MatMul"), "w": other})
    np.testing.assert_array_equal(result, feed("MatMul") @ (other * AFFINE.scale) + AFFINE.offset)


def test_fed_session_input_is_not_offered_below_ir_version_4():
    """What lets weights be folded in place there: onnxruntime takes them for constants, and offers no input."""
    session = onnxruntime.InferenceSession(old_model("MatMul", 7).SerializeToString())
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert not session.get_overridable_initializers()
