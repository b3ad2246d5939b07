"""What a measurement beside float32 amounts to: close, different, or a model that does not work."""

import json
import math

import numpy as np
import pytest

from lba_onnx.evaluation import Comparison, Evaluation, OutputComparison, PairedDifference, Proportion
from lba_onnx.evaluation.closeness import BROKEN, CLOSE, DIFFERS, Closeness
from lba_onnx.evaluation.intervals import ratio_interval_db
from lba_onnx.evaluation.metrics import Similarity


def comparison(*outputs: OutputComparison, samples: int = 100) -> Comparison:
    alone = Evaluation(samples, None, None, None, None, 0, ())
    return Comparison(alone, alone, None, None, None, None, outputs)


def scores(hits: int, samples: int = 100, kappa: float | None = 0.95, sqnr: float = 30.0) -> OutputComparison:
    agreement = Proportion(hits, samples)
    return OutputComparison("y", 0.9, sqnr, 0.1, True, Proportion(0, samples), agreement=agreement, kappa=kappa)


def values(sqnr: float | None, is_float: bool = True, equal: int = 0, name: str = "v") -> OutputComparison:
    return OutputComparison(name, 0.9, sqnr, 0.1, is_float, Proportion(equal, 100))


@pytest.mark.parametrize(
    ("output", "status"),
    [
        (scores(95), CLOSE),
        (scores(94), DIFFERS),
        (scores(75), DIFFERS),  # its interval reaches up to 82 %
        (scores(70), BROKEN),
        (scores(0), BROKEN),
        (scores(97, kappa=0.5), DIFFERS),  # 97 % of samples that are nearly all of one class
        (scores(97, kappa=0.0, sqnr=3.0), BROKEN),  # always the same class
        (scores(97, kappa=0.0, sqnr=20.0), DIFFERS),
        (scores(100, kappa=None, sqnr=30.0), CLOSE),  # all of one class: the values decide
        (scores(100, kappa=None, sqnr=3.0), BROKEN),
        (values(17.0), CLOSE),
        (values(16.9), DIFFERS),
        (values(10.0), DIFFERS),
        (values(9.9), BROKEN),
        (values(math.inf), CLOSE),
        (values(math.nan), BROKEN),
        (values(-math.inf), BROKEN),
        (values(0.0, is_float=False, equal=95), CLOSE),
        (values(0.0, is_float=False, equal=60), BROKEN),
    ],
)
def test_status_follows_the_table(output, status):
    assert Closeness.of(comparison(output)).status == status


def test_the_worst_output_decides_and_is_named():
    verdict = Closeness.of(comparison(scores(99), values(12.0, name="boxes")))
    assert verdict.status == DIFFERS
    assert str(verdict) == "differs from float32: boxes: SQNR 12.0 dB on 100 samples"


def test_integers_do_not_count_beside_floats():
    assert Closeness.of(comparison(values(40.0), values(0.0, is_float=False))).status == CLOSE


def test_line_has_figure_and_interval():
    assert str(Closeness.of(comparison(scores(97)))) == (
        "close to float32: same top-1 in 97.0 % of 100 samples (91.5 to 99.0)"
    )
    assert str(Closeness.of(comparison(scores(0)))).startswith(
        "the model does not work at this format: same top-1 in 0.0 %"
    )


def test_few_samples_are_not_measured_well():
    verdict = Closeness.of(comparison(scores(12, 12), samples=12))
    assert not verdict.is_measured_well
    assert "not measured well, on 12 samples" in str(verdict)
    assert Closeness.of(comparison(scores(30, 30), samples=30)).is_measured_well


def test_labels_and_metric_are_told_with_their_differences():
    alone = Evaluation(100, Proportion(90, 100), None, None, None, 100, ())
    other = Evaluation(100, Proportion(80, 100), None, None, None, 100, ())
    found = Comparison(alone, other, PairedDifference(78, 12, 2, 8), None, None, None, (scores(86),))
    assert "; top-1 80.0 % against 90.0 (-10.0 points, -17" in str(Closeness.of(found))


def test_what_was_not_measured_says_why():
    verdict = Closeness.unknown("there were no data")
    assert str(verdict) == "not measured: there were no data"
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["comparison"] is None


def test_sqnr_interval_holds_the_truth_as_often_as_it_says():
    """Of samples whose signal and noise vary together, 95 % of 600 intervals hold the ratio of the true means."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(600):
        size = random.exponential(1.0, 60)
        signal = np.sqrt(size)[:, None] * random.standard_normal((60, 8))
        noise = 0.1 * np.sqrt(0.5 + size)[:, None] * random.standard_normal((60, 8))
        similarity = Similarity()
        similarity.update(signal, signal + noise)
        low, high = similarity.sqnr_interval_db
        hits += low <= 10 * math.log10(1.0 / (0.01 * 1.5)) <= high
    assert 0.92 <= hits / 600 <= 0.98


def test_sqnr_interval_needs_two_samples_and_some_noise():
    assert ratio_interval_db((1.0, 1.0), (1.0, 1.0), 0.0, 1) is None
    assert ratio_interval_db((1.0, 0.0), (1.0, 1.0), 0.0, 9) is None
    assert ratio_interval_db((1.0, math.nan), (1.0, 1.0), 0.0, 9) is None
    assert ratio_interval_db((2.0, 2.0), (1.0, 1.0), 1.0, 9) == (0.0, 0.0)


def test_scores_masked_by_infinity_do_not_hide_the_noise():
    """-inf in both is no difference; its energy would make any noise next to nothing."""
    reference = np.array([[1.0, 2.0, -np.inf], [2.0, 1.0, -np.inf]], np.float32)
    similarity = Similarity()
    similarity.update(reference, reference + np.float32(0.5))
    assert similarity.sqnr_db == pytest.approx(10 * math.log10(10 / 1.0))
