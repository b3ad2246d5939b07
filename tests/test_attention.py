"""Attention in accumulators: against onnxruntime's own operators, and against the reference bit for bit."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from attention_models import CASES, SIZE, Case
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from lba_onnx import ops
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session

U = 2.0**-24
WIDE = "M22E7b63"
SCORE_ERROR = 2 * (SIZE + 8) * U * SIZE
"""A score sums at most 16 products of operands of at most 1, and is scaled, capped and shifted."""
BOUND = 4 * SCORE_ERROR + 8 * 24 * U
"""Weights change by exp of twice what scores do, in both results; sums of at most 20 of them, and of values, follow."""
TWINS = [ops.LbaMultiHeadAttention, ops.LbaGroupQueryAttention, ops.LbaAttention]
TYPES = {"LbaMultiHeadAttention", "LbaGroupQueryAttention", "LbaAttention"}


def converted(case: Case, spec: Any) -> onnx.ModelProto:
    model, report = convert(case.model, spec)
    assert {entry.node for entry in report.converted} == {"node/qk", "node/pv"}
    assert TYPES & {node.op_type for node in model.graph.node}
    return model


def run(model: onnx.ModelProto, case: Case, threads: int = 1) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return list(make_session(model.SerializeToString(), options).run(None, case.feeds))


def float_results(case: Case) -> list[NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, ["CPUExecutionProvider"])
    return list(session.run(None, case.feeds))


def by_reference(model: onnx.ModelProto, case: Case) -> list[NDArray[Any]]:
    """Run the attention by the definition, and what is around it by onnxruntime."""
    place = next(i for i, node in enumerate(model.graph.node) if node.op_type in TYPES)
    node = model.graph.node[place]
    around = onnx.ModelProto()
    around.CopyFrom(model)
    del around.graph.node[place:]
    del around.graph.output[:]
    made = {name for other in around.graph.node for name in other.output}
    around.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(node.input) if name in made)
    known = {**case.feeds, **{t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}}
    if around.graph.output:
        session = onnxruntime.InferenceSession(_typed(around, node).SerializeToString(), None, ["CPUExecutionProvider"])
        known |= zip([v.name for v in around.graph.output], session.run(None, case.feeds), strict=True)
    alone = onnx.helper.make_graph(
        [node],
        "alone",
        [onnx.ValueInfoProto(name=name) for name in node.input],
        [onnx.ValueInfoProto(name=value.name) for value in model.graph.output],
    )
    evaluator = ReferenceEvaluator(onnx.helper.make_model(alone, opset_imports=model.opset_import), new_ops=TWINS)
    return list(evaluator.run(None, {name: known[name] for name in node.input}))


def _typed(model: onnx.ModelProto, node: onnx.NodeProto) -> onnx.ModelProto:
    element = model.graph.input[0].type.tensor_type.elem_type
    for value in model.graph.output:
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, element, None))
    return model


@pytest.mark.parametrize("name", CASES)
def test_a_wide_accumulator_gives_what_onnxruntime_gives(name):
    case = CASES[name]
    found, expected = run(converted(case, WIDE), case), float_results(case)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        is_kept = np.isfinite(ours)  # a hidden score is -inf here, and the least float32 there
        assert (theirs[~is_kept] < -1e38).all()
        assert np.abs(ours - theirs)[is_kept].max(initial=0) <= BOUND


@pytest.mark.parametrize("spec", ["M7E4b10", "M3E4b8,round=nearest,chunk=4"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", CASES)
def test_few_bits_are_those_of_the_reference(name, dtype, spec):
    if dtype == np.float16 and spec != "M7E4b10":
        pytest.skip("one accumulator is enough")
    case = CASES[name].astype(dtype)
    model = converted(case, spec)
    expected = by_reference(model, case)
    for threads in (1, 2):
        for ours, theirs in zip(run(model, case, threads), expected, strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
