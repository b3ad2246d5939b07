"""The correction of one layer, as a function of arrays.

    x [groups, rows, depth]  w [groups, depth, channels]     rows that the layer meets, and its weights
    y [groups, rows, channels]                               what it should give for them, before any bias
    q = low(x, w)                                            what it gives in its accumulator

    even      w <- w * f[k]             f makes up for the place k of a product in its sum (`evening`)
    scale     w <- w * s[c]             s from q and y, by the recipe's estimator; then q anew
    refit     w <- w + ridge(x, y - q)  what is left of the error, as far as it follows from x; then scale again
    offset    mean of y - q             from the last q, so that it makes up for what the weights cannot

Every step is followed by running the layer again in its accumulator: none of it rests on how a sum would change.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.any_values import ANY_VALUES
from lba_onnx.correction.evening import evened
from lba_onnx.correction.moments import ChannelSums, PairedSums, are_finite
from lba_onnx.correction.recipes import Recipe
from lba_onnx.correction.ridge import Ridge

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer and the rows to correct it by.

    Attributes:
        x: float32 [groups, rows, depth].
        y: float32 [groups, rows, channels], what it should give.
        weights: float32 [groups, depth, channels].
        low: Returns what the layer gives for rows and weights, in its accumulator, from what its sums start from.
        dtype: The type that the model keeps its weights in.
        takes_offset: Whether it can add an offset to its channels.
        additions: int64 [levels, depth], as `Accumulator.additions` returns.
        start: float32 [groups * channels], what its sums start from, which is scaled as weights are; None for zero.
    """

    x: Floats
    y: Floats
    weights: Floats
    low: Callable[[Floats, Floats, Floats | None], Floats]
    dtype: np.dtype[Any]
    takes_offset: bool
    additions: NDArray[np.int64]
    start: Floats | None = None

    @cached_property
    def y_by_channel(self) -> Floats:
        """What it should give, float32 [rows, groups * channels]."""
        return _by_channel(self.y)

    @cached_property
    def y_sums(self) -> ChannelSums:
        """The sums over what it should give."""
        return ChannelSums.of(self.y_by_channel, -1)


@dataclass(frozen=True, eq=False)
class LayerCorrection:
    """What becomes of a layer.

    Attributes:
        weights: float32 [groups, depth, channels], of values that the model's type of weights has.
        offset: float32 [groups * channels].
        scale: float32 [groups * channels], by which weights were multiplied in all, other changes aside.
        is_refitted: Whether weights moved beyond scales.
    """

    weights: Floats
    offset: Floats
    scale: Floats
    is_refitted: bool


@dataclass(frozen=True, eq=False)
class _State:
    """Weights on the way, and what the layer gives with them."""

    weights: Floats
    q: Floats
    scale: Floats
    is_refitted: bool = False


@ANY_VALUES
def correct_layer(layer: Layer, recipe: Recipe) -> LayerCorrection:
    """Correct a layer.

    Args:
        layer: The layer.
        recipe: How.
    """
    layer, state = _begun(layer, recipe)
    if layer.x.shape[1]:
        state = _scaled(layer, state, recipe)
        state = _refitted(layer, state, recipe) if recipe.rounds else state
    return LayerCorrection(state.weights, _offset(layer, state.q, recipe), state.scale, state.is_refitted)


def _begun(layer: Layer, recipe: Recipe) -> tuple[Layer, _State]:
    """Return the layer evened, as the recipe says, without the rows that hold what is not finite."""
    layer = _of_rows(layer, _finite(layer.x) & _finite(layer.y))
    weights = layer.weights
    if recipe.evens:
        weights = evened(layer.x, weights, lambda x, w: layer.low(x, w, layer.start), layer.additions, layer.start)
    is_evened = weights is not layer.weights
    state = _State(weights, layer.y, np.ones(len(weights) * weights.shape[2], np.float32), is_evened)
    state = _run(layer, replace(state, weights=_rounded(weights, layer)) if is_evened else state)
    finite = _finite(state.q)
    return _of_rows(layer, finite), state if finite.all() else replace(state, q=state.q[:, finite])


