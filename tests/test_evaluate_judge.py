"""The judge's scores are those of the outputs, larger for the better model."""

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import images, matmul_model, model, network, tensor

from lba_onnx import Samples
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation import Judge, compare, judge
from lba_onnx.evaluation.likeness import class_divergence
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session


def batches_of(model_: onnx.ModelProto, x: np.ndarray, labels: np.ndarray | None = None) -> list[Batch]:
    data = {"x": x} if labels is None else {"x": x, "label": labels}
    return list(read_batches(Samples(data, batch_size=4), describe_inputs(make_session(model_))))


def diagonal(*values: float) -> onnx.ModelProto:
    return matmul_model(np.diag(values).astype(np.float32))


def two_outputs(scale: float, index_axis: int = 1) -> onnx.ModelProto:
    """Outputs y = scale * x, z = x + scale and the index of y's largest value."""
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["y"], "mul"),
        helper.make_node("Add", ["x", "scale"], ["z"], "add"),
        helper.make_node("ArgMax", ["y"], ["index"], "argmax", axis=index_axis, keepdims=0),
    ]
    outputs = [tensor("y", "batch", 3), tensor("z", "batch", 3)]
    outputs.append(helper.make_tensor_value_info("index", TensorProto.INT64, ["batch"]))
    return model(nodes, [tensor("x", "batch", 3)], outputs, {"scale": np.array(scale, np.float32)})


def only_index(weights: np.ndarray) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "mm"),
        helper.make_node("ArgMax", ["h"], ["index"], "argmax", axis=1, keepdims=0),
    ]
    output = helper.make_tensor_value_info("index", TensorProto.INT64, ["batch"])
    return model(nodes, [tensor("x", "batch", 3)], [output], {"w": weights.astype(np.float32)})


X = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)


def test_score_is_the_sqnr_that_compare_finds():
    converted, _ = convert(network(), AccumulatorSpec.parse("M7E4b10"))
    own = Judge(network(), batches_of(network(), images(10)))
    assert own.unit == "dB"
    expected = compare(network(), converted, Samples({"x": images(10)}, batch_size=4)).outputs[0].sqnr_db
    assert own.score(converted) == expected
    assert own.score(converted.SerializeToString()) == expected
    wider, _ = convert(network(), AccumulatorSpec.parse("M10E5b20"))
    assert own.score(converted) < own.score(wider) < own.score(network()) == 200


def test_score_is_the_mean_over_float_outputs():
    own = Judge(two_outputs(1.0), batches_of(two_outputs(1.0), X))
    found = {o.name: o.sqnr_db for o in compare(two_outputs(1.0), two_outputs(1.5), {"x": X}).outputs}
    assert own.score(two_outputs(1.5)) == pytest.approx((found["y"] + found["z"]) / 2)


def test_integer_outputs_count_where_there_are_no_others():
    reference, other = only_index(np.eye(3)), only_index(np.diag([1, 1, -1]))
    own = Judge(reference, batches_of(reference, X))
    assert own.unit == "%"
    same = X.argmax(axis=1) == (X * [1, 1, -1]).argmax(axis=1)
    assert own.score(reference) == 100
    assert own.score(other) == pytest.approx(100 * same.mean())


@pytest.mark.parametrize(("value", "expected"), [(np.nan, -math.inf), (np.inf, -math.inf), (3e38, -200.0)])
def test_broken_models_score_lowest(value, expected):
    # Infinite weights times zeros are NaN; 3e38 overflows to infinite outputs.
    own = Judge(diagonal(1, 1, 1), batches_of(diagonal(1, 1, 1), 10 * np.abs(X) + 1))
    weights = np.full((3, 3), value, np.float32)
    weights[0, 0] = -weights[0, 0] if np.isinf(value) else value
    assert own.score(matmul_model(weights)) == expected


def test_reference_of_zeros_scores_finitely():
    zero = diagonal(0, 0, 0)
    own = Judge(zero, batches_of(zero, X))
    assert (own.score(zero), own.score(diagonal(1, 0, 0))) == (200, -200)


def true_score(outputs, labels):
    return outputs["y"][np.arange(len(labels)), labels]


def test_score_is_the_mean_of_the_metric():
    labels = np.arange(10) % 3
    reference = diagonal(1, 1, 1)
    own = Judge(reference, batches_of(reference, X, labels), metric=true_score)
    assert own.unit.endswith(":true_score")
    assert own.score(diagonal(2, 2, 2)) == pytest.approx(2 * X[np.arange(10), labels].mean(), rel=1e-6)
    assert own.score(diagonal(np.nan, 1, 1)) == -math.inf


def test_reference_runs_once_and_every_model_once_a_score(monkeypatch):
    runs = []
    run_by_name = judge.run_by_name
    monkeypatch.setattr(judge, "run_by_name", lambda *a: runs.append(a[-1]) or run_by_name(*a))
    own = Judge(diagonal(1, 1, 1), batches_of(diagonal(1, 1, 1), X))
    for _ in range(2):
        own.score(diagonal(1, 2, 1))
    assert runs == ["the reference"] * 3 + ["the model"] * 6


def test_no_samples_are_refused():
    with pytest.raises(DataError, match="expected at least one batch to judge by"):
        Judge(diagonal(1, 1, 1), [])


def test_model_with_other_outputs_is_refused():
    own = Judge(diagonal(1, 1, 1), batches_of(diagonal(1, 1, 1), X))
    with pytest.raises(ModelError, match="expected the outputs of the reference, y, got index, y, z"):
        own.score(two_outputs(1.0))
    with pytest.raises(ModelError, match="output y: expected the reference's shape"):
        own.score(matmul_model(np.ones((3, 2), np.float32)))


def test_divergence_ignores_the_size_of_scores_but_not_levelled_ones():
    expected = np.random.default_rng(0).standard_normal((16, 10)) * 5 + 3
    assert class_divergence(expected, expected / 3) < 1e-12
    clipped = np.minimum(expected, np.sort(expected, axis=1)[:, -3:-2])  # the three largest become equal
    noisy = expected + 0.3 * np.random.default_rng(1).standard_normal(expected.shape)
    assert class_divergence(expected, clipped) > 3 * class_divergence(expected, noisy) > 0


def test_divergence_of_constant_or_broken_scores_is_a_number():
    expected = np.random.default_rng(0).standard_normal((4, 3))
    assert class_divergence(np.ones((4, 3)), expected) == 0
    assert class_divergence(expected, np.full((4, 3), np.nan)) == np.inf
    assert class_divergence(np.full((4, 3), np.nan), expected) == np.inf
    assert 0 < class_divergence(expected, np.zeros((4, 3))) < np.inf


def test_parts_are_assessed_as_if_they_were_all_there_is():
    batches = batches_of(network(), images(10))
    for metric in (None, lambda outputs, labels: next(iter(outputs.values())).max(1)):
        parts = [range(1, 3), range(3)]
        found = Judge(network(), batches, metric=metric).assess_parts(convert(network(), "M3E4b10")[0], parts)
        alone = [Judge(network(), [batches[n] for n in part], metric=metric) for part in parts]
        assert found == [judge.assess(convert(network(), "M3E4b10")[0]) for judge in alone]
