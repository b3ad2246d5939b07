"""MultiHeadAttention that its twin cannot stand for: a MatMul for each product, with softmax and scores of float32."""

from typing import Any

import numpy as np
import onnx
import pytest
from lowered_models import MICROSOFT, check_equal, one_node, refusal
from numpy.typing import NDArray
from onnx import helper

import lba_onnx

BATCH, ROWS, KEYS, HEADS, SIZE, PAST = 2, 3, 5, 2, 4, 2
INPUTS = ("q", "k", "v", "bias", "mask", "scores_bias", "past_k", "past_v")
BOUND = 2.0**-18  # scores of 4 products below 16 and outputs of 7 below 5, each within gamma; a softmax between


def draw(*extra: str, has_presents: bool = False, dtype: type = np.float32, keys: int = KEYS, **attributes: Any):
    rng = np.random.default_rng(len(extra))
    total = keys + (PAST if "past_k" in extra else 0)
    shapes = {
        **{"q": (BATCH, ROWS, HEADS * SIZE), "k": (BATCH, keys, HEADS * SIZE), "v": (BATCH, keys, HEADS * SIZE)},
        **{"bias": (3 * HEADS * SIZE,), "scores_bias": (1, HEADS, ROWS, total)},
        **dict.fromkeys(("past_k", "past_v"), (BATCH, HEADS, PAST, SIZE)),
    }
    feeds: dict[str, NDArray[Any]] = {
        name: rng.standard_normal(shape).astype(dtype)
        for name, shape in shapes.items()
        if name in ("q", "k", "v", *extra)
    }
    if "mask" in extra:
        feeds["mask"] = rng.integers(0, 2, (BATCH, total)).astype(np.int32)
    names = [name if name in feeds else "" for name in INPUTS]
    while not names[-1]:
        names.pop()
    outputs = ["y", "present_k", "present_v", "qk"] if has_presents else ["y", "", "", "qk"]
    node = helper.make_node("MultiHeadAttention", names, outputs, "attention", domain=MICROSOFT, num_heads=HEADS)
    node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
    return one_node(node, feeds), feeds


@pytest.mark.parametrize(
    "extra",
    [(), ("bias",), ("scores_bias",), ("mask",), ("bias", "mask", "scores_bias"), ("past_k", "past_v", "scores_bias")],
)
@pytest.mark.parametrize("attributes", [{}, {"scale": 0.3, "mask_filter_value": -500.0}])
def test_parts_give_what_onnxruntime_gives(extra, attributes):
    model, feeds = draw(*extra, has_presents="past_k" in extra, **attributes)
    bound = BOUND if "mask" not in extra else 2.0**-9  # beside 10000, which a score is added to
    apart = check_equal(model, feeds, bound)
    products = [node.name for node in apart.graph.node if node.op_type == "MatMul"]
    assert products == ["attention/qk", "attention/pv"]


def test_low_bits_are_those_of_the_reference():
    model, feeds = draw("scores_bias")
    converted, _ = lba_onnx.convert(model, "M7E4b10")
    y, scores = lba_onnx.make_session(converted).run(None, feeds)
    q, k = (feeds[n].reshape(BATCH, -1, HEADS, SIZE).transpose(0, 2, 1, 3) for n in ("q", "k"))
    product = lba_onnx.reference.matmul(q, np.ascontiguousarray(k.swapaxes(2, 3)), "M7E4b10")
    np.testing.assert_array_equal(scores, product * np.float32(0.5) + feeds["scores_bias"])
    assert y.shape == (BATCH, ROWS, HEADS * SIZE)


def test_presents_without_a_past_are_the_keys_and_values():
    model, feeds = draw(has_presents=True)
    check_equal(model, feeds, BOUND)


@pytest.mark.parametrize("extra", [("mask",), ("scores_bias",), ("mask", "scores_bias")])
def test_values_of_another_size_beside_a_bias_are_parts_too(extra):
    model, feeds = draw(*extra, mask_filter_value=-500.0)
    del model.graph.node[0].output[1:], model.graph.output[1:]
    feeds["v"] = np.random.default_rng(5).standard_normal((BATCH, KEYS, HEADS * 3)).astype(np.float32)
    next(value for value in model.graph.input if value.name == "v").type.tensor_type.shape.dim[2].dim_value = HEADS * 3
    apart = check_equal(model, feeds, BOUND if "mask" not in extra else 2.0**-12)  # beside 500, which scores join
    assert [node.name for node in apart.graph.node if node.op_type == "MatMul"] == ["attention/qk", "attention/pv"]


def test_an_empty_batch_runs():
    model, feeds = draw()
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 0
    converted, _ = lba_onnx.convert(model, "M7E4b10")
    y, scores = lba_onnx.make_session(converted).run(None, {name: given[:0] for name, given in feeds.items()})
    assert (y.shape, scores.shape) == ((0, ROWS, HEADS * SIZE), (0, HEADS, ROWS, KEYS))


def test_products_are_calibrated_under_the_names_of_the_twin():
    model, feeds = draw()
    assert set(lba_onnx.calibrate(model, [feeds], family="M7E4").specs) == {"attention/qk", "attention/pv"}


@pytest.mark.parametrize("extra", [(), ("mask",), ("past_k", "past_v", "scores_bias")])
def test_a_row_sees_no_key_behind_its_own(extra):
    model, feeds = draw(*extra, has_presents="past_k" in extra, keys=ROWS, unidirectional=1, mask_filter_value=-500.0)
    check_equal(model, feeds, BOUND if "mask" not in extra else 2.0**-12)  # beside 500, which scores join


@pytest.mark.parametrize("extra", [(), ("mask",), ("past_k", "past_v", "scores_bias")])
def test_scores_of_float16_are_rounded_once(extra):
    model, feeds = draw(*extra, has_presents="past_k" in extra, dtype=np.float16, mask_filter_value=-2.0)
    for value in model.graph.output:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    check_equal(model, feeds, 2.0**-7)  # one unit in the last place of numbers below 16
    converted, _ = lba_onnx.convert(model, "M7E4b10")
    assert {found.dtype for found in lba_onnx.make_session(converted).run(None, feeds)} == {np.dtype(np.float16)}


@pytest.mark.parametrize("names", [("q",), ("q", "k")])
@pytest.mark.parametrize("has_bias", [False, True])
def test_packed_operands_give_the_bits_of_separate_ones(names, has_bias):
    extra = ("bias",) if has_bias else ()
    model, feeds = draw(*extra, has_presents=True, keys=ROWS)
    separate, _ = lba_onnx.convert(model, "M7E4b10")
    parts = [feeds[name].reshape(BATCH, ROWS, HEADS, 1, SIZE) for name in "qkv"[len(names) - 1 :]]
    packed = {**feeds, names[-1]: np.concatenate(parts, axis=3)}
    node, kept = model.graph.node[0], [*names, *extra]
    node.input[:3] = [name if name in kept else "" for name in "qkv"]
    apart, _ = lba_onnx.convert(one_node(node, {name: packed[name] for name in kept}), "M7E4b10")
    found = lba_onnx.make_session(apart).run(None, {name: packed[name] for name in kept})
    for ours, expected in zip(found, lba_onnx.make_session(separate).run(None, feeds), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_scores_of_queries_of_unknown_size_are_left():
    model, _ = draw()
    model.graph.input[0].type.tensor_type.shape.dim[2].Clear()
    assert refusal(model) == "its scores are nodes of their own, and the size of its queries is not known"
