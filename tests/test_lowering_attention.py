"""Attention of com.microsoft, whole and taken apart into a projection and MultiHeadAttention.

Both project, multiply and normalize in float32, in orders of their own. Operands are kept so small that each of the
steps is within a few units of the rounding of sums: gamma of the projection's depth goes through Q K^T, the softmax,
whose weights change by at most exp of twice what its arguments do, and P V.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from lowered_models import MICROSOFT, check_equal, one_node, refusal
from onnx import helper

from lba_onnx import cost, make_session
from lba_onnx.rewrite import Selection, convert, list_candidates

U = 2.0**-24
BATCH, LENGTH, DEPTH, HEADS, SIZE = 2, 4, 6, 2, 4
RNG = np.random.default_rng(0)


def arrays(values_size: int = SIZE) -> dict[str, np.ndarray]:
    columns = HEADS * (2 * SIZE + values_size)
    return {
        "x": RNG.uniform(-1, 1, (BATCH, LENGTH, DEPTH)).astype(np.float32),
        "w": RNG.uniform(-1, 1, (DEPTH, columns)).astype(np.float32),
        "b": RNG.uniform(-1, 1, columns).astype(np.float32),
    }


def rounding(total: int) -> float:
    """Return how far results may be apart: operands are at most 1, so projections at most DEPTH + 1."""
    largest = DEPTH + 1.0
    projected = 2 * (DEPTH + 2) * U * largest
    score = SIZE**0.5 * (2 * largest * projected + 2 * (SIZE + 2) * U * largest**2)
    weight = 2 * score + 2 * (total + 8) * U
    return largest * weight + projected + 2 * (total + 2) * U * largest


def model_of(given: Mapping[str, np.ndarray], inputs: list[str], outputs: tuple[str, ...] = ("y",), **attributes: Any):
    node = helper.make_node("Attention", inputs, outputs, "attention", domain=MICROSOFT, num_heads=HEADS, **attributes)
    feeds = {name: array for name, array in given.items() if name not in ("w", "b")}
    return one_node(node, feeds, {name: given[name] for name in ("w", "b") if name in given}), feeds


def mask_of(kind: str) -> np.ndarray:
    masks = {
        "lengths": [3, 4],
        "keys": [[1, 1, 1, 0], [1, 1, 1, 1]],
        "queries": np.tril(np.ones((LENGTH, LENGTH)))[None].repeat(BATCH, 0),
        "nothing": [[1], [1]],
    }
    return np.asarray(masks[kind], np.int32)


@pytest.mark.parametrize("mask", ["", "lengths", "keys", "queries", "nothing"])
@pytest.mark.parametrize("attributes", [{}, {"unidirectional": 1}, {"scale": 0.75, "mask_filter_value": -5000.0}])
def test_attention_with_each_mask_is_a_projection_and_multi_head_attention(mask: str, attributes: Mapping[str, Any]):
    given = arrays()
    if mask:
        given["m"] = mask_of(mask)
    model, feeds = model_of(given, ["x", "w", "b", *(["m"] if mask else [])], **attributes)
    apart = check_equal(model, feeds, rounding(LENGTH))
    names = {node.name: node.op_type for node in apart.graph.node}
    assert names["attention/projection"] == "MatMul" and names["attention"] == "MultiHeadAttention"


def test_values_may_have_another_size_than_keys():
    given = arrays(3)
    model, feeds = model_of(given, ["x", "w", "b"], qkv_hidden_sizes=[HEADS * SIZE, HEADS * SIZE, HEADS * 3])
    check_equal(model, feeds, rounding(LENGTH))


def test_bias_of_scores_is_added():
    given = {**arrays(), "a": RNG.uniform(-1, 1, (BATCH, HEADS, LENGTH, LENGTH)).astype(np.float32)}
    model, feeds = model_of(given, ["x", "w", "b", "", "", "a"])
    check_equal(model, feeds, rounding(LENGTH))


@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("attributes", [{}, {"unidirectional": 1}])
def test_past_and_present_are_one_tensor(past: int, attributes: Mapping[str, Any]):
    given = {**arrays(), "p": RNG.uniform(-1, 1, (2, BATCH, HEADS, past, SIZE)).astype(np.float32)}
    model, feeds = model_of(given, ["x", "w", "b", "", "p"], ("y", "present"), **attributes)
    check_equal(model, feeds, rounding(LENGTH + past))


def test_present_without_a_past_is_what_this_step_adds():
    model, feeds = model_of(arrays(), ["x", "w", "b"], ("y", "present"))
    check_equal(model, feeds, rounding(LENGTH))


@pytest.mark.parametrize(
    ("mask", "attributes", "expected"),
    [
        (None, {"do_rotary": 1}, "rotates queries and keys itself, which onnxruntime's kernel for the CPU does not"),
        (np.zeros(2 * BATCH, np.int32), {}, "has a mask of both ends of each sequence"),
        (np.ones((BATCH, 1, 8, 8), np.int32), {}, "has a mask of 4 dimensions; expected 1 to 3"),
    ],
)
def test_refusals_say_why(mask: np.ndarray | None, attributes: Mapping[str, Any], expected: str):
    given = arrays() if mask is None else {**arrays(), "m": mask}
    model, _ = model_of(given, ["x", "w", "b", *(["m"] if mask is not None else [])], **attributes)
    assert refusal(model).startswith(expected)


def test_keys_and_values_of_other_sizes_are_no_one_output():
    sizes = [HEADS * SIZE, HEADS * SIZE, HEADS * (SIZE - 1)]
    model, _ = model_of(arrays(SIZE - 1), ["x", "w", "b"], ("y", "present"), qkv_hidden_sizes=sizes)
    assert refusal(model).startswith("gives keys and values of different sizes as one output")


def test_mask_that_turns_out_to_be_of_both_ends_is_refused_when_run():
    model, feeds = model_of({**arrays(), "m": np.int32([4, 4])}, ["x", "w", "b", "m"])
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = f"first of {value.name}"
    check_equal(model, feeds, rounding(LENGTH))
    session = make_session(convert(model, "M7E4b10")[0])
    with pytest.raises(Exception, match="cannot be reshaped"):
        session.run(None, {**feeds, "m": np.int32([4, 4, 2, 1])})


def test_keys_of_an_unknown_form_are_left_beside_a_bias_of_scores():
    node = helper.make_node("MultiHeadAttention", ["q", "k", "k", "", "", "a"], ["y"], domain=MICROSOFT, num_heads=2)
    feeds = {"q": np.zeros((1, 3, 8)), "k": np.zeros((1, 2, 3, 4)), "a": np.zeros((1, 1, 3, 3))}
    model = one_node(node, {name: array.astype(np.float32) for name, array in feeds.items()}, {})
    next(value for value in model.graph.input if value.name == "k").type.tensor_type.ClearField("shape")
    assert refusal(model).startswith("the number of dimensions of its keys is not known")


def rotated(positions: np.ndarray, rows: int, total: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A GroupQueryAttention that is told the positions of its new rows, as many keys of each entry, and the caches."""
    batch, past = len(positions), 0 if rows == total else total
    draw = {"q": (batch, rows, 32), "k": (batch, rows, 16), "v": (batch, rows, 16), "c": (32, 8), "s": (32, 8)}
    feeds = {name: RNG.uniform(-1, 1, shape).astype(np.float32) for name, shape in draw.items()}
    feeds |= {name: RNG.uniform(-1, 1, (batch, 1, past, 16)).astype(np.float32) for name in ("pk", "pv")}
    feeds |= {"l": np.full(batch, total - 1, np.int32), "t": np.int32([total]), "p": positions.astype(np.int64)}
    inputs, outputs = ["q", "k", "v", "pk", "pv", "l", "t", "c", "s", "p"], ["y", "present_k", "present_v"]
    attributes = {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1}
    node = helper.make_node("GroupQueryAttention", inputs, outputs, domain=MICROSOFT, **attributes)
    return one_node(node, feeds, {}), feeds


