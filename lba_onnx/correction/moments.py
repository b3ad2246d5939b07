"""Sums over the values of each output channel: all that the estimators need, however many samples there are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lba_onnx.any_values import ANY_VALUES

Sums = NDArray[np.float64]
_Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ChannelSums:
    """Sums over the values of each channel.

    Attributes:
        count: Values per channel.
        total: float64 [channels].
        squares: float64 [channels], sums of squares.
    """

    count: int
    total: Sums
    squares: Sums

    @classmethod
    @ANY_VALUES
    def of(cls, values: _Values, channel_axis: int) -> "ChannelSums":
        """Return the sums over an array; infinite values and NaN count as zero."""
        return cls._of_finite(_finite(values), channel_axis)

    @classmethod
    def _of_finite(cls, values: _Values, channel_axis: int) -> "ChannelSums":
        count = values.size // max(values.shape[channel_axis], 1)
        return cls(count, _total(values, channel_axis), _total(_products(values, values), channel_axis))

    @ANY_VALUES
    def __add__(self, other: "ChannelSums") -> "ChannelSums":
        """Return the sums over the values of both."""
        return ChannelSums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> Sums:
        """Mean of each channel, float64 [channels]."""
        return self.total / self.count

    @property
    @ANY_VALUES
    def variance(self) -> Sums:
        """Variance of each channel, float64 [channels]."""
        variance: Sums = np.maximum(self.squares / self.count - self.mean**2, 0)
        return variance


@dataclass(frozen=True, eq=False)
class PairedSums:
    """Sums over pairs of values: what a node gives and what it should.

    Attributes:
        q: Of the values given.
        y: Of those that it should give.
        products: float64 [channels], sums of q * y.
    """

    q: ChannelSums
    y: ChannelSums
    products: Sums

    @classmethod
    @ANY_VALUES
    def of(cls, q: _Values, y: _Values, channel_axis: int, y_sums: ChannelSums | None = None) -> "PairedSums":
        """Return the sums over two arrays of the same shape; those of y alone may be known already."""
        q, y = _finite(q), _finite(y)
        y_sums = ChannelSums._of_finite(y, channel_axis) if y_sums is None else y_sums
        return cls(ChannelSums._of_finite(q, channel_axis), y_sums, _total(_products(q, y), channel_axis))

    @ANY_VALUES
    def __add__(self, other: "PairedSums") -> "PairedSums":
        """Return the sums over the pairs of both."""
        return PairedSums(self.q + other.q, self.y + other.y, self.products + other.products)


def _total(values: _Values, channel_axis: int) -> Sums:
    axes = tuple(axis for axis in range(values.ndim) if axis != channel_axis % values.ndim)
    total: Sums = values.sum(axes, dtype=np.float64)
    return total


def _products(a: _Values, b: _Values) -> _Values:
    """Return a * b; infinite beyond float32, which estimators take for nothing known."""
    return a * b


@ANY_VALUES
def are_finite(values: _Values) -> bool:
    """Return whether all values are finite: their sum tells in one go, unless it is too large itself."""
    return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _finite(values: _Values) -> _Values:
    return values if are_finite(values) else np.nan_to_num(values, nan=0, posinf=0, neginf=0)