def _finite(values: Floats) -> NDArray[np.bool_]:
    """Return which rows hold finite values alone."""
    if are_finite(values):
        return np.ones(values.shape[1], np.bool_)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all((0, 2)))
    return finite


def _of_rows(layer: Layer, chosen: NDArray[np.bool_]) -> Layer:
    return layer if chosen.all() else replace(layer, x=layer.x[:, chosen], y=layer.y[:, chosen])


def _scaled(layer: Layer, state: _State, recipe: Recipe) -> _State:
    scale = recipe.estimator.scale(_sums(layer, state.q), layer.takes_offset)
    factors = scale.reshape(len(layer.weights), 1, -1)
    weights = _rounded(state.weights.astype(np.float64) * factors, layer)
    return _run(layer, replace(state, weights=weights, scale=state.scale * scale))


def _refitted(layer: Layer, state: _State, recipe: Recipe) -> _State:
    """Return the state with weights refitted and scaled, as often as that takes error away."""
    is_centred = _offset_rule(layer, recipe) is not None
    row_weights = _row_weights(layer.y) if recipe.weighs_rows else None
    ridge = Ridge(layer.x, row_weights, is_centred=is_centred)
    error = layer.y - state.q
    left = _energy(error, row_weights, is_centred=is_centred)
    for _ in range(recipe.rounds):
        change = ridge.change(error)
        moved = _moved(layer, state, change) if (is_moved := bool(change.any())) else state
        tried = _scaled(layer, moved, recipe)
        error = layer.y - tried.q
        before, left = left, _energy(error, row_weights, is_centred=is_centred)
        if not left < before:
            break
        state = tried
        if not is_moved:
            break
    return state


def _moved(layer: Layer, state: _State, change: NDArray[np.float64]) -> _State:
    weights = _rounded(state.weights + change, layer)
    return _run(layer, replace(state, weights=weights, is_refitted=True))


def _run(layer: Layer, state: _State) -> _State:
    """Return the state with what the layer gives in it."""
    start = None if layer.start is None else layer.start * state.scale
    return replace(state, q=layer.low(layer.x, state.weights, start))


def _energy(error: Floats, row_weights: NDArray[np.float64] | None, *, is_centred: bool) -> float:
    """Return the sum of squared errors, around the mean of each channel where an offset follows."""
    if row_weights is not None:
        error = error * row_weights[..., np.newaxis].astype(np.float32)
    sums = ChannelSums.of(_by_channel(error), -1)
    return float(((sums.variance * sums.count) if is_centred else sums.squares).sum())


def _row_weights(y: Floats) -> NDArray[np.float64]:
    """Return 1 / rms of each row, [groups, rows]; 0 for a row of zeros."""
    rms = np.sqrt(np.square(y.astype(np.float64)).mean(2))
    weights: NDArray[np.float64] = np.divide(1, rms, out=np.zeros_like(rms), where=rms > 0)
    return weights


def _offset(layer: Layer, q: Floats, recipe: Recipe) -> Floats:
    rule = _offset_rule(layer, recipe)
    if rule is None or not q.shape[1]:
        return np.zeros(q.shape[0] * q.shape[2], np.float32)
    return rule(_sums(layer, q))


def _offset_rule(layer: Layer, recipe: Recipe) -> Callable[[PairedSums], Floats] | None:
    """Return where offsets come from; None where there are none."""
    return recipe.estimator.offset if layer.takes_offset else None


def _sums(layer: Layer, q: Floats) -> PairedSums:
    return PairedSums.of(_by_channel(q), layer.y_by_channel, -1, layer.y_sums)


def _by_channel(values: Floats) -> Floats:
    """Return [rows, groups * channels] of [groups, rows, channels]."""
    by_channel: Floats = values.swapaxes(0, 1).reshape(values.shape[1], -1)
    return by_channel


def _rounded(weights: NDArray[Any], layer: Layer) -> Floats:
    rounded: Floats = weights.astype(layer.dtype).astype(np.float32)
    return rounded
