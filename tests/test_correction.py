"""Correction of whole models: it helps, never harms on the samples kept apart, and reaches every kind of graph."""

import json

import numpy as np
import onnx
import pytest
from onnx import helper
from small_models import branching_model, function_model, images, loop_model, matmul_model, model, network, tensor

import lba_onnx
from lba_onnx import Execution, Samples
from lba_onnx.correction import correct
from lba_onnx.correction.estimation import estimate, widened
from lba_onnx.data.batches import read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.errors import DataError, ModelError
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import NO_CONSTANT, ChannelAffine, scalable_nodes
from lba_onnx.rewrite.model_files import OpenModel


def converted(proto: onnx.ModelProto, spec: str = "M4E5b16") -> onnx.ModelProto:
    return lba_onnx.convert(proto, lba_onnx.AccumulatorSpec.parse(spec))[0]


def sqnr_db(reference: onnx.ModelProto, candidate: onnx.ModelProto, data: np.ndarray) -> float:
    return lba_onnx.compare(reference, candidate, data).outputs[0].sqnr_db


def test_correction_brings_outputs_closer_to_float32_on_other_samples():
    plain = converted(network())
    corrected, report = correct(plain, images(64))
    assert report.estimator in ("scale", "affine", "chain")
    assert report.scores[report.estimator] == max(report.scores.values()) > report.scores["none"]
    assert report.gain == report.scores[report.estimator] - report.scores["none"]
    assert report.samples + report.held_out_samples == 64
    assert [node.node for node in report.corrected] == ["conv1", "depthwise", "classifier"]
    others = images(64, seed=2)
    assert sqnr_db(network(), corrected, others) > sqnr_db(network(), plain, others) + 3
    metadata = {entry.key: entry.value for entry in corrected.metadata_props}
    assert json.loads(metadata["lba_onnx.correction"])["estimator"] == report.estimator


def test_scores_are_those_of_the_models_that_come_out():
    plain = converted(network())
    for estimator in ("scale", "affine", "chain"):
        corrected, report = correct(plain, images(32, seed=5), estimators=[estimator])
        assert report.scores.keys() == {"none", estimator}
        assert report.estimator == estimator
        assert corrected != plain


def test_a_model_that_nothing_improves_is_left_as_it_is():
    plain = converted(network(), "M22E7b63/M22E7b63")

    def metric(outputs, labels):
        return np.zeros(len(outputs["y"]))

    corrected, report = correct(plain, images(16), metric=metric)
    assert report.estimator == "none"
    assert report.gain == 0
    assert [node.reason for node in report.nodes] == ["no estimator is better"] * 3
    assert corrected.graph == plain.graph


def test_each_node_sees_the_inputs_that_the_corrected_model_gives_it():
    """With one batch, folding in what was estimated gives what the pass itself computed, but for roundings."""
    plain = converted(network())
    nodes, _ = scalable_nodes(plain)
    opened = OpenModel(plain, None)
    session = lba_onnx.make_session(plain)
    batch = next(read_batches(Samples(images(16), batch_size=16), describe_inputs(session)))
    found = estimate(opened, nodes, [batch], "scale", ("CPUExecutionProvider",), lambda samples: None)
    first = {}
    with observing_session(widened(plain), lambda call: first.setdefault(call.node, call.y.copy())) as exact:
        exact.run(batch)
    given = {}
    with observing_session(plain, lambda call: given.setdefault(call.node, call.y.copy())) as observing:
        observing.run(batch)
    y, q = first["conv1"].astype(np.float64), given["conv1"].astype(np.float64)
    expected = (q * y).sum((0, 2, 3, 4)) / (q * q).sum((0, 2, 3, 4))
    np.testing.assert_allclose(found["conv1"].scale, expected, rtol=0.02)  # the prior draws them together a little
    later = (first["classifier"] * given["classifier"]).sum() / np.square(given["classifier"]).sum()
    assert found["classifier"].scale.mean() < later  # the plain model's classifier also makes up for the nodes before


def test_an_estimator_that_levels_the_deciding_scores_is_out(monkeypatch):
    """Closer to float32 on the whole, but with all images in one class: SQNR alone would take it."""
    plain = converted(network(), "M7E5b16")

    def shrunk(opened, nodes, batches, estimator, providers, progress):
        affine = ChannelAffine(np.full(10, 0.5, np.float32), np.zeros(10, np.float32))
        affine.offset[3] = 1000
        return {"classifier": affine}

    monkeypatch.setattr("lba_onnx.correction.correcting.estimate", shrunk)
    monkeypatch.setattr("lba_onnx.evaluation.judge.Judge.score", lambda self, model: next(scores))
    scores = iter([1.0, 2.0])
    _, report = correct(plain, images(16), estimators=["scale"])
    assert report.estimator == "none"
    assert report.scores == {"none": 1.0, "scale": 2.0}
    assert report.rejected == ("scale",)
    assert report.divergences["scale"] > 1.1 * report.divergences["none"]
    assert "out: " in report.summary()


