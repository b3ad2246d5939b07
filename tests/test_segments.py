"""A float32 model in segments: what stands for a change, and what follows, give what the changed model gives.

Without onnxruntime's fusions, which differ between a part and the whole, that is the same to the bit.
"""

import numpy as np
import onnxruntime
import pytest
from attention_models import CASES
from integer_models import operator_case
from language_models import decoder, token_ids
from onnx import TensorProto, helper
from small_models import branching_model, function_model, images, loop_model, model, network, tensor

import lba_onnx
from lba_onnx import session
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.evaluation.outputs import run_by_name
from lba_onnx.observation.segments import SegmentedModel, quiet_session
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.cutting import cut_segments
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.report import ConversionReport

PROVIDERS = ("CPUExecutionProvider",)
RANDOM = np.random.default_rng(6)
PAIRS = {"x": RANDOM.standard_normal((6, 2)).astype(np.float32)}
ATTENTION = CASES["heads: plain"]
CODES = operator_case("QLinearConv", "uint8", "int8")
MASK = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 0, 0, 0, 1]])
MODELS = {
    "network": (network(), {"x": images(7)}, "M4E4b8"),
    "if": (branching_model(), PAIRS, "M3E4b8"),
    "loop": (loop_model(3), PAIRS, "M3E4b8"),
    "function": (function_model(), PAIRS, "M3E4b8"),
    "attention": (ATTENTION.model, [ATTENTION.feeds], "M4E4b8"),
    "integers": (CODES.model, [CODES.feeds], "int12-wrap"),
    "language": (decoder(), {"input_ids": token_ids(4, 6), "attention_mask": MASK}, "M5E4b8"),
}


@pytest.fixture
def unfused(monkeypatch):
    plain = session._default_options

    def options():
        found = plain()
        found.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return found

    monkeypatch.setattr(session, "_default_options", options)


def batches_of(source, feeds):
    return list(read_batches(lba_onnx.Samples(feeds, batch_size=4), describe_inputs(lba_onnx.make_session(source))))


def products_of(source, spec):
    report: ConversionReport = convert_quietly(source, spec)[1]
    return [entry.node for entry in report.converted]


