"""Figures gathered in batches equal those of all samples at once."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from lba_onnx.evaluation import Proportion
from lba_onnx.evaluation.metrics import Share, Similarity, cosines, is_in_top
from lba_onnx.evaluation.sums import ExactSum, Moments


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
    assert share.proportion is None
    share.update(np.array([True, False]))
    share.update(np.array([True, True]))
    assert share.proportion == Proportion(3, 4)
    assert share.proportion.percent == 75.0


def test_similarity_of_batches_is_that_of_the_whole():
    random = np.random.default_rng(1)
    reference = random.standard_normal((10, 6)).astype(np.float32)
    values = reference + np.float32(0.01) * random.standard_normal((10, 6)).astype(np.float32)
    whole, parts, merged = Similarity(), Similarity(), Similarity()
    whole.update(reference, values)
    for start in range(0, 10, 3):
        part = Similarity()
        for target in (parts, part):
            target.update(reference[start : start + 3], values[start : start + 3])
        merged.merge(part)
    assert parts.samples == merged.samples == whole.samples == 10
    assert whole.max_abs_difference == float(np.abs(values - reference.astype(float)).max())
    for same in (parts, merged):
        assert same.max_abs_difference == whole.max_abs_difference
        assert (same.mean_cosine, same.sqnr_db) == (whole.mean_cosine, whole.sqnr_db)
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


@pytest.mark.parametrize("seed", range(5))
def test_exact_sum_depends_on_no_order(seed):
    random = np.random.default_rng(seed)
    values = (random.standard_normal(50) * 2.0 ** random.integers(-1060, 1000, 50)).tolist()
    expected = float(sum(map(Fraction, values)))
    for order in (values, values[::-1], sorted(values), sorted(values, key=abs)):
        first, second = ExactSum(), ExactSum()
        first.update(order[:20])
        second.update(order[20:])
        second.merge(first)
        assert second.value == expected


@pytest.mark.parametrize("values", list(itertools.permutations([math.inf, -math.inf, 1.0])))
def test_exact_sum_of_opposite_infinities_is_nan(values):
    total = ExactSum()
    total.update(values)
    assert math.isnan(total.value)


@pytest.mark.parametrize(("values", "expected"), [([math.inf, 1e308], math.inf), ([-1e308] * 2, -math.inf)])
def test_exact_sum_beyond_the_range_is_infinite(values, expected):
    total = ExactSum()
    total.update(values)
    assert total.value == expected


def test_moments_are_those_of_exact_fractions():
    values = (1e6 + np.random.default_rng(0).standard_normal(100)).tolist()
    moments, other = Moments(), Moments()
    moments.update(values[:30])
    other.update(values[30:])
    moments.merge(other)
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / 100
    assert moments.mean == float(mean)
    assert moments.variance == float(sum((v - mean) ** 2 for v in exact) / 99)


def test_moments_without_a_variance():
    moments = Moments()
    assert math.isnan(moments.mean)
    moments.update([0.1])
    assert (moments.mean, math.isnan(moments.variance)) == (0.1, True)
    moments.update([0.1, 0.1])
    assert moments.variance == 0
    moments.update([math.nan])
    assert math.isnan(moments.mean) and math.isnan(moments.variance)
