"""At thorough effort a conversion goes the whole way with the model transformed first, too, and takes the better."""

import json
from dataclasses import replace

import numpy as np
import pytest
from residual_models import TOKENS, pre_norm
from small_models import matmul_model

import lba_onnx
from lba_onnx import Execution, Samples
from lba_onnx.correction import CorrectionReport
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import Part, read_samples
from lba_onnx.post_training import convert_with_data
from lba_onnx.post_training.transformed import TransformedWay, few_feeds
from lba_onnx.transformation.report import TransformationReport

IDS = {"ids": np.random.default_rng(5).integers(0, TOKENS, (16, 12))}
CORRECTED = CorrectionReport(
    **{"recipe": "scale", "scores": {"none": 1.0, "scale": 5.0}, "scores_on_all": {}, "rejected": (), "nodes": ()},
    **{"divergences": {}, "unit": "dB", "samples": 3, "held_out_samples": 1, "is_held_out": True},
)


def test_a_rotation_is_tried_and_taken_where_its_correction_scores_higher():
    phases = []
    execution = Execution(progress=lambda done, total: phases.append(total))
    result = convert_with_data(pre_norm(), IDS, "M4E4", effort="thorough", execution=execution)
    way = result.transformed
    assert "rotation" in way.report.done and phases
    assert way.is_taken == (way.score > way.score_without)
    assert result.correction.scores[result.correction.recipe] == (way.score if way.is_taken else way.score_without)
    assert way.is_taken, str(way)  # a channel 50 times as large as the others is what a rotation is for
    assert "rotation: done in" in result.summary() and "; taken: dB" in result.summary()
    assert json.loads(json.dumps(result.to_json()))["transformed"]["is_taken"] is True
    before = convert_with_data(pre_norm(), IDS, "M4E4", effort="quick")
    assert before.transformed is None and before.to_json()["transformed"] is None
    sqnr = [lba_onnx.compare(pre_norm(), found.model, IDS).outputs[0].sqnr_db for found in (before, result)]
    assert sqnr[1] > sqnr[0] + 3


@pytest.mark.parametrize(("score", "is_taken"), [(5.1, True), (5.0, False), (-3.0, False)])
def test_the_transformed_model_is_taken_only_where_it_scores_higher(score, is_taken):
    other = replace(CORRECTED, scores={"none": -9.0, "scale": score})
    way = TransformedWay.of(TransformationReport(()), other, CORRECTED)
    assert (way.is_taken, way.score, way.score_without) == (is_taken, score, 5.0)
    assert f"{'taken' if is_taken else 'left'}: dB {score:.4g} with and 5 without" in str(way)


def test_nothing_to_transform_is_said():
    data = np.random.default_rng(1).standard_normal((16, 8)).astype(np.float32)
    result = convert_with_data(matmul_model(np.eye(8, dtype=np.float32)), data, "M4E4", effort="thorough")
    assert not result.transformed.is_taken and result.transformed.score is None
    assert "rotation: not done" in result.summary()


def test_given_accumulators_belong_to_the_weights_as_they_are():
    assert convert_with_data(pre_norm(), IDS, "M4E4b12", effort="thorough").transformed is None


def test_samples_kept_for_the_verdict_are_not_transformed_by():
    inputs = describe_inputs(lba_onnx.make_session(matmul_model(np.eye(3, dtype=np.float32))))
    numbers = np.arange(60, dtype=np.float32)[:, np.newaxis] * np.ones((1, 3), np.float32)
    samples = Samples(numbers, batch_size=8)
    kept = [Part.of_samples(samples, is_to_check) for is_to_check in (True, False)]
    checked = {float(x) for batch in read_samples(kept[0], inputs) for x in batch.feeds["x"][:, 0]}
    seen = {float(x) for feeds in few_feeds(kept[1], inputs) for x in feeds["x"][:, 0]}
    assert len(seen) == 16 and not seen & checked
