"""Ridge least squares, group by group: which change of weights takes an error away.

    minimise  sum over rows of weight^2 * (error - x @ change)^2  +  lambda * change^2

lambda is a share of the mean diagonal of the Gram matrix x^T x, so that it has the unit of the data. Which share, a
fourth of the rows decides: the last ones, which come from other samples than the rest. Shares are tried from the middle
up, then down, as long as one is better for any group. Then all rows count. Where the best share takes next to nothing
of the error of the rows that decide away, nothing is changed. What is left of an error after its change goes by the
share that was found for it.

Rows are multiplied with one another once; what is left of an error follows from these products:

    |error - x @ change|^2  =  |error|^2  -  2 <change, x^T error>  +  <change, x^T x @ change>
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
    """The rows of a layer, ready for an error that is left on them, and for what is left of it."""

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
        fitted = x.shape[1] - x.shape[1] // _APART
        self._products = (_OfRows if fitted < x.shape[2] else _OfInputs).of(x, fitted)
        self._shares: Numbers | None = None

    @_HUGE_VALUES
    def change(self, error: Floats) -> Matrices:
        """Return the change of weights, float64 [groups, depth, channels]; 0 for a group where none helps.

        Args:
            error: float32 [groups, rows, channels]; the first, or what is left of it.
        """
        error, products = self._prepared(error), self._products
        change = np.zeros((len(error), products.x.shape[2], error.shape[2]))
        usable = products.are_usable & np.isfinite(error).all((1, 2))
        if self._shares is not None:
            usable &= self._shares > 0
        shares = np.zeros(len(error))
        if usable.any():
            equations = products.with_error(error).of_groups(usable)
            if self._shares is None:
                tried, left = _best_shares(equations)
            else:
                tried = self._shares[usable]
                left = equations.left(tried)
            helps = equations.before - left > _LEAST_GAIN * equations.before
            if helps.any():
                change[usable] = equations.change(tried) * helps[:, np.newaxis, np.newaxis]
            shares[usable] = np.where(helps, tried, 0)
        if self._shares is None:
            self._shares = shares
        return change

    def _prepared(self, values: Floats) -> Floats:
        if self._is_centred:
            values = values - values.mean(1, keepdims=True)
        return values if self._factors is None else values * self._factors


def _best_shares(equations: "_EquationsOfInputs | _EquationsOfRows") -> tuple[Numbers, Numbers]:
    """Return the share that suits each group best, and what it leaves of the squared error."""
    groups = len(equations.before)
    best, least = np.full(groups, SHARES[_FIRST]), np.full(groups, np.inf)
    for shares in (SHARES[_FIRST:], SHARES[_FIRST - 1 :: -1]):
        for share in shares:
            left = equations.left(np.full(groups, share))
            is_better = left < least
            if not is_better.any():
                break
            best, least = np.where(is_better, share, best), np.minimum(left, least)
        if (best > SHARES[_FIRST]).all():
            break
    return best, least


@dataclass(frozen=True, eq=False)
class _OfInputs:
    """The products of many rows: x^T x of those that fit and of those that decide, [groups, depth, depth]."""

    x: Floats
    fitted: int
    fitting: Matrices
    deciding: Matrices

    @classmethod
    def of(cls, x: Floats, fitted: int) -> "_OfInputs":
        parts = x[:, :fitted], x[:, fitted:]
        return cls(x, fitted, *((part.swapaxes(1, 2) @ part).astype(np.float64) for part in parts))

    @property
    def are_usable(self) -> NDArray[np.bool_]:
        """Which groups have something to go by, all of it finite."""
        return _are_usable(self.fitting) & np.isfinite(self.deciding).all((1, 2))

    def with_error(self, error: Floats) -> "_EquationsOfInputs":
        """Return the equations of an error, float32 [groups, rows, channels]."""
        fitting, deciding = (
            (self.x[:, rows].swapaxes(1, 2) @ error[:, rows]).astype(np.float64) for rows in _parts(self.fitted)
        )
        return _EquationsOfInputs(self.fitting, self.deciding, fitting, deciding, _energy(error[:, self.fitted :]))


@dataclass(frozen=True, eq=False)
class _EquationsOfInputs:
    """(x^T x + lambda) change = x^T error.

    Attributes:
        fitting_gram: x^T x of the rows that fit, [groups, depth, depth].
        deciding_gram: The same of those that decide.
        fitting: x^T error of the rows that fit, [groups, depth, channels].
        deciding: The same of those that decide.
        before: Their squared error, [groups].
    """

    fitting_gram: Matrices
    deciding_gram: Matrices
    fitting: Matrices
    deciding: Matrices
    before: Numbers

    def of_groups(self, chosen: NDArray[np.bool_]) -> "_EquationsOfInputs":
        """Return the equations of some groups."""
        values = self.fitting_gram, self.deciding_gram, self.fitting, self.deciding, self.before
        return _EquationsOfInputs(*(of_all[chosen] for of_all in values))

    def left(self, shares: Numbers) -> Numbers:
        """Return what is left of the squared error of the rows that decide, for a share a group."""
        change = _solved(self.fitting_gram, shares, self.fitting.shape[1], self.fitting)
        left: Numbers = (change * (self.deciding_gram @ change - 2 * self.deciding)).sum((1, 2))
        return self.before + left

    def change(self, shares: Numbers) -> Matrices:
        """Return the change of weights that follows from all rows, for a share a group."""
        gram = self.fitting_gram + self.deciding_gram
        return _solved(gram, shares, self.fitting.shape[1], self.fitting + self.deciding)


@dataclass(frozen=True, eq=False)
class _OfRows:
    """The products of fewer rows than inputs: x x^T, which is smaller, [groups, rows, rows]."""

    x: Floats
    fitted: int
    gram: Matrices

    @classmethod
    def of(cls, x: Floats, fitted: int) -> "_OfRows":
        return cls(x, fitted, (x @ x.swapaxes(1, 2)).astype(np.float64))

    @property
    def are_usable(self) -> NDArray[np.bool_]:
        return _are_usable(self.gram[:, : self.fitted, : self.fitted]) & np.isfinite(self.gram).all((1, 2))

    def with_error(self, error: Floats) -> "_EquationsOfRows":
        return _EquationsOfRows(self, error.astype(np.float64), _energy(error[:, self.fitted :]))


@dataclass(frozen=True, eq=False)
class _EquationsOfRows:
    """change = x^T a, where (x x^T + lambda) a = error: the same change."""

    products: _OfRows
    error: Matrices
    before: Numbers

    def of_groups(self, chosen: NDArray[np.bool_]) -> "_EquationsOfRows":
        products = _OfRows(self.products.x[chosen], self.products.fitted, self.products.gram[chosen])
        return _EquationsOfRows(products, self.error[chosen], self.before[chosen])

    def left(self, shares: Numbers) -> Numbers:
        gram, (fitted, deciding) = self.products.gram, _parts(self.products.fitted)
        a = _solved(gram[:, fitted, fitted], shares, self.products.x.shape[2], self.error[:, fitted])
        return _energy(self.error[:, deciding] - gram[:, deciding, fitted] @ a)

    def change(self, shares: Numbers) -> Matrices:
        x = self.products.x
        change: Matrices = x.swapaxes(1, 2) @ _solved(self.products.gram, shares, x.shape[2], self.error)
        return change


def _parts(fitted: int) -> tuple[slice, slice]:
    return slice(fitted), slice(fitted, None)


def _solved(gram: Matrices, shares: Numbers, depth: int, right_side: Matrices) -> Matrices:
    ridged = gram.copy()
    diagonal = np.einsum("gkk->gk", ridged)
    diagonal += (shares * diagonal.sum(1) / depth)[:, np.newaxis]
    solution: Matrices = np.linalg.solve(ridged, right_side)
    return solution


def _are_usable(gram: Matrices) -> NDArray[np.bool_]:
    """Return which groups have something to go by, all of it finite."""
    usable: NDArray[np.bool_] = np.isfinite(gram).all((1, 2)) & (np.einsum("gkk->g", gram) > 0)
    return usable


def _energy(error: Floats | Matrices) -> Numbers:
    """Return the sum of squares of each group."""
    energy: Numbers = np.einsum("grc,grc->g", error, error, dtype=np.float64)
    return energy
