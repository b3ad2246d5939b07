"""Balancing of channels by powers of two: the same bits come out, channels are of one size, and what is refused."""

import numpy as np
import onnx
import pytest
from residual_models import Graph, weights_of

from lba_onnx import Execution, Samples, calibrate, compare, convert
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.session import make_session
from lba_onnx.transformation import find, transform
from lba_onnx.transformation.balancing import MAX_EXPONENT, balancing_exponents
from lba_onnx.transformation.channel_ranges import channel_ranges

IMAGES = {"x": np.random.default_rng(2).standard_normal((3, 5, 9, 9)).astype(np.float32)}
ROWS = {"x": np.random.default_rng(2).standard_normal((7, 12)).astype(np.float32)}


def uneven(graph, *shape, name=None):
    """Return weights whose outputs, on the first axis, are of sizes from 1 to a hundredth."""
    values = graph.rng.standard_normal(shape, np.float32)
    scales = np.logspace(0, -2, shape[0]).astype(np.float32)
    return graph.constant(values * scales.reshape(-1, *[1] * (len(shape) - 1)), name)


def finish(graph, output, feeds):
    shape = [None, *feeds["x"].shape[1:]]
    return graph.model(output, inputs=[onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)])


def balanced(model, feeds):
    transformed, report = transform(model, feeds, ["balancing"])
    (entry,) = report.entries
    assert entry.is_done, report.summary()
    before, after = (make_session(each).run(None, feeds)[0] for each in (model, transformed))
    assert before.tobytes() == after.tobytes()
    return transformed, entry


def spread(model, name):
    """How many times larger the largest sums of a convolution's channels are than the smallest."""
    node = next(node for node in model.graph.node if node.name == name)
    bias = weights_of(model)[node.input[2]] if len(node.input) > 2 else 0.0
    found = channel_ranges(OpenModel(model, None), {node.output[0]: 1}, Samples(IMAGES), Execution())
    sizes = found[node.output[0]].largest(bias)
    return sizes.max() / sizes.min()


def convolutions(*between):
    """Conv, pointwise functions, a depthwise and a grouped Conv, pooled and classified."""
    graph = Graph()
    y = graph.add("Conv", ["x", uneven(graph, 8, 5, 3, 3, name="w1"), graph.vector(8, "b1")], "conv1", pads=[1] * 4)
    for op_type, *inputs in between:
        y = graph.add(op_type, [y, *[graph.constant(value) for value in inputs]])
    y = graph.add("Conv", [y, uneven(graph, 8, 1, 3, 3, name="w2"), graph.vector(8, "b2")], "depthwise", group=8)
    y = graph.add("MaxPool", [graph.add("LeakyRelu", [y], alpha=0.1)], kernel_shape=[2, 2])
    y = graph.add("Conv", [y, uneven(graph, 6, 4, 1, 1, name="w3")], "grouped", group=2)
    y = graph.add("Flatten", [graph.add("GlobalAveragePool", [graph.add("Relu", [y])])])
    return finish(graph, graph.add("Gemm", [y, graph.weights(4, 6), graph.vector(4)], "classifier", transB=1), IMAGES)


BETWEEN = {
    "nothing": (),
    "relu": (("Relu",),),
    "prelu": (("PRelu", np.full((8, 1, 1), 0.2, np.float32)),),
    "added": (("Add", np.arange(8, dtype=np.float32).reshape(8, 1, 1)), ("Relu",)),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_convolutions_give_the_same_bits(between):
    transformed, entry = balanced(convolutions(*BETWEEN[between]), IMAGES)
    assert entry.places == (
        "8 channels from Conv 'conv1' to Conv 'depthwise'",
        "8 channels from Conv 'depthwise' to Conv 'grouped'",
        "6 channels from Conv 'grouped' to Gemm 'classifier'",
    )
    assert [str(refusal) for refusal in entry.refusals] == [
        "Gemm 'classifier': its channels are the graph's output 'classifier'"
    ]
    names = ("conv1", "depthwise", "grouped")
    assert all(spread(transformed, name) < 2.01 for name in names)
    assert all(spread(convolutions(*BETWEEN[between]), name) > 20 for name in names)


def test_weights_change_by_powers_of_two_only():
    model = convolutions()
    transformed, _ = balanced(model, IMAGES)
    before, after = weights_of(model), weights_of(transformed)
    moved = {name for name, values in before.items() if not np.array_equal(values, after[name])}
    assert moved >= {"w1", "b1", "w2", "b2", "w3"}
    for name in moved:
        assert np.array_equal(np.frexp(before[name])[0], np.frexp(after[name])[0])


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "transposed Gemm"])
def test_matrices_give_the_same_bits(kind):
    graph = Graph()
    first = uneven(graph, 20, 12)
    if kind == "transposed Gemm":
        y = graph.add("Gemm", ["x", first, graph.vector(20)], "first", transB=1, alpha=0.7)
    else:
        turned = graph.add("Transpose", [first], perm=[1, 0])
        y = graph.add(kind.split()[-1], ["x", turned], "first")
    y = graph.add("Relu", [graph.add("Add", [graph.vector(20), y])])
    y = graph.add("MatMul", [y, graph.weights(20, 3)], "second")
    _, entry = balanced(finish(graph, y, ROWS), ROWS)
    assert len(entry.places) == 1


