"""Evaluation of one model end to end: accuracies and metrics are those computed from all outputs at once."""

import json
import re

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import matmul_model, model, tensor

from lba_onnx import Execution, Samples
from lba_onnx.errors import DataError
from lba_onnx.evaluation import Proportion, evaluate
from lba_onnx.evaluation.intervals import mean_interval, wilson_interval


def one_hot_model(batch: int | str = "batch") -> onnx.ModelProto:
    return matmul_model(np.eye(7, dtype=np.float32), batch)


def scores(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 7)).astype(np.float32)


@pytest.mark.parametrize("batch", ["batch", 4])
def test_accuracy_is_that_of_all_samples(batch):
    x, labels = scores(30), np.random.default_rng(1).integers(0, 7, 30)
    result = evaluate(one_hot_model(batch), Samples({"x": x, "label": labels}, batch_size=8))
    order = np.argsort(-x, axis=1)
    assert result.samples == 30
    assert result.top1 == Proportion(int((order[:, 0] == labels).sum()), 30)
    assert result.top5 == Proportion(int((order[:, :5] == labels[:, np.newaxis]).any(axis=1).sum()), 30)
    assert result.metric is None
    value = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert value["samples"] == 30
    assert value["top1"]["percent"] == result.top1.percent
    assert value["top1"]["interval"] == [100 * limit for limit in wilson_interval(result.top1.hits, 30)]


@pytest.mark.parametrize("form", ["array", "list", "path"])
def test_labels_may_come_apart_from_the_data(tmp_path, form):
    x = scores(10)
    labels = x.argmax(axis=1)
    np.save(tmp_path / "labels.npy", labels)
    given = {"array": labels, "list": labels.tolist(), "path": tmp_path / "labels.npy"}[form]
    assert evaluate(one_hot_model(), Samples({"x": x, "label": 6 - labels}, given)).top1 == Proportion(10, 10)


def test_no_labels_give_no_accuracy():
    result = evaluate(one_hot_model(), {"x": scores(5)})
    assert (result.samples, result.top1, result.top5) == (5, None, None)
    assert result.to_json()["top1"] is None


def test_five_classes_have_no_top5():
    data = {"x": scores(5)[:, :5], "label": np.zeros(5, np.int64)}
    result = evaluate(matmul_model(np.eye(5, dtype=np.float32)), data)
    assert result.top5 is None
    assert result.top1.samples == 5


def test_filling_of_a_fixed_batch_does_not_count():
    x = scores(5)
    result = evaluate(one_hot_model(4), {"x": x, "label": x.argmax(axis=1)})
    assert result.top1 == Proportion(5, 5)


def largest_score(outputs, labels):
    return outputs["y"].max(axis=1)


def is_right(outputs, labels):
    return outputs["y"].argmax(axis=1) == labels


def test_metric_of_numbers_has_students_interval():
    x = scores(30)
    result = evaluate(one_hot_model(), Samples({"x": x}, batch_size=8), metric=largest_score)
    values = x.max(axis=1).astype(np.float64)
    assert result.metric_name.endswith(":largest_score")
    assert result.metric.mean == pytest.approx(values.mean(), rel=1e-12)
    expected = mean_interval(values.mean(), values.var(ddof=1), 30)
    assert result.metric.interval == pytest.approx(expected, rel=1e-12)


def test_metric_of_truths_has_wilsons_interval():
    x = scores(30)
    result = evaluate(one_hot_model(), Samples({"x": x, "label": x.argmax(axis=1)}, batch_size=8), metric=is_right)
    assert result.metric.mean == 1
    assert result.metric.interval == pytest.approx(wilson_interval(30, 30))  # Student's would be a single point


def test_metric_with_nan_is_nan_and_null_in_json():
    x = scores(30)
    x[7] = np.nan
    result = evaluate(one_hot_model(), {"x": x, "label": np.zeros(30, np.int64)}, metric=largest_score)
    assert np.isnan(result.metric.mean)
    assert result.to_json()["metric"] == {"samples": 30, "mean": None, "interval": None}
    assert result.top1.samples == 30


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (3.0, "float of float64 []"),
        (np.zeros(7), "ndarray of float64 [7]"),
        (np.zeros((8, 1)), "ndarray of float64 [8, 1]"),
        (["a"] * 8, "list of <U1 [8]"),
        (None, "NoneType of object []"),
        ([[1.0], [2.0, 3.0]], "list of object []"),
        (np.zeros(8, complex), "ndarray of complex128 [8]"),
    ],
)
def test_metric_of_another_form_is_named(returned, got):
    def wrong(outputs, labels):
        return returned

    message = rf"metric .*wrong: expected a number per sample, \[8\], got {re.escape(got)}"
    with pytest.raises(ValueError, match=message):
        evaluate(one_hot_model(), {"x": scores(8)}, metric=wrong)


def test_metric_sees_outputs_and_labels_without_filling():
    seen = []

    def look(outputs, labels):
        seen.append((outputs["y"].shape, None if labels is None else labels.tolist()))
        return np.ones(len(outputs["y"]))

    evaluate(one_hot_model(4), {"x": scores(6), "label": np.arange(6)}, metric=look)
    evaluate(one_hot_model(), {"x": scores(6)}, metric=look)
    assert seen == [((4, 7), [0, 1, 2, 3]), ((2, 7), [4, 5]), ((6, 7), None)]


def test_max_samples_and_progress():
    calls = []
    result = evaluate(
        one_hot_model(),
        Samples({"x": scores(30)}, max_samples=10, batch_size=4),
        execution=Execution(progress=lambda *c: calls.append(c)),
    )
    assert result.samples == 10
    assert calls == [(4, 10), (8, 10), (10, 10)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(9, np.int64), "got 9 labels for at least 10"),
        (np.zeros(11, np.int64), "got 11 labels for 10 samples"),
        (np.zeros(10), "expected integer labels"),
        (np.zeros((10, 2), np.int64), "expected integer labels"),
        ("missing.npy", "missing.npy"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        evaluate(one_hot_model(), Samples({"x": scores(10)}, labels))


def test_data_that_the_model_cannot_run_on_are_named():
    reshape = model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")],
        [tensor("x", "batch", 7)],
        [tensor("y", 2, 7)],
        {"shape": np.array([2, 7], np.int64)},
    )
    with pytest.raises(DataError, match="sample 0: the model does not run on these data"):
        evaluate(reshape, {"x": scores(3)})