def outputs(segmented, change):
    opened = quiet_session(change.model, PROVIDERS)
    for number, batch in enumerate(change.batches):
        yield segmented.finish(change, number, run_by_name(opened, batch, change.outputs, "model"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("unfused")
def test_a_change_gives_what_the_changed_model_gives(name):
    source, feeds, spec = MODELS[name]
    batches = batches_of(source, feeds)
    segmented = SegmentedModel(OpenModel(source, None), batches, PROVIDERS)
    products = products_of(source, spec)
    for product in (*products, products[0]):  # and back to the first
        changed = convert_quietly(source, {product: spec})[0]
        whole = lba_onnx.make_session(changed)
        names = [output.name for output in whole.get_outputs()]
        found = list(outputs(segmented, segmented.move_to(changed)))
        for batch, given in zip(batches, found, strict=True):
            expected = run_by_name(whole, batch, names, "model")
            assert given
            for output, values in given.items():
                np.testing.assert_array_equal(values, expected[output])


def test_what_is_before_a_change_runs_once_and_what_is_behind_it_follows():
    batches = batches_of(network(), {"x": images(4)})
    segmented = SegmentedModel(OpenModel(network(), None), batches, PROVIDERS)
    changes = [
        segmented.move_to(convert_quietly(network(), {product: "M4E4b8"})[0])
        for product in ("conv1", "depthwise", "classifier")
    ]
    assert [list(change.before) for change in changes] == [[], [0], [1]]
    assert [list(change.behind) for change in changes] == [[1, 2], [2], []]
    assert len(segmented.cuts) == 3


def residual_blocks(count):
    """Returns x [n, 4] through blocks x + (x w) w, and a second output of the first block."""
    nodes = []
    for block in range(count):
        value, inner = ("x" if not block else f"x{block}"), f"h{block}"
        nodes += [helper.make_node("MatMul", [value, "w"], [inner], f"{block}.up")]
        nodes += [helper.make_node("MatMul", [inner, "w"], [f"d{block}"], f"{block}.down")]
        nodes += [helper.make_node("Add", [value, f"d{block}"], [f"x{block + 1}"], f"{block}.add")]
    weights = {"w": RANDOM.standard_normal((4, 4)).astype(np.float32)}
    ends = [tensor(f"x{count}", "n", 4), tensor("h0", "n", 4)]
    return model(nodes, [tensor("x", "n", 4)], ends, weights)


def test_segments_begin_between_blocks_and_there_are_at_most_32():
    cuts = cut_segments(residual_blocks(5))
    assert cuts.places == (0, 3, 6, 9, 12, 15)
    assert [cuts.live(number) for number in range(6)] == [[], ["x1"], ["x2"], ["x3"], ["x4"], []]
    assert cuts.part(0).outputs == ("x1", "h0")  # what only the whole model yields goes on no further
    assert 16 < len(cut_segments(residual_blocks(80))) <= 32


def test_a_change_that_nothing_depends_on_stands_for_nothing():
    source = network()
    first, stop, part = cut_segments(source).changed(source)
    assert first == stop == 3 and part.outputs == () and not part.model.graph.node


NO_ARRAYS = {
    "bfloat16": [helper.make_node("Cast", ["a"], ["kept"], to=TensorProto.BFLOAT16)],
    "sequence": [helper.make_node("SequenceConstruct", ["a", "a"], ["kept"])],
}
READ = {
    "bfloat16": [helper.make_node("Cast", ["kept"], ["read"], to=TensorProto.FLOAT)],
    "sequence": [helper.make_node("ConcatFromSequence", ["kept"], ["read"], axis=1)],
    "float32": [helper.make_node("Concat", ["kept", "kept"], ["read"], axis=1)],
}


@pytest.mark.parametrize(("name", "segments"), [("float32", 3), ("bfloat16", 1), ("sequence", 1)])
@pytest.mark.usefixtures("unfused")
def test_what_is_no_array_is_handed_on_inside_a_segment_alone(name, segments):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"], "first")]
    nodes += NO_ARRAYS.get(name, [helper.make_node("Relu", ["a"], ["kept"])])
    nodes += [
        helper.make_node("MatMul", ["z", "w"], ["b"], "second"),
        helper.make_node("MatMul", ["b", "w"], ["c"], "third"),
    ]
    nodes += [*READ[name], helper.make_node("Concat", ["read", "c"], ["y"], axis=1)]
    weights = {"w": RANDOM.standard_normal((4, 4)).astype(np.float32)}
    source = model(nodes, [tensor("x", 2, 4), tensor("z", 2, 4)], [tensor("y", 2, None)], weights)
    feeds = {name: RANDOM.standard_normal((2, 4)).astype(np.float32) for name in ("x", "z")}
    segmented = SegmentedModel(OpenModel(source, None), batches_of(source, feeds), PROVIDERS)
    assert len(segmented.cuts) == segments
    changed = convert_quietly(source, {"second": "M4E4b8"})[0]
    (given,) = outputs(segmented, segmented.move_to(changed))
    np.testing.assert_array_equal(given["y"], lba_onnx.make_session(changed).run(None, feeds)[0])


@pytest.mark.usefixtures("unfused")
def test_segments_that_nothing_reads_do_not_run():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "read"),
        helper.make_node("MatMul", ["x", "w"], ["a"], "unread"),
        helper.make_node("SequenceConstruct", ["a"], ["several"]),
    ]
    weights = {"w": RANDOM.standard_normal((4, 4)).astype(np.float32)}
    source = model(nodes, [tensor("x", 2, 4)], [tensor("y", 2, 4)], weights)
    feeds = {"x": RANDOM.standard_normal((2, 4)).astype(np.float32)}
    segmented = SegmentedModel(OpenModel(source, None), batches_of(source, feeds), PROVIDERS)
    assert len(segmented.cuts) == 2
    changed = convert_quietly(source, {"read": "M4E4b8"})[0]
    (given,) = outputs(segmented, segmented.move_to(changed))
    np.testing.assert_array_equal(given["y"], lba_onnx.make_session(changed).run(None, feeds)[0])
    unread = segmented.move_to(convert_quietly(source, {"unread": "M4E4b8"})[0])
    assert not unread.outputs and segmented.finish(unread, 0, {}) == {}