def test_a_flatten_spreads_each_channel_over_its_positions():
    graph = Graph()
    y = graph.add("Conv", ["x", uneven(graph, 8, 5, 3, 3), graph.vector(8)], "conv")
    y = graph.add("Flatten", [graph.add("Relu", [y])])
    y = graph.add("Gemm", [y, graph.weights(8 * 49, 3)], "head")
    balanced(finish(graph, y, IMAGES), IMAGES)


def test_one_factor_of_a_gate_is_balanced():
    """The gate itself bends, so that its own layer is left."""
    graph = Graph()
    gate = graph.add("MatMul", ["x", graph.weights(12, 20)], "gate")
    up = graph.add("MatMul", ["x", graph.add("Transpose", [uneven(graph, 20, 12)], perm=[1, 0])], "up")
    y = graph.add("Mul", [graph.add("Mul", [gate, graph.add("Sigmoid", [gate])]), up])
    model = finish(graph, graph.add("MatMul", [y, graph.weights(20, 3)], "down"), ROWS)
    _, entry = balanced(model, ROWS)
    assert entry.places == ("20 channels from MatMul 'up' to MatMul 'down'",)
    assert "MatMul 'gate'" in str(entry.refusals[0])


def test_low_bit_accumulators_lose_less_of_a_balanced_model():
    """Channels that the second layer takes as seriously as any, however small the first makes them."""
    graph = Graph()
    scales = np.logspace(0, -3, 20).astype(np.float32)
    first = graph.rng.standard_normal((12, 20), np.float32) * scales
    second = graph.rng.standard_normal((20, 5), np.float32) / scales[:, None]
    y = graph.add("Relu", [graph.add("MatMul", ["x", graph.constant(first)], "first")])
    model = finish(graph, graph.add("MatMul", [y, graph.constant(second)], "second"), ROWS)
    transformed, _ = balanced(model, ROWS)
    found = []
    for each in (model, transformed):
        converted, _ = convert(each, calibrate(each, ROWS, "M6E3"))
        found.append(compare(model, converted, ROWS).outputs[0].sqnr_db)
    assert found[1] > found[0] + 6, found


def refusals(model):
    found = find(model, "balancing")
    return {refusal.node: refusal.reason for refusal in found.refusals}


def test_a_clip_is_refused():
    model = convolutions(("Clip", np.float32(0), np.float32(6)))
    assert refusals(model)["Conv 'conv1'"] == "Clip 'clip_1' saturates all channels at the same value"


def test_a_function_that_bends_is_refused():
    assert refusals(convolutions(("Sigmoid",)))["Conv 'conv1'"] == ("Sigmoid 'sigmoid_1' does not scale with its input")


def test_a_value_with_two_readers_is_refused():
    graph = Graph()
    y = graph.add("MatMul", ["x", graph.weights(12, 12)], "first")
    z = graph.add("MatMul", [y, graph.weights(12, 12)], "second")
    found = refusals(finish(graph, graph.add("Add", [y, z], "sum"), ROWS))
    assert found["MatMul 'first'"] == "its channels are read by MatMul 'second', Add 'sum', expected one reader"
    assert found["MatMul 'second'"] == "Add 'sum' adds values that are not scaled with them"


def test_a_layer_without_constant_weights_is_refused():
    graph = Graph()
    y = graph.add("MatMul", ["x", graph.weights(12, 12)], "first")
    y = graph.add("MatMul", [y, graph.add("Exp", [graph.weights(12, 12)])], "second")
    found = refusals(finish(graph, y, ROWS))
    assert found == {"MatMul 'first'": "the weights of MatMul 'second' are no float32 constant"}


def test_channels_that_are_the_other_operand_are_refused():
    graph = Graph()
    y = graph.add("MatMul", ["x", graph.weights(12, 12)], "first")
    y = graph.add("MatMul", [graph.weights(4, 7), y], "second")
    assert "MatMul 'first'" in refusals(finish(graph, y, ROWS))


def test_exponents_bring_channels_within_a_factor_of_two_of_the_largest():
    sizes = np.array([1.0, 0.5, 0.3, 2.0**-20, 0.0, np.nan], np.float32)
    assert balancing_exponents(sizes).tolist() == [0, 1, 1, MAX_EXPONENT, 0, 0]
    assert balancing_exponents(np.zeros(3, np.float32)).tolist() == [0, 0, 0]


def test_what_falls_out_of_range_is_not_done():
    graph = Graph()
    first = np.eye(12, dtype=np.float32)
    first[1, 1] = 0.01
    y = graph.add("MatMul", ["x", graph.constant(first)], "first")
    y = graph.add("Add", [y, graph.constant(np.full(12, 2.0**126, np.float32))])  # 2^7 times that is none
    model = finish(graph, graph.add("MatMul", [y, graph.weights(12, 3)]), ROWS)
    transformed, report = transform(model, ROWS, ["balancing"])
    assert not report.done and "not equal" in report.summary()
    assert all(np.array_equal(value, weights_of(model)[name]) for name, value in weights_of(transformed).items())
