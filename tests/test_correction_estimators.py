"""Each estimator finds the map that was planted, and falls back where the data say too little."""

import numpy as np
import pytest

from lba_onnx.correction.estimators import AFFINE, CHAIN, SCALE, Estimator
from lba_onnx.correction.moments import ChannelSums, PairedSums

ESTIMATORS = {"scale": SCALE, "affine": AFFINE, "chain": CHAIN}


def fit(estimator: Estimator, q: np.ndarray, y: np.ndarray, takes_offset: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The scale, and the offset once the scale is in the weights."""
    scale = estimator.scale(PairedSums.of(q, y, -1), takes_offset)
    if estimator.offset is None:
        return scale, np.zeros_like(scale)
    return scale, estimator.offset(PairedSums.of(q * scale, y, -1))


def values(rows: int = 4000, channels: int = 3, mean: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((rows, channels)) + mean).astype(np.float32)


def test_sums_are_those_of_numpy_in_any_pieces():
    q, y = values(), values(mean=-2.0)
    whole = PairedSums.of(q, y, -1)
    pieces = PairedSums.of(q[:1000], y[:1000], -1) + PairedSums.of(q[1000:], y[1000:], -1)
    for sums in (whole, pieces):
        np.testing.assert_allclose(sums.products, (q.astype(np.float64) * y).sum(0), rtol=1e-6)
        np.testing.assert_allclose(sums.q.variance, q.astype(np.float64).var(0), rtol=1e-5)
        np.testing.assert_allclose(sums.y.mean, y.astype(np.float64).mean(0), rtol=1e-6)
    image = np.moveaxis(q.reshape(40, 100, 1, 1, 3), -1, 1)
    np.testing.assert_allclose(ChannelSums.of(image, 1).total, whole.q.total, rtol=1e-12)


def test_sums_ignore_what_is_not_finite():
    q = values(10)
    q[3] = np.nan
    q[4] = np.inf
    kept = np.delete(q, [3, 4], axis=0)
    np.testing.assert_allclose(ChannelSums.of(q, -1).total, kept.astype(np.float64).sum(0), rtol=1e-7)


def test_values_whose_sum_is_beyond_float32_count_as_they_are():
    q = np.full((10, 3), 3e38, np.float32)
    np.testing.assert_array_equal(ChannelSums.of(q, -1).total, q.astype(np.float64).sum(0))


def test_sums_that_are_known_already_change_nothing():
    q, y = values(), values(mean=-2.0)
    y[3] = np.nan
    anew, known = PairedSums.of(q, y, -1), PairedSums.of(q, y, -1, ChannelSums.of(y, -1))
    np.testing.assert_array_equal(known.products, anew.products)
    for found, expected in ((known.q, anew.q), (known.y, anew.y)):
        assert found.count == expected.count
        np.testing.assert_array_equal(found.total, expected.total)
        np.testing.assert_array_equal(found.squares, expected.squares)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_shrunk_output_is_restored(name: str):
    y = values()
    scale = np.array([0.9, 0.8, 0.95], np.float32)
    scale_found, offset = fit(ESTIMATORS[name], y * scale, y)
    # The prior of 4 values per channel among 4000 pulls the scales together by about 1e-3 of their spread.
    np.testing.assert_allclose(scale_found, 1 / scale, rtol=1e-3)
    np.testing.assert_allclose(offset, 0, atol=2e-3)


def test_affine_is_least_squares_with_the_offset_held_back():
    y = 10 * values(mean=0.0)
    q = y * np.float32(0.8) - 3
    scale, offset = fit(AFFINE, q, y)
    for channel in range(3):
        rows = np.stack([q[:, channel], np.ones(len(q))], axis=1)
        held_back = [0, np.sqrt(0.1 * len(q))]  # one more equation: the offset should be 0
        solution = np.linalg.lstsq(np.vstack([rows, held_back]), np.append(y[:, channel], 0), rcond=None)[0]
        # The prior of 4 values per channel among 4000 moves both by about 1e-3.
        np.testing.assert_allclose([scale[channel], offset[channel]], solution, rtol=3e-3)


def test_chain_gives_the_mean_and_deviation_of_float32():
    y = 10 * values(mean=0.0)
    q = y[::-1] * np.float32(0.8) - 3  # not in pairs
    scale, offset = fit(CHAIN, q, y)
    corrected = q * scale + offset
    np.testing.assert_allclose(corrected.mean(0), y.mean(0), atol=1e-3)
    np.testing.assert_allclose(corrected.std(0), y.std(0), rtol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_where_the_layer_takes_no_offset_the_scale_goes_through_the_origin(name: str):
    y = values()
    q = y * np.float32(0.8) - np.float32(0.5)
    y64, q64 = y.astype(np.float64), q.astype(np.float64)
    plain = np.sqrt((y64**2).sum(0) / (q64**2).sum(0)) if name == "chain" else (q64 * y64).sum(0) / (q64**2).sum(0)
    np.testing.assert_allclose(fit(ESTIMATORS[name], q, y, takes_offset=False)[0], plain, rtol=1e-3)


@pytest.mark.parametrize("estimator", [AFFINE, CHAIN])
def test_a_channel_that_hardly_varies_is_scaled_through_the_origin(estimator):
    noise = values(mean=0.0)
    y = np.float32(100) + np.float32(0.01) * noise
    q = np.float32(80) + np.float32(0.05) * noise[::-1]  # the slope between the two says nothing
    scale, offset = fit(estimator, q, y)
    np.testing.assert_allclose(scale, 1.25, rtol=0.02)
    assert np.abs(offset).max() < 2


def test_a_channel_with_few_values_follows_the_others():
    q = np.ones((2, 100), np.float32)
    y = np.full((2, 100), 1.1, np.float32)
    y[:, 0] = 1.9
    scale, _ = fit(SCALE, q, y)
    assert 1.1 < scale[0] < 1.5
    np.testing.assert_allclose(scale[1:], 1.1, rtol=0.01)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("factor", [0.0, 1e-3, 1e3])
def test_scales_stay_within_limits_and_zeros_are_left_alone(name: str, factor: float):
    y = values()
    scale, offset = fit(ESTIMATORS[name], y * np.float32(factor), y)
    assert np.isfinite(scale).all() and np.isfinite(offset).all()
    assert (scale >= 0.5).all() and (scale <= 2).all()
    if factor == 0:
        np.testing.assert_array_equal(scale, 1)
