"""Observed calls as layers: rows times weights, in the layer's accumulator, are its outputs, bit for bit."""

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import model, tensor

import lba_onnx
from lba_onnx.correction.sequence import _low_bit_products
from lba_onnx.native.observed_layer import layer_of
from lba_onnx.observation.observer import observing_session

SPEC = "M4E4b8,chunk=5"


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def matmul(op_type, x_shape, w_shape, operand=1, **attributes):
    names = ["x", "w"] if operand == 1 else ["w", "x"]
    node = helper.make_node(op_type, names, ["y"], "layer", **attributes)
    return model([node], [tensor("x", *x_shape)], [tensor("y", None, None)], {"w": draw(*w_shape, seed=1)}), operand


def conv(x_shape, w_shape, **attributes):
    node = helper.make_node("Conv", ["x", "w"], ["y"], "layer", **attributes)
    output = tensor("y", *[None] * len(x_shape))
    return model([node], [tensor("x", *x_shape)], [output], {"w": draw(*w_shape, seed=1)}), 1


CASES = {
    "matmul": matmul("MatMul", (7, 12), (12, 5)),
    "matmul on the left": matmul("MatMul", (12, 7), (5, 12), operand=0),
    "gemm": matmul("Gemm", (7, 12), (12, 5)),
    "gemm, both transposed": matmul("Gemm", (12, 7), (5, 12), transA=1, transB=1),
    "gemm on the left": matmul("Gemm", (12, 7), (12, 5), operand=0, transA=1),
    "conv": conv((2, 3, 9, 8), (4, 3, 3, 2), strides=[2, 1], pads=[1, 0, 2, 1], dilations=[1, 2]),
    "conv, pointwise": conv((2, 6, 5, 5), (4, 6, 1, 1)),
    "conv in groups": conv((2, 6, 7, 7), (4, 3, 3, 3), group=2, pads=[1, 1, 1, 1]),
    "conv, depthwise": conv((2, 6, 7, 7), (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1]),
    "conv, one axis": conv((2, 3, 11), (4, 3, 3), pads=[1, 1]),
    "conv, three axes": conv((1, 2, 4, 5, 6), (3, 2, 2, 2, 2), strides=[1, 2, 1]),
}


def observe(proto: onnx.ModelProto, watch) -> None:
    converted, _ = lba_onnx.convert(proto, SPEC)
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    with observing_session(converted, watch) as observing:
        observing.session.run(None, {"x": draw(*shape)})


@pytest.mark.parametrize("case", CASES)
def test_rows_and_weights_give_the_outputs(case):
    proto, operand = CASES[case]
    seen = []

    def watch(call):
        layer = layer_of(call, operand)
        every, some = np.arange(layer.row_count), np.arange(1, layer.row_count, 3)
        for numbers in (every, some):
            computed = _low_bit_products(layer.rows(numbers), layer.weights, call.spec)
            np.testing.assert_array_equal(computed, layer.outputs(numbers))
            rows = layer.rows(
                numbers
            )  # as the kernels read them fastest, of several groups by a convolution along a line
            assert (rows if len(rows) == 1 else rows.swapaxes(1, 2)).flags.c_contiguous
        seen.append(layer.row_count)

    observe(proto, watch)
    assert seen and seen[0] > 3


def with_bias(proto: onnx.ModelProto, channels: int) -> onnx.ModelProto:
    biased = onnx.ModelProto()
    biased.CopyFrom(proto)
    biased.graph.node[0].input.append("b")
    biased.graph.initializer.append(onnx.numpy_helper.from_array(10 * draw(channels, seed=2), "b"))
    return biased


@pytest.mark.parametrize("case", [*CASES, "gemm from a start", "conv from a start"])
def test_sums_in_float32_are_those_of_the_wide_accumulator(case):
    starts = {"gemm from a start": ("gemm", 5), "conv from a start": ("conv, pointwise", 4)}
    name, channels = starts.get(case, (case, 0))
    proto, operand = CASES[name]
    proto = with_bias(proto, channels) if channels else proto
    found = []

    def watch(call):
        layer_of(call, operand).fill_float32()
        expected = call.compute(call.spec)
        np.testing.assert_allclose(call.y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        found.append(bool(call.args.initial))

    converted, _ = lba_onnx.convert(proto, "M22E7b63", bias_start=bool(channels))
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    with observing_session(converted, watch, fills=True) as observing:
        observing.session.run(None, {"x": draw(*shape)})
    assert found == [bool(channels)]


@pytest.mark.parametrize("case", CASES)
def test_other_weights_give_what_a_model_with_them_gives(case):
    proto, operand = CASES[case]
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    replaced = draw(*proto.graph.initializer[0].dims, seed=9)
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(replaced, "w"))
    weights, expected, computed = [], [], []

    def keep(call):
        weights.append(layer_of(call, operand).weights)
        expected.append(call.y.copy())

    def fill(call):
        layer_of(call, operand).fill(weights[0])
        computed.append(call.y.copy())

    observe(other, keep)
    observe(proto, fill)
    np.testing.assert_array_equal(computed[0], expected[0])


def test_matrices_that_meet_different_weights_are_told():
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "layer")
    proto = model([node], [tensor("x", 3, 4, 6)], [tensor("y", 3, 4, 5)], {"w": draw(3, 6, 5)})
    observe(proto, lambda call: pytest.fail("whole") if layer_of(call, 1).is_whole else None)
