"""DynamicQuantizeLSTM of com.microsoft, taken apart: with 32 bits the bits of onnxruntime's own operator."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from integer_models import code_range
from lowered_models import MICROSOFT, refusal
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from lba_onnx.rewrite import list_candidates

INPUTS = ("X", "W", "R", "B", "", "initial_h", "initial_c", "P")
SCALES = ("W_scale", "W_zero_point", "R_scale", "R_zero_point")
FED = ("X", "initial_h", "initial_c")
Arrays = dict[str, NDArray[Any]]


def draw(seed: int, *, batch: int = 2, direction: str = "bidirectional", fed: tuple[str, ...] = FED, **attributes: Any):
    """Return a model of one node, and what it is fed; the seed also says which optional inputs there are."""
    rng = np.random.default_rng(seed)
    steps, width, hidden, directions = 5, 9, 6, 2 if direction == "bidirectional" else 1
    dtype, middle = (np.int8, 0) if seed % 2 else (np.uint8, 128)
    codes = code_range(np.dtype(dtype).name, beside="uint8")
    of_scales = (directions, 4 * hidden) if seed % 3 == 0 else (directions,)
    shapes = {"X": (steps, batch, width), "initial_h": (directions, batch, hidden)}
    shapes |= {"initial_c": shapes["initial_h"], "B": (directions, 8 * hidden), "P": (directions, 3 * hidden)}
    held: Arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name in (["P"] if seed % 4 else []) + (["initial_h", "initial_c"] if seed % 5 == 0 else []):
        del held[name]
    for name, rows in (("W", width), ("R", hidden)):
        held[name] = rng.integers(*codes, (directions, rows, 4 * hidden)).astype(dtype)
        held[f"{name}_scale"] = rng.uniform(0.002, 0.005, of_scales).astype(np.float32)
        held[f"{name}_zero_point"] = np.full(of_scales, middle, dtype)
    names = [name if name in held else "" for name in (*INPUTS, *SCALES)]
    node = helper.make_node("DynamicQuantizeLSTM", names, ["Y", "Y_h", "Y_c"], "lstm", domain=MICROSOFT)
    node.attribute.extend(
        helper.make_attribute(*item) for item in {"hidden_size": hidden, "direction": direction, **attributes}.items()
    )
    feeds = {name: value for name, value in held.items() if name in fed}
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feeds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [numpy_helper.from_array(value, name) for name, value in held.items() if name not in feeds],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), feeds


def as_onnxruntime(model: onnx.ModelProto, feeds: Arrays) -> list[NDArray[Any]]:
    """Run a model on one thread: with more, onnxruntime quantizes the sequences of a batch in several parts."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feeds)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("seed", range(6))
def test_bits_of_32_bits_are_those_of_onnxruntime(seed, direction):
    model, feeds = draw(seed, direction=direction)
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert len(report.converted) == (4 if direction == "bidirectional" else 2)
    for found, wanted in zip(
        lba_onnx.make_session(converted).run(None, feeds), as_onnxruntime(model, feeds), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("attributes", [{"clip": 0.5}, {"input_forget": 1}, {"activations": ["Tanh", "Relu", "Tanh"]}])
@pytest.mark.parametrize("seed", [1, 4])
def test_bits_hold_with_other_attributes(seed, attributes):
    model, feeds = draw(seed, direction="forward", **attributes)
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert len(report.converted) == 2
    found = lba_onnx.make_session(converted).run(None, feeds)
    for one, other in zip(found, as_onnxruntime(model, feeds), strict=True):
        np.testing.assert_array_equal(one, other)


def test_codes_may_be_fed():
    model, feeds = draw(3, fed=(*FED, "W", "R", "W_scale", "R_scale", "B"))
    found = lba_onnx.make_session(lba_onnx.convert(model, "int32-wrap")[0]).run(None, feeds)
    for one, other in zip(found, as_onnxruntime(model, feeds), strict=True):
        np.testing.assert_array_equal(one, other)


def test_products_of_few_bits_are_those_of_the_reference():
    model, feeds = draw(1, direction="forward")
    converted, _ = lba_onnx.convert(model, "int12-saturate")
    (product,) = (node for node in converted.graph.node if node.name == "lstm/input")
    assert product.op_type == "LbaMatMulIntegerToFloat"
    for name in (product.output[0], *(product.input[i] for i in (0, 2, 4))):
        converted.graph.output.append(onnx.ValueInfoProto(name=name))
    *_, y, codes, scale, zero_point = lba_onnx.make_session(converted).run(None, feeds)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    sums = lba_onnx.reference.matmul(
        codes, held["W"][0], "int12-saturate", a_zero_point=zero_point, b_zero_point=held["W_zero_point"][0]
    )
    np.testing.assert_array_equal(y, sums.astype(np.float32) * (scale * held["W_scale"][0]))


def test_the_ledger_tells_products_and_their_share():
    model, _ = draw(1)
    entries = list_candidates(model).entries
    assert [entry.node for entry in entries] == [
        f"lstm/{product}{suffix}" for suffix in ("", "_reverse") for product in ("input", "recurrent")
    ]
    assert {(entry.op_type, entry.element_type) for entry in entries} == {
        ("com.microsoft.DynamicQuantizeLSTM", "uint8*int8")
    }
    assert sum(entry.macs for entry in entries) == 2 * 5 * 2 * 24 * (9 + 6)  # directions, steps, batch, gates, depths


def test_accumulators_of_floats_leave_it_as_it_is():
    model, _ = draw(2)
    converted, report = lba_onnx.convert(model, "M7E4b10")
    assert not report.converted and converted.graph == model.graph
    assert all("multiplies integers" in entry.reason for entry in report.entries)


def test_lengths_of_sequences_are_left_with_their_reason():
    model, _ = draw(1, direction="forward")
    model.graph.node[0].input[4] = "lengths"
    model.graph.initializer.append(numpy_helper.from_array(np.int32([5, 3]), "lengths"))
    assert "sequence_lens" in refusal(model)


def test_it_is_calibrated_to_the_bits_that_its_sums_take():
    model, feeds = draw(1, direction="forward")
    calibration = lba_onnx.calibrate(model, [feeds] * 2, family="int")
    assert set(calibration.specs) == {"lstm/input", "lstm/recurrent"}
    narrow, wide = (
        lba_onnx.make_session(lba_onnx.convert(model, spec)[0]).run(None, feeds) for spec in (calibration, "int32-wrap")
    )
    for one, other in zip(narrow, wide, strict=True):
        np.testing.assert_array_equal(one, other)
