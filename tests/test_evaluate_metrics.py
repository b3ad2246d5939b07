"""Figures gathered in batches equal those of all samples at once."""

import json
import math

import numpy as np
import pytest

from lba_onnx.evaluation import Evaluation, OutputComparison
from lba_onnx.evaluation.metrics import Share, Similarity, cosines, is_in_top


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_that_of_a_stable_sort(k):
    random = np.random.default_rng(0)
    scores = random.integers(0, 4, (200, 7)).astype(np.float32)  # many ties
    labels = random.integers(0, 7, 200)
    order = np.argsort(-scores, axis=1, kind="stable")
    np.testing.assert_array_equal(is_in_top(scores, labels, k), (order[:, :k] == labels[:, np.newaxis]).any(axis=1))


def test_top_k_never_holds_for_nan_or_unknown_labels():
    scores = np.array([[1, np.nan], [np.nan, 1], [1, 2], [1, 2]], np.float32)
    np.testing.assert_array_equal(is_in_top(scores, np.array([0, 1, 2, -1]), 2), [False] * 4)


def test_share_counts_over_batches():
    share = Share()
    assert share.percent is None
    share.update(np.array([True, False]))
    share.update(np.array([True, True]))
    assert (share.hits, share.samples, share.percent) == (3, 4, 75.0)


def test_similarity_of_batches_is_that_of_the_whole():
    random = np.random.default_rng(1)
    reference = random.standard_normal((10, 6)).astype(np.float32)
    values = reference + np.float32(0.01) * random.standard_normal((10, 6)).astype(np.float32)
    whole, parts = Similarity(), Similarity()
    whole.update(reference, values)
    for start in range(0, 10, 3):
        parts.update(reference[start : start + 3], values[start : start + 3])
    assert parts.samples == whole.samples == 10
    assert parts.max_abs_difference == whole.max_abs_difference == float(np.abs(values - reference.astype(float)).max())
    assert parts.mean_cosine == pytest.approx(whole.mean_cosine, rel=1e-12)
    difference = values.astype(float) - reference
    expected_db = 10 * math.log10(np.square(reference.astype(float)).sum() / np.square(difference).sum())
    assert parts.sqnr_db == pytest.approx(expected_db, rel=1e-12)


def test_equal_outputs_have_infinite_sqnr():
    similarity = Similarity()
    similarity.update(np.array([[1.0, np.inf]]), np.array([[1.0, np.inf]]))
    assert similarity.max_abs_difference == 0
    assert similarity.sqnr_db == math.inf


@pytest.mark.parametrize("values", [[np.inf, 1.0], [1e200, 1.0]])
def test_infinite_differences_give_no_error(values):
    # A model whose outputs overflow while the reference's do not: the energy of the differences is infinite.
    similarity = Similarity()
    similarity.update(np.array([[2.0, 1.0]]), np.array([values]))
    assert similarity.sqnr_db == -math.inf
    assert similarity.max_abs_difference == values[0]


def test_nan_is_not_forgotten():
    similarity = Similarity()
    similarity.update(np.array([[1.0]]), np.array([[np.nan]]))
    similarity.update(np.array([[1.0]]), np.array([[1.0]]))
    assert math.isnan(similarity.max_abs_difference)


def test_nothing_seen_gives_no_figures():
    assert (Similarity().mean_cosine, Similarity().sqnr_db) == (None, None)


def test_cosines_of_zero_rows_are_one_or_zero():
    a = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]])
    b = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(cosines(a, b), [1.0, 0.0, 1.0])


def test_evaluation_json_has_null_for_what_json_cannot_hold():
    outputs = (OutputComparison("y", math.nan, math.inf, 0.0),)
    value = Evaluation(10, 10, 90.0, None, 91.0, None, 99.0, outputs).to_json()
    assert value["outputs"] == [{"name": "y", "mean_cosine": None, "sqnr_db": None, "max_abs_difference": 0.0}]
    assert json.loads(json.dumps(value, allow_nan=False))["top1"] == 90.0
