"""Confidence intervals: published examples, and how often they hold the truth."""

import itertools
import math

import numpy as np
import pytest

from lba_onnx.evaluation.intervals import mean_interval, paired_interval, student_quantile, wilson_interval


@pytest.mark.parametrize(
    ("hits", "samples", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0000, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_interval_is_the_published_one(hits, samples, expected):
    # Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3.
    assert tuple(round(limit, 4) for limit in wilson_interval(hits, samples)) == expected


@pytest.mark.parametrize("samples", [1, 7, 200, 1000, 10**6])
def test_wilson_interval_holds_the_proportion_and_mirrors(samples):
    for hits in {0, 1, samples // 3, samples - 1, samples}:
        low, high = wilson_interval(hits, samples)
        assert 0 <= low <= hits / samples <= high <= 1
        assert wilson_interval(samples - hits, samples) == pytest.approx((1 - high, 1 - low), abs=1e-15)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Altman, Machin, Bryant, Gardner, Statistics with confidence (2000), page 52.
        ((14, 5, 0, 22), (0.011, 0.226)),
        # Fagerland, Lydersen, Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: Cavo et al., 2012.
        ((59, 6, 16, 80), (-0.1186, -0.0046)),
    ],
)
def test_paired_interval_is_the_published_one(counts, expected):
    digits = len(str(expected[0]).split(".")[1])
    assert tuple(round(limit, digits) for limit in paired_interval(*counts)) == expected


def test_paired_interval_mirrors_and_holds_the_difference():
    for counts in itertools.product((0, 1, 5, 40), repeat=4):
        if sum(counts) == 0:
            continue
        both, first, second, neither = counts
        low, high = paired_interval(both, first, second, neither)
        assert -1 <= low <= (first - second) / sum(counts) <= high <= 1
        assert paired_interval(both, second, first, neither) == pytest.approx((-high, -low), abs=1e-15)


def test_single_samples_that_differ_show_nothing():
    # 0.2 points on 1000 images: two more right, of which none was right before.
    low, high = paired_interval(930, 2, 0, 68)
    assert low < 0 < high
    assert paired_interval(930, 5, 0, 65)[0] < 0 < paired_interval(930, 6, 0, 64)[0]  # as McNemar's test has it


TRUTHS = [
    (accuracy - (moved + difference) / 2, (moved + difference) / 2, (moved - difference) / 2)
    for accuracy in (0.5, 0.7, 0.9, 0.99)
    for moved in (0.01, 0.1, 0.2)
    for difference in (0.0, 0.01, 0.1)
    if moved >= difference and accuracy + (moved - difference) / 2 < 1
]


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: "-".join(f"{p:.3g}" for p in truth))
def test_paired_interval_holds_the_truth_at_least_95_times_in_100(truth):
    # Exactly: all tables of 15 samples, each with its probability.
    samples, chances = 15, (*truth, 1 - sum(truth))
    coverage = 0.0
    for both, first, second in itertools.product(range(samples + 1), repeat=3):
        neither = samples - both - first - second
        if neither < 0:
            continue
        counts = (both, first, second, neither)
        low, high = paired_interval(*counts)
        if low <= chances[1] - chances[2] <= high:
            ways = math.factorial(samples) / math.prod(map(math.factorial, counts))
            coverage += ways * math.prod(p**count for p, count in zip(chances, counts, strict=True))
    assert coverage >= 0.95


@pytest.mark.parametrize("truth", [(0.92, 0.01, 0.01), (0.90, 0.03, 0.01), (0.6, 0.1, 0.08)])
def test_paired_interval_holds_the_truth_on_1000_samples(truth):
    trials = 4000
    tables = np.random.default_rng(0).multinomial(1000, (*truth, 1 - sum(truth)), trials).tolist()
    intervals = [paired_interval(*table) for table in tables]
    coverage = sum(low <= truth[1] - truth[2] <= high for low, high in intervals) / trials
    assert coverage >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / trials)  # three standard deviations of the simulation


def student_distribution(value: float, degrees: int) -> float:
    """Abramowitz and Stegun, 26.7.3 and 26.7.4: exact finite sums."""
    angle = math.atan(value / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    factor, term, total = degrees % 2, 1.0, 0.0
    for step in range(degrees // 2):
        if step:
            term *= (2 * step - 1 + factor) / (2 * step + factor) * cosine**2
        total += term
    inside = 2 / math.pi * (angle + sine * cosine * total) if factor else sine * total
    return 0.5 + inside / 2


@pytest.mark.parametrize("degrees", [*range(1, 40), 100, 1000])
def test_student_quantile_inverts_the_distribution_to_5_digits(degrees):
    value = student_quantile(degrees)
    assert student_distribution(value * (1 - 1e-5), degrees) < 0.975 < student_distribution(value * (1 + 1e-5), degrees)


def test_mean_interval_is_the_textbook_one():
    # Of 1, 2, 3, 4, 5: mean 3, variance 2.5, t(4) = 2.776.
    assert mean_interval(3, 2.5, 5) == pytest.approx((3 - 1.96324, 3 + 1.96324), abs=1e-4)


@pytest.mark.parametrize(("mean", "variance", "samples"), [(3, 2.5, 1), (3, 0.0, 9), (math.nan, math.nan, 9)])
def test_mean_without_spread_has_no_interval(mean, variance, samples):
    assert mean_interval(mean, variance, samples) is None


def test_mean_interval_holds_the_truth():
    trials, samples = 4000, 12
    values = np.random.default_rng(1).standard_normal((trials, samples))
    intervals = [mean_interval(v.mean(), v.var(ddof=1), samples) for v in values]
    coverage = sum(low <= 0 <= high for low, high in intervals) / trials
    assert abs(coverage - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / trials)