@pytest.mark.parametrize(
    ("positions", "total"),
    [([[5, 0, 3]], 3), ([[4, 5, 6], [1, 9, 2]], 3), ([[5, 0, 3]], 7), ([[7], [2]], 8), ([[3]], 1)],
)
def test_positions_that_are_given_are_read_as_onnxruntime_reads_them(positions: list[list[int]], total: int):
    model, feeds = rotated(np.array(positions), len(positions[0]), total)
    check_equal(model, feeds, rounding(total))


@pytest.mark.parametrize(
    ("op_type", "attributes", "expected"),
    [
        ("GroupQueryAttention", {"local_window_size": 0}, "has a window of no keys"),
        (
            "GroupQueryAttention",
            {"softcap": -1.0},
            "has a window of no keys (local_window_size=0), or a softcap below 0",
        ),
        ("MultiHeadAttention", {"unidirectional": 1}, "is unidirectional with other numbers of queries and keys"),
        ("MultiHeadAttention", {"mask_filter_value": -3.4e38}, "masks by -3.4e+38 (mask_filter_value), which is no"),
    ],
)
def test_what_the_twin_does_not_do_is_left_with_the_reason(op_type: str, attributes: Mapping[str, Any], expected: str):
    dtype = np.float16 if "mask_filter_value" in attributes else np.float32
    feeds = {name: np.zeros((1, rows, 16), dtype) for name, rows in (("q", 3), ("k", 4), ("v", 4))}
    outputs, heads = ["y"], {"num_heads": 2}
    inputs = ["q", "k", "v"]
    if op_type == "GroupQueryAttention":
        caches = {name: np.zeros((1, 2, 0, 8), dtype) for name in ("pk", "pv")}
        feeds |= {"k": feeds["k"][:, :3], "v": feeds["v"][:, :3], **caches, "l": np.int32([2]), "t": np.int32([3])}
        inputs, outputs, heads = [*feeds], ["y", "present_k", "present_v"], {"num_heads": 2, "kv_num_heads": 2}
    elif "mask_filter_value" in attributes:
        feeds["m"] = np.ones((1, 4), np.int32)
        inputs = ["q", "k", "v", "", "m"]
    node = helper.make_node(op_type, inputs, outputs, domain=MICROSOFT, **heads, **attributes)
    assert refusal(one_node(node, feeds)).startswith(expected)


def test_name_of_the_node_means_all_of_its_products():
    model, _ = model_of(arrays(), ["x", "w", "b"])
    entries = {entry.node: entry.op_type for entry in list_candidates(model)}
    assert set(entries.values()) == {"com.microsoft.Attention"} and "attention/projection" in entries
    _, report = convert(model, "M7E4b10", selection=Selection(nodes_to_convert=["attention"]))
    assert "attention/projection" in {entry.node for entry in report.converted}
    converted, _ = convert(model, "M7E4b10", selection=Selection(nodes_to_exclude=["attention"]))
    assert converted.graph.node == model.graph.node


def test_attention_without_heads_is_priced_without_their_size():
    model, _ = model_of(arrays(), ["x", "w", "b"])
    next(attribute for attribute in model.graph.node[0].attribute if attribute.name == "num_heads").i = 0
    assert len(cost(model).nodes) == 3
