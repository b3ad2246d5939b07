"""Weights that make up for where in a sum their products stand.

A product that enters a chain early goes through more additions than a late one, and every truncated addition takes
about the same share c of the sum away. So the k-th product shrinks by about exp(-c * t[k]), where t[k] is the number
of additions that it still goes through: with chunks of 16 and 4 mantissa bits the first by a third, the last by a
fiftieth. No scale of the whole sum undoes that, but weights do:

    w[k] <- w[k] * exp(a + c_1 * t_1[k] + c_2 * t_2[k] + ...)        a t and a c for each level of chains

The few numbers are the same for all channels of a layer, so that hardly any data find them: least squares of
the error over what each level's products sum up to. Further rounds start from what the ones before have left, as long
as that helps.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.tally import note

Floats = NDArray[np.float32]
_ROUNDS = 5
_MAX_ROWS = 3000
_MAX_OUTPUTS = 1 << 18  # of these rows, where they are more than _MIN_ROWS: equations for a few numbers
_MIN_ROWS = 256
_ENOUGH = 0.95  # of the squared error: what takes less away is not worth other weights
_LEAST_LOG, _LARGEST_LOG = -1.0, 1.5  # of a factor
_RIDGE = 1e-9


def evened(
    x: Floats,
    weights: Floats,
    low: Callable[[Floats, Floats], Floats],
    additions: NDArray[np.int64],
    start: Floats | None = None,
) -> Floats:
    """Return weights whose sums, in the accumulator, come closest to the float32 sums of the weights given.

    Args:
        x: float32 [groups, rows, depth].
        weights: float32 [groups, depth, channels].
        low: Returns what the layer gives for rows and weights, in its accumulator.
        additions: int64 [levels, depth], as `Accumulator.additions` returns.
        start: float32 [groups * channels], what sums start from; None for zero.
    """
    levels = [level for level in additions if np.ptp(level) > 0]
    if not levels or not x.shape[1]:
        return weights
    most = min(_MAX_ROWS, max(_MAX_OUTPUTS // (len(weights) * weights.shape[2]), _MIN_ROWS))
    x = x[:, :: -(-x.shape[1] // most)]
    given = low(x, weights)
    finite = np.isfinite(given).all((0, 2))
    x, given = x[:, finite], given[:, finite]
    wanted = dot_products(x, weights, start)
    size = np.sqrt(np.square(wanted, dtype=np.float64).mean(1, keepdims=True))
    even = np.divide(1, size, out=np.zeros_like(size), where=size > 0).astype(np.float32)  # channels count the same
    best, least = weights, np.inf
    tried = weights
    for round_ in range(_ROUNDS + 1):
        given = low(x, tried) if round_ else given
        error = (wanted - given) * even
        squared = float(np.square(error).sum(dtype=np.float64))
        if not squared < _ENOUGH * least:
            break
        best, least = tried, squared
        terms = [given, *(x @ (tried * level[:, np.newaxis].astype(np.float32)) for level in levels)]
        solution = _least_squares([term * even for term in terms], error)
        logs = solution[0] + (solution[1:, np.newaxis] * levels).sum(0)
        factors = np.exp(np.clip(logs, _LEAST_LOG, _LARGEST_LOG))
        tried = (tried * factors[:, np.newaxis]).astype(np.float32)
    return best


def dot_products(x: Floats, weights: Floats, start: Floats | None) -> Floats:
    """Return the sums in float32, [groups, rows, channels]."""
    note(products=x.size * weights.shape[2])
    sums: Floats = x @ weights
    return sums if start is None else sums + start.reshape(len(weights), 1, -1)


def _least_squares(terms: Sequence[Floats], wanted: Floats) -> NDArray[np.float64]:
    """Return how much of each term adds up to what is wanted; nothing of any where values are huge."""
    matrix = np.stack([term.ravel() for term in terms]).astype(np.float64)
    gram, moments = matrix @ matrix.T, matrix @ wanted.ravel().astype(np.float64)
    if not (np.isfinite(gram).all() and np.isfinite(moments).all()):
        return np.zeros(len(terms))
    ridge = _RIDGE * np.trace(gram) * np.eye(len(gram))
    solution: NDArray[np.float64] = np.linalg.lstsq(gram + ridge, moments, rcond=None)[0]
    return solution
