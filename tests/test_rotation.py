"""Rotation of residual streams: what is found, that outputs stay, that channels even out, and what is refused."""

import numpy as np
import onnx
import pytest
from residual_models import (
    HIDDEN,
    NORMS,
    Graph,
    embedding,
    feed_forward,
    gemm_pre_norm,
    ids,
    layer_norm,
    post_norm,
    pre_norm,
    rms_norm,
    skip_pre_norm,
    weights_of,
)

from lba_onnx import calibrate, compare, convert
from lba_onnx.session import make_session
from lba_onnx.transformation import find, transform
from lba_onnx.transformation.orthogonal import hadamard, rotation_matrix

SIZES = (1, 2, 4, 8, 12, 16, 20, 24, 28, 36, 48, 64, 384, 576, 768, 896, 960)


@pytest.mark.parametrize("size", SIZES)
def test_a_hadamard_matrix_has_ones_and_orthogonal_rows(size):
    matrix = hadamard(size)
    assert np.array_equal(np.abs(matrix), np.ones((size, size)))
    assert np.array_equal(matrix @ matrix.T, size * np.eye(size))


@pytest.mark.parametrize("size", (*SIZES, 3, 5, 6, 9, 100, 1001))
@pytest.mark.parametrize("keeps_mean", [False, True])
def test_a_rotation_is_orthogonal_and_spreads(size, keeps_mean):
    matrix = rotation_matrix(size, keeps_mean=keeps_mean)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    assert np.array_equal(matrix, rotation_matrix(size, keeps_mean=keeps_mean))
    if keeps_mean:
        np.testing.assert_allclose(matrix @ np.ones(size), np.ones(size), atol=1e-12)
    if size >= 64:
        assert np.abs(matrix).max() < 6 / np.sqrt(size)


def run(model, feeds=None):
    return make_session(model).run(None, feeds or ids())[0]


def rotated(model, feeds=None):
    """Return the model with rotated streams; its outputs are those of the model."""
    transformed, report = transform(model, feeds or ids(), ["rotation"])
    (entry,) = report.entries
    assert entry.is_done and entry.verification.is_equal, report.summary()
    assert 0 < max(entry.verification.differences.values()) < 1e-5  # something was rounded otherwise
    np.testing.assert_allclose(run(transformed, feeds), run(model, feeds), rtol=1e-3, atol=1e-4)
    return transformed, entry


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("has_bias", [False, True])
def test_pre_norm_streams_are_rotated(norm, has_bias):
    _, entry = rotated(pre_norm(norm, has_bias=has_bias, opset=23 if norm == "standard rms" else 17))
    kind = "LayerNorm" if "layer" in norm else "RMSNorm"
    assert entry.places == (
        f"residual stream of 24 channels from Gather 'embedding': 3 matrices write it, 3 {kind} and 3 matrices "
        "behind them read it",
    )


def test_gemm_nodes_keep_alpha_and_beta():
    rotated(gemm_pre_norm(), {"ids": ids()["ids"].ravel()})


@pytest.mark.parametrize("is_centred", [False, True])
def test_operators_that_add_the_residual_are_norms_and_additions(is_centred):
    _, entry = rotated(skip_pre_norm(is_centred))
    assert f"4 matrices write it, 4 {'LayerNorm' if is_centred else 'RMSNorm'} and 4 matrices" in entry.places[0]


def test_channels_even_out():
    model = pre_norm("rms")
    transformed, _ = rotated(model)
    spread = {}
    for name, found in (("before", model), ("after", transformed)):
        table = weights_of(found)["table"]
        channels = np.sqrt(np.square(table, dtype=np.float64).mean(0))
        spread[name] = channels.max() / np.median(channels)
    assert spread["before"] > 40 and spread["after"] < 3


def sqnr(model, family):
    """SQNR in dB of a model converted with biases by max, against the model."""
    converted, _ = convert(model, calibrate(model, ids(16), family))
    (output,) = compare(model, converted, ids(16)).outputs
    return output.sqnr_db


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_low_bit_accumulators_lose_less_of_a_rotated_model(norm):
    model = pre_norm(norm)
    transformed, _ = rotated(model)
    assert sqnr(transformed, "M5E4") > sqnr(model, "M5E4") + 1


def test_gains_become_ones_and_biases_zeros():
    transformed, _ = rotated(pre_norm("fused layer"))
    values = weights_of(transformed)
    for node in transformed.graph.node:
        if node.op_type == "LayerNormalization":
            assert np.array_equal(values[node.input[1]], np.ones(HIDDEN))
            assert np.array_equal(values[node.input[2]], np.zeros(HIDDEN))


def test_the_bias_of_a_norm_before_a_product_without_bias_is_added_behind():
    transformed, _ = rotated(pre_norm("fused layer", has_bias=False))
    added = [node for node in transformed.graph.node if "rotated" in node.name]
    assert [node.op_type for node in added] == ["Add"] * 3
    assert [value.name for value in transformed.graph.output] == ["logits"]


