"""Each estimator finds the map that was planted, and falls back where the data say too little."""

import numpy as np
import pytest

from lba_onnx.correction.estimators import ESTIMATORS, fit_affine, fit_chain, fit_scale
from lba_onnx.correction.moments import ChannelSums, PairedSums


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


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_shrunk_output_is_restored(name: str):
    y = values()
    scale = np.array([0.9, 0.8, 0.95], np.float32)
    affine = ESTIMATORS[name](PairedSums.of(y * scale, y, -1), True)
    # The prior of 4 values per channel among 4000 pulls the scales together by about 1e-3 of their spread.
    np.testing.assert_allclose(affine.scale, 1 / scale, rtol=1e-3)
    np.testing.assert_allclose(affine.offset, 0, atol=2e-3)


def test_affine_is_least_squares_with_the_offset_held_back():
    y = 10 * values(mean=0.0)
    q = y * np.float32(0.8) - 3
    affine = fit_affine(PairedSums.of(q, y, -1), True)
    for channel in range(3):
        rows = np.stack([q[:, channel], np.ones(len(q))], axis=1)
        held_back = [0, np.sqrt(0.1 * len(q))]  # one more equation: the offset should be 0
        solution = np.linalg.lstsq(np.vstack([rows, held_back]), np.append(y[:, channel], 0), rcond=None)[0]
        # The prior of 4 values per channel among 4000 moves both by about 1e-3.
        np.testing.assert_allclose([affine.scale[channel], affine.offset[channel]], solution, rtol=3e-3)


def test_chain_gives_the_mean_and_deviation_of_float32():
    y = 10 * values(mean=0.0)
    q = y[::-1] * np.float32(0.8) - 3  # not in pairs
    affine = fit_chain(PairedSums.of(q, y, -1), True)
    corrected = q * affine.scale + affine.offset
    np.testing.assert_allclose(corrected.mean(0), y.mean(0), atol=1e-3)
    np.testing.assert_allclose(corrected.std(0), y.std(0), rtol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_offset_where_the_node_takes_none(name: str):
    y = values()
    affine = ESTIMATORS[name](PairedSums.of(y * np.float32(0.8) - 0.5, y, -1), False)
    np.testing.assert_array_equal(affine.offset, 0)


@pytest.mark.parametrize("fit", [fit_affine, fit_chain])
def test_a_channel_that_hardly_varies_is_scaled_through_the_origin(fit):
    noise = values(mean=0.0)
    y = np.float32(100) + np.float32(0.01) * noise
    q = np.float32(80) + np.float32(0.05) * noise[::-1]  # the slope between the two says nothing
    affine = fit(PairedSums.of(q, y, -1), True)
    np.testing.assert_allclose(affine.scale, 1.25, rtol=0.02)
    assert np.abs(affine.offset).max() < 2


def test_a_channel_with_few_values_follows_the_others():
    q = np.ones((2, 100), np.float32)
    y = np.full((2, 100), 1.1, np.float32)
    y[:, 0] = 1.9
    scale = fit_scale(PairedSums.of(q, y, -1)).scale
    assert 1.1 < scale[0] < 1.5
    np.testing.assert_allclose(scale[1:], 1.1, rtol=0.01)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("factor", [0.0, 1e-3, 1e3])
def test_scales_stay_within_limits_and_zeros_are_left_alone(name: str, factor: float):
    y = values()
    affine = ESTIMATORS[name](PairedSums.of(y * np.float32(factor), y, -1), True)
    assert np.isfinite(affine.scale).all()
    assert np.isfinite(affine.offset).all()
    assert (affine.scale >= 0.5).all()
    assert (affine.scale <= 2).all()
    if factor == 0:
        np.testing.assert_array_equal(affine.scale, 1)
