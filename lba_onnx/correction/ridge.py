"""Ridge least squares, group by group: which change of weights takes an error away.

    minimise  sum over rows of weight^2 * (error - x @ change)^2  +  lambda * change^2

lambda is a share of the mean diagonal of the Gram matrix x^T x, so that it has the unit of the data. Which share, a
fourth of the rows decides: the last ones, which come from other samples than the rest. Then all rows count. Where the
best share takes next to nothing of their error away, nothing is changed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrices = NDArray[np.float64]

SHARES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_APART = 4
_LEAST_GAIN = 0.01  # of the squared error of the rows that decide


@np.errstate(over="ignore", invalid="ignore")  # of huge values, for which nothing is changed
def ridge(x: Floats, error: Floats, row_weights: Matrices | None, *, is_centred: bool) -> Matrices:
    """Return the change of weights, float64 [groups, depth, channels]; 0 for a group where none helps.

    Args:
        x: float32 [groups, rows, depth].
        error: float32 [groups, rows, channels].
        row_weights: [groups, rows]; None for the same weight everywhere.
        is_centred: Whether means are left to an offset: x and error are taken around theirs.
    """
    if is_centred:
        x, error = x - x.mean(1, keepdims=True), error - error.mean(1, keepdims=True)
    if row_weights is not None:
        factors = row_weights[..., np.newaxis].astype(np.float32)
        x, error = x * factors, error * factors
    judged = x.shape[1] // _APART
    fitted = x.shape[1] - judged
    some, rest = (_Moments.of(x[:, part], error[:, part]) for part in (slice(fitted), slice(fitted, None)))
    change = np.zeros((len(x), x.shape[2], error.shape[2]))
    usable = some.are_usable & rest.are_usable
    if usable.any():
        change[usable] = _best_change(some.of_groups(usable), rest.of_groups(usable))
    return change


@dataclass(frozen=True, eq=False)
class _Moments:
    """Sums over rows, group by group.

    Attributes:
        gram: [groups, depth, depth], x^T x.
        cross: [groups, depth, channels], x^T error.
        energy: [groups], of squared errors.
    """

    gram: Matrices
    cross: Matrices
    energy: NDArray[np.float64]

    @classmethod
    def of(cls, x: Floats, error: Floats) -> "_Moments":
        transposed = x.swapaxes(1, 2)
        energy = np.square(error, dtype=np.float64).sum((1, 2))
        return cls((transposed @ x).astype(np.float64), (transposed @ error).astype(np.float64), energy)

    def __add__(self, other: "_Moments") -> "_Moments":
        return _Moments(self.gram + other.gram, self.cross + other.cross, self.energy + other.energy)

    @property
    def are_usable(self) -> NDArray[np.bool_]:
        """Which groups have something to go by, all of it finite."""
        finite = np.isfinite(self.gram).all((1, 2)) & np.isfinite(self.cross).all((1, 2))
        usable: NDArray[np.bool_] = finite & (np.einsum("gkk->g", self.gram) > 0)
        return usable

    def of_groups(self, chosen: NDArray[np.bool_]) -> "_Moments":
        return _Moments(self.gram[chosen], self.cross[chosen], self.energy[chosen])

    def solve(self, shares: NDArray[np.float64]) -> Matrices:
        """Return the changes for a share a group."""
        diagonal = np.einsum("gkk->g", self.gram) / self.gram.shape[1]
        ridged = self.gram + (shares * diagonal)[:, np.newaxis, np.newaxis] * np.eye(self.gram.shape[1])
        change: Matrices = np.linalg.solve(ridged, self.cross)
        return change

    def gain(self, change: Matrices) -> NDArray[np.float64]:
        """Return by how much a change makes the squared errors of these rows smaller, [groups]."""
        quadratic = (change * (self.gram @ change)).sum((1, 2))
        gain: NDArray[np.float64] = 2 * (change * self.cross).sum((1, 2)) - quadratic
        return gain


def _best_change(some: _Moments, rest: _Moments) -> Matrices:
    groups = len(some.gram)
    gains = np.stack([rest.gain(some.solve(np.full(groups, share))) for share in SHARES])
    best = np.argmax(gains, 0)
    both = (some + rest).solve(np.asarray(SHARES)[best])
    helps = gains[best, np.arange(groups)] > _LEAST_GAIN * rest.energy
    change: Matrices = both * helps[:, np.newaxis, np.newaxis]
    return change
