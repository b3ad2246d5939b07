"""QAttention of com.microsoft: a projection of codes with onnxruntime's bits, and attention of floats behind it."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from integer_models import code_range
from lowered_models import MICROSOFT, one_node, run
from numpy.typing import NDArray
from onnx import helper

import lba_onnx
from lba_onnx.rewrite import list_candidates

BATCH, LENGTH, DEPTH, HEADS, SIZE = 2, 4, 12, 2, 4
INPUTS = ("x", "w", "b", "x_scale", "w_scale", "mask", "x_zero", "w_zero", "past")
BOUND = 2.0**-16  # values are below 8, and both sum up to 12 products in float32, then softmax and up to 7 more


def draw(seed: int, *, mask: str = "", has_past: bool = False, **attributes: Any):
    rng = np.random.default_rng(seed)
    columns = 3 * HEADS * SIZE
    dtype = np.int8 if seed % 2 else np.uint8
    codes = code_range(np.dtype(dtype).name, beside="uint8")
    of_scales = (columns,) if seed % 3 == 0 else ()
    given = {
        "x": rng.integers(0, 256, (BATCH, LENGTH, DEPTH)).astype(np.uint8),
        "w": rng.integers(*codes, (DEPTH, columns)).astype(dtype),
        "b": rng.standard_normal(columns).astype(np.float32),
        "x_scale": np.float32(0.01),
        "w_scale": rng.uniform(0.001, 0.01, of_scales).astype(np.float32),
        "x_zero": np.uint8(rng.integers(100, 150)),
        "w_zero": np.full(of_scales, 0 if seed % 2 else 120, dtype),
    }
    total = LENGTH + (3 if has_past else 0)
    masks = {
        "lengths": [3, total],
        "keys": rng.integers(0, 2, (BATCH, total)),
        "queries": np.ones((BATCH, LENGTH, total)),
    }
    if mask:
        given["mask"] = np.asarray(masks[mask], np.int32)
    if has_past:
        given["past"] = rng.uniform(-1, 1, (2, BATCH, HEADS, 3, SIZE)).astype(np.float32)
    names = [name if name in given else "" for name in INPUTS]
    outputs = ["y", "present"] if has_past else ["y"]
    node = helper.make_node("QAttention", names, outputs, "attention", domain=MICROSOFT, num_heads=HEADS, **attributes)
    feeds = {name: np.asarray(given[name]) for name in ("x", "mask", "past") if name in given}
    constants = {name: np.asarray(value) for name, value in given.items() if name not in feeds}
    return one_node(node, feeds, constants), feeds


def low(model: onnx.ModelProto, feeds: dict[str, NDArray[Any]], spec: Any) -> list[NDArray[Any]]:
    return lba_onnx.make_session(lba_onnx.convert(model, spec)[0]).run(None, feeds)


@pytest.mark.parametrize(
    ("mask", "attributes"), [("", {}), ("lengths", {}), ("keys", {}), ("queries", {}), ("", {"unidirectional": 1})]
)
@pytest.mark.parametrize("has_past", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wide_accumulators_give_what_onnxruntime_gives(seed, has_past, mask, attributes):
    model, feeds = draw(seed, mask=mask, has_past=has_past, **attributes)
    both = {"attention/projection": "int32-wrap", "attention/qk": "M22E7b63", "attention/pv": "M22E7b63"}
    for spec in ("int32-wrap", both):
        for found, wanted in zip(low(model, feeds, spec), run(model, feeds), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=BOUND)


def test_projections_have_the_bits_of_onnxruntime():
    """The second output holds the projected keys and values, behind those of the past."""
    model, feeds = draw(1, has_past=True)
    found, wanted = (outputs[1] for outputs in (low(model, feeds, "int32-wrap"), run(model, feeds)))
    np.testing.assert_array_equal(found, wanted)


def test_the_ledger_tells_the_products_and_one_accumulator_takes_those_of_its_sort():
    model, _ = draw(1)
    entries = list_candidates(model).entries
    assert [(entry.node, entry.element_type) for entry in entries] == [
        ("attention/projection", "uint8*int8"),
        ("attention/qk", "float32"),
        ("attention/pv", "float32"),
    ]
    assert {entry.op_type for entry in entries} == {"com.microsoft.QAttention"}
    for spec, expected in (("int16-wrap", ["projection"]), ("M7E4b10", ["qk", "pv"])):
        _, report = lba_onnx.convert(model, spec)
        assert [entry.node for entry in report.converted] == [f"attention/{name}" for name in expected]


def test_low_bits_are_those_of_the_reference():
    model, feeds = draw(1)
    converted, _ = lba_onnx.convert(model, "int12-saturate")
    (node,) = (node for node in converted.graph.node if node.name == "attention/projection")
    converted.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
    found = lba_onnx.make_session(converted).run(None, feeds)[1]
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sums = lba_onnx.reference.matmul(
        feeds["x"], held["w"], "int12-saturate", a_zero_point=held["x_zero"], b_zero_point=held["w_zero"]
    )
    np.testing.assert_array_equal(found, sums.astype(np.float32) * (held["x_scale"] * held["w_scale"]) + held["b"])


def test_it_runs_without_the_library_as_a_portable_model():
    model, feeds = draw(2)
    portable, _ = lba_onnx.convert(model, "int32-wrap", portable=True)
    (found,) = onnxruntime.InferenceSession(portable.SerializeToString()).run(None, feeds)
    np.testing.assert_allclose(found, run(model, feeds)[0], rtol=0, atol=BOUND)
