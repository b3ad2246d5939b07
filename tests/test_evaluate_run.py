"""Evaluation end to end: accuracies and likeness are those computed from all outputs at once."""

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import images, matmul_model, model, network, tensor

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration import calibrate
from lba_onnx.errors import DataError, ModelError
from lba_onnx.evaluation import evaluate
from lba_onnx.rewrite import convert
from lba_onnx.session import make_session


def one_hot_model(batch: int | str = "batch") -> onnx.ModelProto:
    return matmul_model(np.eye(7, dtype=np.float32), batch)


def scores(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 7)).astype(np.float32)


@pytest.mark.parametrize("batch", ["batch", 4])
def test_accuracy_is_that_of_all_samples(batch):
    x, labels = scores(30), np.random.default_rng(1).integers(0, 7, 30)
    result = evaluate(one_hot_model(batch), {"x": x, "label": labels}, batch_size=8)
    order = np.argsort(-x, axis=1)
    assert (result.samples, result.labelled_samples) == (30, 30)
    assert result.top1 == pytest.approx(100 * (order[:, 0] == labels).mean())
    assert result.top5 == pytest.approx(100 * (order[:, :5] == labels[:, np.newaxis]).any(axis=1).mean())
    assert (result.reference_top1, result.agreement, result.outputs) == (None, None, ())


@pytest.mark.parametrize("form", ["array", "list", "path"])
def test_labels_may_come_apart_from_the_data(tmp_path, form):
    x = scores(10)
    labels = x.argmax(axis=1)
    np.save(tmp_path / "labels.npy", labels)
    given = {"array": labels, "list": labels.tolist(), "path": tmp_path / "labels.npy"}[form]
    assert evaluate(one_hot_model(), {"x": x, "label": 6 - labels}, given).top1 == 100.0


def test_likeness_is_that_of_all_outputs():
    data = {"x": images(20), "label": np.zeros(20, np.int64)}
    converted, _ = convert(network(), calibrate(network(), {"x": data["x"]}).specs)
    result = evaluate(converted, data, reference=network(), batch_size=6)
    expected = make_session(network()).run(None, {"x": data["x"]})[0].astype(np.float64)
    got = make_session(converted).run(None, {"x": data["x"]})[0].astype(np.float64)
    (output,) = result.outputs
    assert output.name == "y"
    assert output.max_abs_difference == pytest.approx(np.abs(got - expected).max(), rel=1e-4)
    noise = np.square(got - expected).sum()
    assert output.sqnr_db == pytest.approx(10 * np.log10(np.square(expected).sum() / noise), abs=1e-3)
    assert 0.99 < output.mean_cosine < 1
    assert result.agreement == pytest.approx(100 * (got.argmax(axis=1) == expected.argmax(axis=1)).mean())
    assert result.reference_top1 == pytest.approx(100 * (expected.argmax(axis=1) == 0).mean())


def test_model_is_like_itself():
    result = evaluate(network(), {"x": images(5)}, reference=network())
    assert result.agreement == 100.0
    assert result.outputs[0].max_abs_difference == 0
    assert result.top1 is None


def test_filling_of_a_fixed_batch_does_not_count():
    x = scores(5)
    result = evaluate(one_hot_model(4), {"x": x}, reference=one_hot_model(4))
    assert result.samples == 5
    noisy = evaluate(matmul_model(np.diag([0, 1, 1, 1, 1, 1, 1]).astype(np.float32), 4), {"x": x},
                     reference=one_hot_model(4))  # fmt: skip
    expected = 10 * np.log10(np.square(x).sum() / np.square(x[:, 0]).sum())
    assert noisy.outputs[0].sqnr_db == pytest.approx(expected, rel=1e-5)


def test_max_samples_and_progress():
    calls = []
    result = evaluate(
        one_hot_model(), {"x": scores(30)}, max_samples=10, batch_size=4, progress=lambda *c: calls.append(c)
    )
    assert result.samples == 10
    assert calls == [(4, 10), (8, 10), (10, 10)]


def test_converted_at_a_wide_format_agrees_with_float32():
    wide = AccumulatorSpec.parse("M22E7b63/M22E7b63")
    converted, _ = convert(network(), wide)
    assert evaluate(converted, {"x": images(8)}, reference=network()).outputs[0].sqnr_db > 100


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(9, np.int64), "got 9 labels for at least 10"),
        (np.zeros(11, np.int64), "got 11 labels for 10 samples"),
        (np.zeros(10), "expected integer labels"),
        (np.zeros((10, 2), np.int64), "expected integer labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        evaluate(one_hot_model(), {"x": scores(10)}, labels)


def test_reference_with_other_names_is_refused():
    other = model([helper.make_node("Relu", ["z"], ["y"])], [tensor("z", "batch", 7)], [tensor("y", "batch", 7)])
    with pytest.raises(ModelError, match="expected the inputs of the reference, z, got x"):
        evaluate(one_hot_model(), {"x": scores(3)}, reference=other)


def test_reference_with_other_shapes_is_refused():
    other = matmul_model(np.ones((7, 3), np.float32))
    with pytest.raises(ModelError, match="output y: expected the reference's shape"):
        evaluate(one_hot_model(), {"x": scores(3)}, reference=other)


def test_reference_that_does_not_take_the_data_is_named():
    other = matmul_model(np.ones((5, 7), np.float32))
    with pytest.raises(DataError, match="sample 0: the reference does not run on these data"):
        evaluate(one_hot_model(), {"x": scores(3)}, reference=other)


def test_data_that_the_model_cannot_run_on_are_named():
    reshape = model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")],
        [tensor("x", "batch", 7)],
        [tensor("y", 2, 7)],
        {"shape": np.array([2, 7], np.int64)},
    )
    with pytest.raises(DataError, match="sample 0: the model does not run on these data"):
        evaluate(reshape, {"x": scores(3)})
