"""Attention through the tool: ledger, calibration, correction, causes of error, observers, portable models, errors."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from attention_models import (
    BATCH,
    CASES,
    HEADS,
    KV_HEADS,
    ROWS,
    Case,
    draw,
    group_case,
    heads_case,
    int32,
    standard_case,
)
from onnx import helper

import lba_onnx
from lba_onnx import operators
from lba_onnx.data.batch import Batch
from lba_onnx.native.observer import ObservedCall
from lba_onnx.observation.observer import observing_session
from lba_onnx.reference.attention import exponentials, soft_capped
from lba_onnx.rewrite import Selection, convert, list_candidates
from lba_onnx.session import make_session

SPEC = "M7E4b10"
RNG = np.random.default_rng(4)


def samples(case: Case, count: int = 6) -> list[dict[str, np.ndarray]]:
    return [{name: draw(*values.shape) for name, values in case.feeds.items()} for _ in range(count)]


def test_the_ledger_tells_of_two_products_and_the_operator_of_the_model():
    entries = list(list_candidates(CASES["groups: rotary, packed"].model))
    assert [(e.node, e.op_type, e.reason) for e in entries] == [
        ("node/qk", "com.microsoft.GroupQueryAttention", ""),
        ("node/pv", "com.microsoft.GroupQueryAttention", ""),
    ]


def test_a_node_that_is_not_selected_is_put_back():
    model = CASES["groups: rotary, packed"].model
    left, report = convert(model, SPEC, selection=Selection(op_types_to_convert=["MatMul"]))
    assert not report.converted and left.graph == model.graph


def test_one_product_alone_leaves_the_other_to_stand_for_float32():
    model, report = convert(CASES["standard: plain"].model, {"node/qk": SPEC})
    assert [entry.node for entry in report.converted] == ["node/qk"]
    attributes = {a.name: helper.get_attribute_value(a) for a in model.graph.node[0].attribute}
    assert attributes["accumulator_qk"] == b"M7E4b12/M7E4b10" and b"M22" in attributes["accumulator_pv"]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (group_case(sliding_window_cache=1), "has a cache of the window alone (sliding_window_cache=1)"),
        (group_case(causal=0, local_window_size=2), "has a window without being causal"),
        (group_case(outputs=4), "gives its scores (output_qk), and does not say which (qk_output=0)"),
        (
            standard_case(softmax_precision=onnx.TensorProto.DOUBLE),
            "has a softmax of float64; its twin's is of float32",
        ),
    ],
)
def test_forms_that_stay_say_why(case: Case, expected: str):
    assert {entry.reason for entry in list_candidates(case.model)} == {expected}


def test_it_is_calibrated_compared_debugged_and_left_by_correction():
    case = standard_case(attn_mask=draw(BATCH, 1, ROWS, 7))
    model, data = case.model, samples(case)
    for method in ("max", "mse"):
        calibration = lba_onnx.calibrate(model, data, "M4E4", method)
        assert list(calibration.specs) == ["node/qk", "node/pv"]
    depths = {name: node.range.depth for name, node in calibration.nodes.items()}
    assert depths == {"node/qk": 8, "node/pv": 7}
    converted, _ = lba_onnx.convert(model, calibration)
    assert 5 < lba_onnx.compare(model, converted, data).outputs[0].sqnr_db < 60
    layers = lba_onnx.debug(converted, data).layers
    assert [layer.node for layer in layers] == ["node/qk", "node/pv"]
    assert all(layer.qdq_err > 0 for layer in layers)
    _, told = lba_onnx.correct(converted, data)
    assert {node.reason for node in told.nodes} == {"its operator computes several products"}


@pytest.mark.parametrize("name", ["groups: window", "heads: bias and past", "groups: tokens of several lengths"])
def test_an_observer_sees_each_product_in_one_call_and_may_write_it(name: str):
    case = CASES[name]
    model, _ = convert(case.model, SPEC)
    expected = make_session(model.SerializeToString()).run(None, case.feeds)
    seen: list[tuple[str, int]] = []

    def watch(call: ObservedCall) -> None:
        seen.append((call.node, call.depth))
        np.testing.assert_array_equal(call.compute(call.spec), call.y)

    with observing_session(model, watch) as observing:
        for ours, theirs in zip(observing.run(Batch(case.feeds, 1, None, None, "the test")), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert [node for node, _ in seen] == ["node/qk", "node/pv"]

    def write(call: ObservedCall) -> None:
        if call.node == "node/pv":
            call.y[...] = 3

    with observing_session(model, write) as observing:
        assert (observing.run(Batch(case.feeds, 1, None, None, "the test"))[0] == 3).all()

    with observing_session(model, lambda call: call.fill(), fills=True) as observing:
        for ours, theirs in zip(observing.run(Batch(case.feeds, 1, None, None, "the test")), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "name",
    [
        *("groups: bias", "groups: rotary", "groups: scores, all keys"),
        *("heads: bias of scores", "standard: joined with a mask"),
    ],
)
def test_a_portable_model_runs_without_the_library(name: str):
    case = CASES[name]
    model, _ = convert(case.model, SPEC, portable=True)
    plain = [
        onnxruntime.InferenceSession(m.SerializeToString(), None, ["CPUExecutionProvider"]) for m in (case.model, model)
    ]
    for whole, body in zip(*(session.run(None, case.feeds) for session in plain), strict=True):
        np.testing.assert_allclose(body, whole, rtol=0, atol=1e-5)
    make_session(model.SerializeToString()).run(None, case.feeds)


def twin(op_type: str, inputs: dict[str, np.ndarray], **attributes: Any) -> bytes:
    """A model of one of this package's operators, its inputs without shapes."""
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)
        for name, array in inputs.items()
    ]
    accumulators = {"accumulator_qk": SPEC, "accumulator_pv": SPEC}
    node = helper.make_node(op_type, list(inputs), ["y"], "attn", domain="lba_onnx", **accumulators, **attributes)
    graph = helper.make_graph([node], "graph", values, [helper.make_tensor_value_info("y", 1, None)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("lba_onnx", operators.VERSION)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def group_inputs(**other: Any) -> dict[str, np.ndarray]:
    case = group_case()
    return {**{name: values for name, values in case.feeds.items()}, **other}


GROUPS = {"num_heads": HEADS, "kv_num_heads": KV_HEADS}


@pytest.mark.parametrize(
    ("inputs", "attributes", "expected"),
    [
        (group_inputs(), {**GROUPS, "num_heads": 6}, "expected query whose last dimension is a multiple of 6 heads"),
        (
            group_inputs(),
            {"num_heads": 4, "kv_num_heads": 0},
            "attribute kv_num_heads: expected a number of heads, got 0",
        ),
        (group_inputs(value=draw(1, 4, 32)), GROUPS, "expected value with rows: 5, got [1, 4, 32]"),
        (group_inputs(past_key=draw(1, 3, 6, 16)), GROUPS, "expected past_key with heads: 2, got [1, 3, 6, 16]"),
        (group_inputs(seqlens_k=int32(30)), GROUPS, "expected seqlens_k that fit 5 new rows, a cache of 6 and a"),
        (group_inputs(seqlens_k=int32(1, 2)), GROUPS, "expected seqlens_k [1] and one total_sequence_length"),
        (group_inputs(head_sink=draw(3)), GROUPS, "expected head_sink [4], got [3]"),
    ],
)
def test_errors_name_the_node_and_say_what_was_expected(inputs, attributes, expected):
    with pytest.raises(Exception, match="(?s)node 'attn' .LbaGroupQueryAttention.: ") as raised:
        make_session(twin("LbaGroupQueryAttention", inputs, **attributes)).run(None, inputs)
    assert expected in str(raised.value)


def test_masks_and_groups_that_do_not_fit_are_errors():
    q, k = draw(1, 4, 3, 8), draw(1, 2, 5, 8)
    inputs = {
        "Q": q,
        "K": k,
        "V": k,
        "past_key": draw(1, 2, 0, 8),
        "past_value": draw(1, 2, 0, 8),
        "attn_mask": draw(2, 5),
    }
    with pytest.raises(Exception, match=r"expected attn_mask that broadcasts to \[1, 4, 3, 5\], got \[2, 5\]"):
        make_session(twin("LbaAttention", inputs)).run(None, inputs)
    inputs = {"Q": draw(1, 3, 3, 8), "K": k, "V": k}
    with pytest.raises(Exception, match="expected as many heads of Q as a multiple of 2 heads of keys, got 3"):
        make_session(twin("LbaAttention", inputs)).run(None, inputs)


def test_exponentials_and_hyperbolic_tangents_are_close_to_exact():
    x = -np.abs(RNG.standard_normal(200_000) * 20).astype(np.float32)
    x[:4] = 0, -np.inf, -103.9, -1e-30
    exact, found = np.exp(x.astype(np.longdouble)), exponentials(x)
    assert (np.abs(found - exact) <= 0.501 * np.spacing(np.maximum(found, np.float32(2e-45)))).all()
    y = np.concatenate([x, -x[4:]])
    tangents = soft_capped(y, 1.0)
    assert (np.abs(tangents - np.tanh(y.astype(np.longdouble))) <= 0.51 * np.spacing(np.abs(tangents))).all()


@pytest.mark.parametrize("packed", ["query", "key"])
def test_packed_operands_give_the_bits_of_separate_ones(packed: str):
    """onnxruntime's kernel for the CPU takes none of five dimensions."""
    case = heads_case(rows=7)
    parts = [case.inputs[name] for name in ("query", "key", "value")]
    joined = np.stack([part.reshape(BATCH, 7, HEADS, 8) for part in parts[-3 if packed == "query" else -2 :]], axis=3)
    absent = {"key": None, "value": None} if packed == "query" else {"value": None}
    together = heads_case(rows=7, **{"query": parts[0], **absent, packed: joined})
    results = [
        make_session(convert(c.model, SPEC)[0].SerializeToString()).run(None, c.feeds)[0] for c in (case, together)
    ]
    np.testing.assert_array_equal(*results)


def test_an_empty_batch_and_no_rows_give_empty_results():
    for batch, rows in ((0, 3), (2, 0)):
        inputs = {"Q": draw(batch, 2, rows, 8), "K": draw(batch, 2, 5, 8), "V": draw(batch, 2, 5, 4)}
        (y,) = make_session(twin("LbaAttention", inputs)).run(None, inputs)
        assert y.shape == (batch, 2, rows, 4)
    inputs = {"Q": draw(1, 2, 3, 8), "K": draw(1, 2, 0, 8), "V": draw(1, 2, 0, 4)}
    (y,) = make_session(twin("LbaAttention", inputs)).run(None, inputs)
    assert y.shape == (1, 2, 3, 4) and not y.any()


def test_scores_of_groups_are_of_one_of_two_stages():
    inputs = group_inputs()
    for mode in (0, 3):
        with pytest.raises(Exception, match=f"(?s)node 'attn' .*attribute qk_output: expected 1 to 2, got {mode}"):
            make_session(twin("LbaGroupQueryAttention", inputs, **GROUPS, qk_output=mode))


def test_a_portable_model_may_give_the_scores_of_one_node_alone():
    scored, plain = CASES["groups: scores, window and cap"], CASES["groups: scores, window and cap"].model
    del plain.graph.node[0].output[3:]
    plain.graph.node[0].attribute.remove(next(a for a in plain.graph.node[0].attribute if a.name == "qk_output"))
    model = scored.model
    plain.graph.node[0].output[:] = ["z0", "z1", "z2"]
    plain.graph.node[0].name = "plain"
    model.graph.node.append(plain.graph.node[0])
    model.graph.output.append(helper.make_tensor_value_info("z0", 1, None))
    portable, _ = convert(model, SPEC, portable=True)
    session = onnxruntime.InferenceSession(portable.SerializeToString(), None, ["CPUExecutionProvider"])
    y, *_, same = session.run(None, scored.feeds)
    np.testing.assert_array_equal(same, y)
    low, *_, low_same = make_session(portable.SerializeToString()).run(None, scored.feeds)
    np.testing.assert_array_equal(low_same, low)
    assert (low != y).any()