def test_dynamic_products_are_left_and_say_so():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "project"),
        helper.make_node("Transpose", ["h"], ["t"], "transpose", perm=[1, 0]),
        helper.make_node("MatMul", ["h", "t"], ["y"], "attention"),
    ]
    w = np.random.default_rng(0).standard_normal((32, 8)).astype(np.float32)
    proto = model(nodes, [tensor("x", 4, 32)], [tensor("y", 4, 4)], {"w": w})
    x = np.random.default_rng(1).standard_normal((10, 4, 32)).astype(np.float32)
    _, report = correct(converted(proto), [{"x": row} for row in x])
    assert {node.node: node.reason for node in report.nodes} == {"project": "", "attention": NO_CONSTANT}


@pytest.mark.parametrize("make", [branching_model, function_model, lambda: loop_model(3)])
def test_nodes_of_subgraphs_and_functions_are_corrected(make):
    proto = converted(make(), "M2E4b8")
    x = np.random.default_rng(0).uniform(1, 2, (12, 2)).astype(np.float32)
    feeds = [{"x": row[np.newaxis]} for row in x]
    corrected, report = correct(proto, feeds)
    assert report.estimator != "none"
    assert sqnr_db(make(), corrected, feeds) > sqnr_db(make(), proto, feeds)


def test_nodes_that_do_not_run_are_left_and_say_so():
    x = np.random.default_rng(0).uniform(1, 2, (12, 2)).astype(np.float32)
    _, report = correct(converted(branching_model(), "M2E4b8"), x)
    assert {node.node: node.reason for node in report.nodes}["else_matmul"] == "did not run on these data"


def test_one_sample_serves_for_both_and_is_said_to():
    _, report = correct(converted(network()), images(1))
    assert not report.is_held_out
    assert "kept apart" not in report.summary()


def test_progress_counts_samples_over_all_estimators():
    seen = []
    _, report = correct(
        converted(network()), images(40), execution=Execution(progress=lambda done, total: seen.append((done, total)))
    )
    assert seen[-1] == (3 * report.samples, 3 * report.samples)
    assert seen == sorted(seen)


def test_outliers_do_not_ruin_a_node_whose_channels_hardly_vary():
    """Nearly constant, large channels, as transformers have them: an offset estimated on them would be arbitrary."""
    random = np.random.default_rng(0)
    w = random.standard_normal((64, 16)).astype(np.float32)
    proto = matmul_model(w)
    x = (np.float32(5) + 0.01 * random.standard_normal((64, 64))).astype(np.float32)
    plain = converted(proto, "M4E5b12")
    corrected, _ = correct(plain, x[:32])
    assert sqnr_db(proto, corrected, x[32:]) >= sqnr_db(proto, plain, x[32:])


def test_large_models_are_corrected_on_disk(tmp_path):
    path = tmp_path / "model.onnx"
    proto = network()
    onnx.save_model(network(), path, save_as_external_data=True, location="weights", size_threshold=0)
    lba = tmp_path / "lba.onnx"
    lba_onnx.convert(
        path,
        lba_onnx.AccumulatorSpec.parse("M4E5b16"),
        model_output=lba_onnx.ModelFile(lba, use_external_data_format=True),
    )
    _, report = correct(lba, images(32), model_output=tmp_path / "corrected.onnx")
    inline, in_memory = correct(converted(proto), images(32))
    assert report.scores == in_memory.scores
    x = images(4, seed=3)
    expected = lba_onnx.make_session(inline).run(None, {"x": x})[0]
    got = lba_onnx.make_session(tmp_path / "corrected.onnx").run(None, {"x": x})[0]
    np.testing.assert_array_equal(got, expected)


def test_mistakes_are_named():
    plain = converted(network())
    with pytest.raises(ValueError, match="expected estimators out of scale, affine, chain, got 'best'"):
        correct(plain, images(4), estimators=["best"])
    with pytest.raises(ModelError, match="expected a converted model"):
        correct(network(), images(4))
    with pytest.raises(ModelError, match="has not been corrected, got a corrected one"):
        correct(correct(plain, images(8))[0], images(8))
    with pytest.raises(DataError, match="x"):
        correct(plain, np.zeros((4, 2), np.float32))
    with pytest.raises(DataError, match="expected finite numbers as x, got nan at"):
        correct(plain, np.full((4, 1, 8, 8), np.nan, np.float32))


def test_huge_values_are_passed_over():
    plain, data = converted(network()), images(16)
    data[5, 0, 0, 0] = 3e38
    _, report = correct(plain, data)
    assert report.scores[report.estimator] >= report.scores["none"]


@pytest.mark.parametrize("estimators", [("scale", "affine", "chain"), ("chain", "affine", "scale")])
def test_of_equal_estimators_the_first_is_taken(estimators):
    uncorrected = []

    def metric(outputs, labels):  # 0 for the model that is judged first, which is not corrected, 1 for all others
        uncorrected.append(outputs["y"])
        return np.full(len(outputs["y"]), float(not np.array_equal(outputs["y"], uncorrected[0])))

    _, report = correct(converted(network()), images(16), estimators=estimators, metric=metric)
    assert report.scores == {"none": 0, **dict.fromkeys(estimators, 1)}
    assert report.estimator == estimators[0]


def test_a_model_left_as_it_is_may_be_tried_again():
    plain = converted(network(), "M22E7b63/M22E7b63")
    left, report = correct(plain, images(8), metric=lambda outputs, labels: np.zeros(len(outputs["y"])))
    assert report.estimator == "none"
    assert correct(left, images(16))[1].samples == 12
