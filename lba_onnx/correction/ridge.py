"""Ridge least squares, group by group: which change of weights takes an error away.

    minimise  sum over rows of weight^2 * (error - x @ change)^2  +  lambda * change^2

lambda is a share of the mean diagonal of the Gram matrix x^T x, so that it has the unit of the data. Which share, a
fourth of the rows decides: the last ones, which come from other samples than the rest. Shares are tried from the middle
up, then down, as long as one is better for any group. Then all rows count. Where the best share takes next to nothing
of the error of the rows that decide away, nothing is changed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Matrices = NDArray[np.float64]
Numbers = NDArray[np.float64]

SHARES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_FIRST = 2
_APART = 4
_LEAST_GAIN = 0.01  # of the squared error of the rows that decide
_HUGE_VALUES = np.errstate(over="ignore", invalid="ignore")  # for which nothing is changed


class Ridge:
    """The rows of a layer, ready for any error that is left on them."""

    @_HUGE_VALUES
    def __init__(self, x: Floats, row_weights: Matrices | None, *, is_centred: bool) -> None:
        """Multiply the inputs with one another.

        Args:
            x: float32 [groups, rows, depth].
            row_weights: [groups, rows]; None for the same weight everywhere.
            is_centred: Whether means are left to an offset: x and errors are taken around theirs.
        """
        self._is_centred = is_centred
        self._factors = None if row_weights is None else row_weights[..., np.newaxis].astype(np.float32)
        x = self._prepared(x)
        self._fitted = x.shape[1] - x.shape[1] // _APART
        self._judged = x[:, self._fitted :]
        self._some, self._all = _Equations.of(x[:, : self._fitted]), _Equations.of(x)

    @_HUGE_VALUES
    def change(self, error: Floats) -> Matrices:
        """Return the change of weights, float64 [groups, depth, channels]; 0 for a group where none helps.

        Args:
            error: float32 [groups, rows, channels].
        """
        error = self._prepared(error)
        change = np.zeros((len(error), self._judged.shape[2], error.shape[2]))
        usable = self._some.are_usable & self._all.are_usable & np.isfinite(error).all((1, 2))
        shares = np.zeros(len(error))
        if usable.any():
            shares[usable] = self._best_shares(error[usable], usable)
        if (helped := shares > 0).any():
            equations = self._all.of_groups(helped)
            change[helped] = equations.solve(equations.right_side(error[helped]), shares[helped])
        return change

    def _prepared(self, values: Floats) -> Floats:
        if self._is_centred:
            values = values - values.mean(1, keepdims=True)
        return values if self._factors is None else values * self._factors

    def _best_shares(self, error: Floats, groups: NDArray[np.bool_]) -> Numbers:
        """Return the share that suits each group best; 0 where none takes enough away."""
        some, x = self._some.of_groups(groups), self._judged[groups]
        right_side, judged = some.right_side(error[:, : self._fitted]), error[:, self._fitted :]
        before = _energy(judged)
        best, least = np.zeros(len(error)), np.full(len(error), np.inf)
        for shares in (SHARES[_FIRST:], SHARES[_FIRST - 1 :: -1]):
            for share in shares:
                change = some.solve(right_side, np.full(len(error), share))
                left = _energy(judged - x @ change.astype(np.float32))
                is_better = left < least
                if not is_better.any():
                    break
                best, least = np.where(is_better, share, best), np.minimum(left, least)
            if (best > SHARES[_FIRST]).all():
                break
        return np.where(before - least > _LEAST_GAIN * before, best, 0)


@dataclass(frozen=True, eq=False)
class _Equations:
    """The normal equations of rows, group by group.

    Of many rows, (x^T x + lambda) change = x^T error; of fewer rows than inputs, change = x^T a, where
    (x x^T + lambda) a = error: it is the same change.

    Attributes:
        x: float32 [groups, rows, depth].
        gram: x^T x, or x x^T where that is smaller.
    """

    x: Floats
    gram: Matrices

    @classmethod
    def of(cls, x: Floats) -> "_Equations":
        transposed = x.swapaxes(1, 2)
        gram = x @ transposed if x.shape[1] < x.shape[2] else transposed @ x
        return cls(x, gram.astype(np.float64))

    @property
    def are_usable(self) -> NDArray[np.bool_]:
        """Which groups have something to go by, all of it finite."""
        usable: NDArray[np.bool_] = np.isfinite(self.gram).all((1, 2)) & (np.einsum("gkk->g", self.gram) > 0)
        return usable

    def of_groups(self, chosen: NDArray[np.bool_]) -> "_Equations":
        return self if chosen.all() else _Equations(self.x[chosen], self.gram[chosen])

    def right_side(self, error: Floats) -> Matrices:
        """Return what errors of the rows are to the equations."""
        return (error if self._are_of_rows else self.x.swapaxes(1, 2) @ error).astype(np.float64)

    def solve(self, right_side: Matrices, shares: Numbers) -> Matrices:
        """Return the changes of weights for a share a group."""
        ridged = self.gram.copy()
        diagonal = np.einsum("gkk->gk", ridged)
        diagonal += (shares * diagonal.sum(1) / self.x.shape[2])[:, np.newaxis]
        solution: Matrices = np.linalg.solve(ridged, right_side)
        return self.x.swapaxes(1, 2) @ solution if self._are_of_rows else solution

    @property
    def _are_of_rows(self) -> bool:
        _, rows, depth = self.x.shape
        return bool(rows < depth)


def _energy(error: Floats) -> Numbers:
    """Return the sum of squares of each group."""
    energy: Numbers = np.square(error).sum((1, 2), dtype=np.float64)
    return energy
