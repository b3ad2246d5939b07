"""The correction of one layer, on arrays: planted errors are found, and what does not help is not done."""

from dataclasses import replace

import numpy as np
import pytest

import lba_onnx
from lba_onnx.arithmetic import as_spec
from lba_onnx.correction.evening import evened
from lba_onnx.correction.layer import Layer, correct_layer
from lba_onnx.correction.recipes import RECIPES
from lba_onnx.correction.ridge import Ridge

SPEC = "M4E5b12,chunk=8"


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def low(x: np.ndarray, weights: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    initial = None if start is None else start.reshape(len(weights), 1, -1)
    return lba_onnx.matmul(x, weights, SPEC, initial=initial)


def exact(x: np.ndarray, weights: np.ndarray, start: None = None) -> np.ndarray:
    return x @ weights


def layer_of(x, weights, y=None, low=low, dtype=np.float32, takes_offset=True) -> Layer:
    wanted = x @ weights if y is None else y
    return Layer(x, wanted, weights, low, np.dtype(dtype), takes_offset, as_spec(SPEC).additions(x.shape[2]))


def squared_error(layer: Layer, weights: np.ndarray, offset: np.ndarray) -> float:
    q = layer.low(layer.x, weights) + offset.reshape(len(weights), 1, -1)
    return float(np.square(layer.y - q).sum())


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("groups", [1, 3])
def test_every_recipe_brings_a_layer_closer_to_float32(name, groups):
    x, weights = draw(groups, 600, 24) + 1, draw(groups, 24, 4, seed=1)
    layer = layer_of(x, weights)
    found = correct_layer(layer, RECIPES[name])
    before = squared_error(layer, weights, np.zeros(groups * 4, np.float32))
    assert squared_error(layer, found.weights, found.offset) < 0.7 * before


def test_a_refit_moves_weights_only_where_the_error_follows_from_the_inputs():
    """A layer that loses one input altogether, which the others tell of."""
    x = draw(1, 2000, 8)
    x[..., 7] = x[..., :7].sum(-1)
    weights = draw(1, 8, 3, seed=1)

    def lossy(x, weights, start=None):
        return np.delete(x, 7, -1) @ np.delete(weights, 7, -2)

    layer = layer_of(x, weights, low=lossy)
    refitted = correct_layer(layer, RECIPES["refit_rows"])
    scaled = correct_layer(layer, RECIPES["scale"])
    assert refitted.is_refitted and not scaled.is_refitted
    left = squared_error(layer, scaled.weights, scaled.offset)
    assert squared_error(layer, refitted.weights, refitted.offset) < 0.05 * left


def test_an_error_that_is_noise_leaves_weights_alone():
    x, weights = draw(1, 400, 100), draw(1, 100, 2, seed=1)
    layer = layer_of(x, weights, y=x @ weights + 10 * draw(1, 400, 2, seed=2), low=exact)
    found = correct_layer(layer, replace(RECIPES["scale"], rounds=1))
    np.testing.assert_allclose(found.weights, weights * found.scale, rtol=1e-6)  # least squares moves them by 0.5


def test_weights_are_those_that_the_model_can_keep():
    x, weights = draw(1, 300, 16), draw(1, 16, 4, seed=1).astype(np.float16).astype(np.float32)
    found = correct_layer(layer_of(x, weights, dtype=np.float16), RECIPES["refit"])
    assert (found.weights.astype(np.float16).astype(np.float32) == found.weights).all()


@pytest.mark.parametrize("name", RECIPES)
def test_a_layer_that_takes_no_offset_gets_none(name):
    x, weights = draw(1, 300, 16) + 1, draw(1, 16, 4, seed=1)
    found = correct_layer(layer_of(x, weights, takes_offset=False), RECIPES[name])
    assert not found.offset.any()


@pytest.mark.parametrize("name", RECIPES)
def test_rows_that_are_not_finite_play_no_part(name):
    x, weights = draw(1, 300, 16), draw(1, 16, 4, seed=1)
    clean = correct_layer(layer_of(x[:, 3:], weights), RECIPES[name])
    x[0, 0, 0], x[0, 1, 3], x[0, 2, 5] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        layer = layer_of(x, weights)
    found = correct_layer(layer, RECIPES[name])
    np.testing.assert_array_equal(found.weights, clean.weights)
    np.testing.assert_array_equal(found.offset, clean.offset)


@pytest.mark.parametrize("name", RECIPES)
def test_a_layer_without_usable_rows_stays_as_it_is(name):
    x, weights = np.full((1, 5, 16), np.nan, np.float32), draw(1, 16, 4, seed=1)
    found = correct_layer(layer_of(x, weights), RECIPES[name])
    np.testing.assert_array_equal(found.weights, weights)
    assert not found.is_refitted and (found.scale == 1).all() and not found.offset.any()


@pytest.mark.parametrize("is_centred", [False, True])
def test_ridge_solves_its_normal_equations(is_centred):
    x, wanted = draw(2, 500, 6) + 2, draw(2, 6, 3, seed=1)
    error = x @ wanted + (5 if is_centred else 0)
    found = Ridge(x, None, is_centred=is_centred).change(error)
    np.testing.assert_allclose(found, wanted, rtol=0.02, atol=0.02)  # without noise the least share is the best


def test_ridge_with_row_weights_is_that_of_weighted_rows():
    x, error, row_weights = draw(1, 200, 6), draw(1, 200, 3, seed=1), np.abs(draw(1, 200, seed=2)).astype(np.float64)
    scaled = row_weights[..., np.newaxis].astype(np.float32)
    np.testing.assert_array_equal(
        Ridge(x, row_weights, is_centred=False).change(error),
        Ridge(x * scaled, None, is_centred=False).change(error * scaled),
    )


def test_ridge_leaves_groups_without_inputs_and_with_huge_ones_alone():
    x, error = draw(3, 100, 4), draw(3, 100, 2, seed=1)
    x[0] = 0
    x[1] *= np.float32(1e30)
    found = Ridge(x, None, is_centred=False).change(error)
    assert not found[:2].any()


@pytest.mark.parametrize(
    ("spec", "depth", "expected"),
    [
        ("M4E5b12,chunk=none", 4, [[4, 3, 2, 1]]),
        ("M4E5b12,chunk=4", 6, [[4, 3, 2, 1, 2, 1], [2, 2, 2, 2, 1, 1]]),
        ("M4E5b12,chunk=2x2", 7, [[2, 1, 2, 1, 2, 1, 1], [2, 2, 1, 1, 2, 2, 1], [2, 2, 2, 2, 1, 1, 1]]),
        ("M4E5b12,tree=4", 6, [[2, 2, 2, 2, 1, 1]]),
        ("M4E5b12,tree=2,chunk=2", 6, [[2, 2, 1, 1, 1, 1], [2, 2, 2, 2, 1, 1]]),
    ],
)
def test_additions_are_those_that_a_sum_still_goes_through(spec, depth, expected):
    assert as_spec(spec).additions(depth).tolist() == expected


@pytest.mark.parametrize("spec", ["M4E5b12,chunk=16", "M4E5b12,chunk=8x4", "M3E5b12,chunk=none", "M5E5b12,tree=4"])
def test_evening_takes_away_what_depends_on_the_place_in_the_sum(spec):
    """Truncation shrinks early products more than late ones; no factor for the whole sum undoes that."""
    x, weights = np.abs(draw(1, 2000, 64)), draw(1, 64, 8, seed=1)

    def in_spec(x, weights):
        return lba_onnx.matmul(x, weights, spec)

    q, wanted = in_spec(x, weights), x @ weights
    scaled = q * ((q * wanted).sum(1, keepdims=True) / (q * q).sum(1, keepdims=True))
    found = evened(x, weights, in_spec, as_spec(spec).additions(64))
    left = float(np.square(in_spec(x, found) - wanted).sum())
    assert left < 0.8 * float(np.square(scaled - wanted).sum())
    factors = (found / weights)[0]
    np.testing.assert_allclose(factors, factors[:, :1].repeat(8, 1), rtol=1e-5)  # the same for all channels
    if spec == "M4E5b12,chunk=16":
        assert (np.diff(factors[:, 0].reshape(4, 16), axis=1) < 0).all()


def test_evening_leaves_sums_that_are_not_truncated_alone():
    x, weights = draw(1, 300, 64), draw(1, 64, 8, seed=1)
    assert evened(x, weights, np.matmul, as_spec("M4E5b12").additions(64)) is weights
    assert evened(x, weights, np.matmul, np.zeros((0, 64), np.int64)) is weights


@pytest.mark.parametrize("factor", [1e18, 1e30, 1e-30])
@pytest.mark.parametrize("name", RECIPES)
def test_huge_and_tiny_values_leave_finite_weights(name, factor):
    x, weights = draw(1, 100, 16) * np.float32(factor), draw(1, 16, 4, seed=1)
    found = correct_layer(layer_of(x, weights), RECIPES[name])
    assert np.isfinite(found.weights).all() and np.isfinite(found.offset).all()
