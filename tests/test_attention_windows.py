"""ONNX's Attention over windows of keys (opset 25), which become part of its mask."""

from typing import Any

import numpy as np
import onnx
import pytest
from lowered_models import one_node, refusal
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator

import lba_onnx
from lba_onnx.ops import LbaAttention

pytestmark = pytest.mark.skipif(onnx.defs.onnx_opset_version() < 25, reason="onnx has no Attention with windows")

BATCH, HEADS, ROWS, SIZE, PAST = 2, 2, 4, 4, 3
WINDOWS = [(2, -1), (-1, 1), (0, 0), (1, 2)]
WIDE, LOW = "M22E7b63", "M7E4b10"
BOUND = 2.0**-16  # of values below 5: scores of 4 products, and sums of up to 7, truncated to 22 bits


def draw(kind: str, has_mask: bool, **attributes: Any) -> tuple[onnx.ModelProto, dict[str, NDArray[Any]]]:
    """Return a model: `kind` is plain, joined (heads), past (a cache inside) or lengths (one outside)."""
    rng = np.random.default_rng(len(kind))
    keys = 7 if kind == "lengths" else ROWS
    feeds: dict[str, NDArray[Any]] = {
        name: rng.standard_normal((BATCH, HEADS, rows, SIZE)).astype(np.float32)
        for name, rows in (("q", ROWS), ("k", keys), ("v", keys), ("past_k", PAST), ("past_v", PAST))
        if kind == "past" or not name.startswith("past")
    }
    if kind == "joined":
        feeds = {
            name: np.ascontiguousarray(value.swapaxes(1, 2)).reshape(BATCH, -1, 8) for name, value in feeds.items()
        }
        attributes |= {"q_num_heads": HEADS, "kv_num_heads": HEADS}
    if has_mask:
        feeds["mask"] = rng.integers(0, 2, (ROWS, keys + (PAST if kind == "past" else 0))).astype(np.bool_)
    if kind == "lengths":
        feeds["lengths"] = np.int64([5, 7])
    names = [name if name in feeds else "" for name in ("q", "k", "v", "mask", "past_k", "past_v", "lengths")]
    while not names[-1]:
        names.pop()
    outputs = ["y", "present_k", "present_v"] if kind == "past" else ["y", "", "", "scores"]
    node = helper.make_node("Attention", names, outputs, "attention", **attributes)
    return one_node(node, feeds, opset=25), feeds


@pytest.mark.parametrize(("left", "right"), WINDOWS)
@pytest.mark.parametrize("has_mask", [False, True])
@pytest.mark.parametrize("kind", ["plain", "joined", "past", "lengths"])
def test_wide_accumulators_give_what_onnx_defines(kind, has_mask, left, right):
    attributes = {"left_window_size": left, "right_window_size": right, "is_causal": int(left == 2)}
    model, feeds = draw(kind, has_mask, **attributes, **({} if kind == "past" else {"qk_matmul_output_mode": 2}))
    converted, report = lba_onnx.convert(model, WIDE)
    assert [entry.node for entry in report.converted] == ["attention/qk", "attention/pv"]
    wanted = ReferenceEvaluator(model).run(None, feeds)
    for found, one in zip(lba_onnx.make_session(converted).run(None, feeds), wanted, strict=True):
        np.testing.assert_allclose(found, one, rtol=0, atol=BOUND)


@pytest.mark.parametrize("kind", ["plain", "past", "lengths"])
def test_low_bits_are_those_of_the_reference(kind):
    model, feeds = draw(kind, True, left_window_size=2, right_window_size=1)
    converted, _ = lba_onnx.convert(model, LOW)
    wanted = ReferenceEvaluator(converted, new_ops=[LbaAttention]).run(None, feeds)
    for found, one in zip(lba_onnx.make_session(converted).run(None, feeds), wanted, strict=True):
        np.testing.assert_array_equal(found, one)


def test_open_windows_change_nothing():
    model, feeds = draw("plain", False, left_window_size=-1, right_window_size=-1)
    plain, _ = draw("plain", False)
    found, wanted = (lba_onnx.make_session(lba_onnx.convert(m, LOW)[0]).run(None, feeds) for m in (model, plain))
    np.testing.assert_array_equal(found[0], wanted[0])


def test_windows_below_one_that_is_open_are_left():
    assert refusal(draw("plain", False, left_window_size=-2)[0]) == "has a window of -2 keys (left_window_size)"
