"""Figures that are gathered a batch at a time; what they keep does not grow with the number of samples."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.evaluation.estimates import Proportion
from lba_onnx.evaluation.intervals import Interval, mean_interval, ratio_interval_db
from lba_onnx.evaluation.sums import Moments

_Numbers = NDArray[Any]


def is_in_top(scores: _Numbers, labels: _Numbers, k: int) -> NDArray[np.bool_]:
    """Return per sample whether the label is among the k highest scores.

    Of equal scores the one with the lower index ranks higher. A row with a NaN in it is never right.

    Args:
        scores: Numbers [samples, classes].
        labels: Class numbers [samples]; numbers outside 0 ... classes - 1 are never right.
        k: How many of the highest scores count.

    Returns:
        bool [samples].
    """
    samples, classes = scores.shape
    is_class = (labels >= 0) & (labels < classes)
    index = np.where(is_class, labels, 0).astype(np.int64)
    own = scores[np.arange(samples), index][:, np.newaxis]
    is_ahead = (scores > own) | ((scores == own) & (np.arange(classes) < index[:, np.newaxis]))
    is_number = ~np.isnan(scores.astype(np.float64)).any(axis=1)
    result: NDArray[np.bool_] = is_class & is_number & (is_ahead.sum(axis=1) < k)
    return result


class Share:
    """Counts how often something holds.

    Attributes:
        hits: How often it did.
        samples: How often it was looked at.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.samples = 0

    def update(self, holds: NDArray[np.bool_]) -> None:
        """Add one answer per sample."""
        self.hits += int(holds.sum())
        self.samples += holds.size

    def merge(self, other: "Share") -> None:
        """Add all that another share has counted."""
        self.hits += other.hits
        self.samples += other.samples

    @property
    def proportion(self) -> Proportion | None:
        """The counts so far; None without samples."""
        return Proportion(self.hits, self.samples) if self.samples else None


class Similarity:
    """Compares what a model gives with what it should give.

    Attributes:
        samples: Number of samples (of feeds, where outputs have no axis for samples).
        max_abs_difference: Largest difference of two values; NaN once one of them was NaN.
        equal: Counts the samples of which all values are equal.
        is_float: Whether the reference's values are floating-point numbers.
    """

    def __init__(self) -> None:
        self.samples = 0
        self.max_abs_difference = 0.0
        self.equal = Share()
        self.is_float = False
        self._cosines = Moments()
        self._signal = Moments()
        self._noise = Moments()
        self._both = Moments()  # signal plus noise of each sample: what their covariance follows from

    def update(self, reference: _Numbers, values: _Numbers) -> None:
        """Add samples.

        Args:
            reference: Numbers [samples, values].
            values: Numbers of the same shape.
        """
        expected, got = reference.astype(np.float64), values.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.where(expected == got, 0.0, got - expected)  # equal infinities do not differ
            self._cosines.update(cosines(expected, got).tolist())
            finite = np.where(np.isfinite(expected), expected, 0.0)  # masked scores of -inf carry no energy
            signal, noise = np.square(finite).sum(axis=1), np.square(difference).sum(axis=1)
            self._signal.update(signal.tolist())
            self._noise.update(noise.tolist())
            self._both.update((signal + noise).tolist())
            largest = float(np.abs(difference).max(initial=0.0))
        self.samples += len(expected)
        self.equal.update((expected == got).all(axis=1))
        self.is_float |= bool(np.issubdtype(reference.dtype, np.floating))
        self._see_difference(largest)

    def merge(self, other: "Similarity") -> None:
        """Add all that another object has gathered; parts give the same figures as the whole, to the last bit."""
        self.samples += other.samples
        self.equal.merge(other.equal)
        self.is_float |= other.is_float
        for own, others in zip(self._sums, other._sums, strict=True):
            own.merge(others)
        self._see_difference(other.max_abs_difference)

    @property
    def _sums(self) -> tuple[Moments, ...]:
        return self._cosines, self._signal, self._noise, self._both

    def _see_difference(self, largest: float) -> None:
        # Not max(): that would forget a NaN, depending on the order.
        self.max_abs_difference = float(np.maximum(self.max_abs_difference, largest))

    @property
    def mean_cosine(self) -> float | None:
        """Mean over samples of the cosine between reference and values; None without samples."""
        return self._cosines.mean if self.samples else None

    @property
    def cosine_interval(self) -> Interval | None:
        """Student's 95 % interval of `mean_cosine`; None where the samples allow none."""
        interval = mean_interval(self._cosines.mean, self._cosines.variance, self.samples)
        return None if interval is None else (interval[0], min(interval[1], 1.0))

    @property
    def sqnr_db(self) -> float | None:
        """Energy of the reference over that of the differences, in dB; infinite without differences."""
        if not self.samples:
            return None
        signal, noise = self._signal.total, self._noise.total
        if noise == 0:
            return math.inf
        ratio = signal / noise  # 0 where a difference is infinite, NaN where there is a NaN
        return -math.inf if ratio == 0 else 10 * math.log10(ratio)

    @property
    def sqnr_interval_db(self) -> Interval | None:
        """The 95 % interval of `sqnr_db` over samples; None where the samples allow none."""
        signal, noise = self._signal, self._noise
        covariance = (self._both.variance - signal.variance - noise.variance) / 2
        return ratio_interval_db((signal.mean, noise.mean), (signal.variance, noise.variance), covariance, self.samples)


def cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosine of the angle between each row of a and of b, [rows]; 1 for two zero rows, 0 for one."""
    norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    products = norms[0] * norms[1]
    is_zero = products == 0
    dots = np.einsum("ij,ij->i", a, b)
    both_zero = (norms[0] == 0) & (norms[1] == 0)
    result: NDArray[np.float64] = np.where(is_zero, both_zero, dots / np.where(is_zero, 1.0, products))
    return result