def test_tied_embeddings_are_untied():
    model = pre_norm("rms", is_tied=True)
    transformed, _ = rotated(model)
    nodes = {node.name: node for node in transformed.graph.node}
    values = weights_of(transformed)
    assert "table" not in values and not any(node.op_type == "Transpose" for node in nodes.values())
    table, head = values[nodes["embedding"].input[0]], values[nodes["logits"].input[1]]
    assert not np.allclose(table.T, head)  # the gain of the last norm went into one of them
    assert {len(list(transformed.graph.initializer)) - len(list(model.graph.initializer))} == {1}


def test_weights_may_be_constant_nodes_behind_identity():
    model = pre_norm("rms")
    kept = []
    for tensor in list(model.graph.initializer):
        if tensor.name == "table":
            node = onnx.helper.make_node("Constant", [], ["plain"], value=tensor)
            model.graph.node.insert(0, node)
            model.graph.node.insert(1, onnx.helper.make_node("Identity", ["plain"], ["table"]))
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    transformed, _ = rotated(model)
    assert not {"Constant", "Identity"} & {node.op_type for node in transformed.graph.node}


def test_streams_of_two_encoders_are_rotated_apart():
    graph = Graph()
    streams = []
    for name in ("first", "second"):
        x = graph.add("Gather", [graph.weights(50, HIDDEN), "ids"], name)
        x = graph.add("Add", [x, feed_forward(graph, rms_norm(graph, x))])
        streams.append(graph.add("MatMul", [rms_norm(graph, x), graph.weights(HIDDEN, 5)]))
    _, entry = rotated(graph.model(graph.add("Mul", streams)))
    assert [place.split(":")[0].split("from ")[1] for place in entry.places] == ["Gather 'first'", "Gather 'second'"]


def test_a_matrix_may_read_one_stream_and_write_another():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    y = graph.add("MatMul", [layer_norm(graph, x), graph.weights(HIDDEN, 48)])
    y = graph.add("MatMul", [layer_norm_of(graph, y, 48), graph.weights(48, 5)], "logits")
    _, entry = rotated(graph.model(y))
    assert len(entry.places) == 2


def layer_norm_of(graph, x, size):
    return graph.add("LayerNormalization", [x, graph.vector(size), graph.vector(size)], axis=-1)


def test_positions_may_be_cut_before_the_head():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    x = graph.add("Add", [x, feed_forward(graph, rms_norm(graph, x))])
    bounds = [graph.constant(np.array([value])) for value in (-1, 2**31, 1)]
    last = graph.add("Slice", [rms_norm(graph, x), *bounds])
    model = graph.model(graph.add("MatMul", [last, graph.weights(HIDDEN, 5)], "logits"))
    assert run(model).shape == (4, 1, 5)
    rotated(model)


def refusals(model):
    found = find(model, "rotation")
    assert not found.places
    return list(map(str, found.refusals))


def test_post_norm_is_refused():
    found = refusals(post_norm())
    assert found and all("post-norm" in reason and "LayerNormalization" in reason for reason in found)


def test_a_stream_that_is_an_output_is_refused():
    model = pre_norm("rms")
    model.graph.output.append(onnx.helper.make_tensor_value_info("embedding", onnx.TensorProto.FLOAT, None))
    assert refusals(model) == ["embedding: the stream's value 'embedding' is an output of the graph"]


def test_a_reader_without_norm_is_refused():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    gate = graph.add("Sigmoid", [x], "gate")
    y = graph.add("Mul", [feed_forward(graph, rms_norm(graph, x)), gate])
    (reason,) = refusals(graph.model(y))
    assert reason.startswith("Sigmoid 'gate': reads the stream's value") and "without a normalization" in reason


def test_a_writer_that_is_no_matrix_is_refused():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    x = graph.add("Tanh", [x], "bend")
    (reason,) = refusals(graph.model(feed_forward(graph, rms_norm(graph, x))))
    assert reason == "Tanh 'bend': writes the stream, but Tanh 'bend' is no MatMul, Gemm or Gather"


def test_a_stream_from_a_graph_input_is_refused():
    graph = Graph()
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", HIDDEN])
    (reason,) = refusals(graph.model(feed_forward(graph, rms_norm(graph, "x")), inputs=[x]))
    assert reason == "x: the stream begins at the graph's input 'x', which nothing can rotate"


def test_normalized_values_that_are_not_multiplied_are_refused():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    y = rms_norm(graph, x)
    output = graph.add("Add", [feed_forward(graph, y), graph.add("Sigmoid", [y], "gate")])
    (reason,) = refusals(graph.model(output))
    assert reason.startswith("Sigmoid 'gate': reads the output") and "constant matrix" in reason


def test_weights_that_are_computed_are_refused():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    computed = graph.add("Exp", [graph.weights(HIDDEN, 5)], "computed")
    (reason,) = refusals(graph.model(graph.add("MatMul", [rms_norm(graph, x), computed], "head")))
    assert "MatMul 'head'" in reason and "no float32 constant" in reason


def test_a_norm_over_another_axis_is_none():
    graph = Graph()
    x = graph.add("Gather", [embedding(graph), "ids"])
    mean = graph.add("ReduceMean", [graph.add("Mul", [x, x])], axes=[1])
    root = graph.add("Sqrt", [graph.add("Add", [mean, graph.constant(np.float32(1e-5))])])
    model = graph.model(feed_forward(graph, graph.add("Div", [x, root])))
    assert find(model, "rotation").places == find(model, "rotation").refusals == ()
