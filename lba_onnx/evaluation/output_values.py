"""What the values of one output are like, whatever they mean: what can be said of a score or a regression alone."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.evaluation.estimates import finite_or_none
from lba_onnx.evaluation.sums import ExactSum


@dataclass(frozen=True)
class OutputValues:
    """The values of one output over all samples.

    Attributes:
        name: The output.
        values: How many there are.
        not_finite: How many of them are NaN or infinite.
        mean: Of the finite values; None without any.
        smallest: Of the finite values; None without any.
        largest: Of the finite values; None without any.
    """

    name: str
    values: int
    not_finite: int
    mean: float | None
    smallest: float | None
    largest: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null stands for None, and for a mean beyond float64's range."""
        return {name: finite_or_none(value) for name, value in vars(self).items()}


class ValueSums:
    """Gathers the values of one output, part by part; parts merge into the whole, to the last bit."""

    def __init__(self) -> None:
        self._values = 0
        self._finite = 0
        self._sum = ExactSum()
        self._smallest = math.inf
        self._largest = -math.inf

    def update(self, values: NDArray[Any]) -> None:
        """Add numbers [samples, ...]."""
        numbers = values.reshape(len(values) if values.ndim else 1, -1).astype(np.float64)
        is_finite = np.isfinite(numbers)
        self._values += numbers.size
        self._finite += int(is_finite.sum())
        with np.errstate(over="ignore"):
            self._sum.update(np.where(is_finite, numbers, 0.0).sum(axis=1).tolist())
        self._smallest = min(self._smallest, float(numbers.min(initial=math.inf, where=is_finite)))
        self._largest = max(self._largest, float(numbers.max(initial=-math.inf, where=is_finite)))

    def merge(self, other: "ValueSums") -> None:
        """Add all that another object has gathered."""
        self._values += other._values
        self._finite += other._finite
        self._sum.merge(other._sum)
        self._smallest = min(self._smallest, other._smallest)
        self._largest = max(self._largest, other._largest)

    def result(self, name: str) -> OutputValues:
        """Return the figures so far, of the output of this name."""
        not_finite = self._values - self._finite
        if not self._finite:
            return OutputValues(name, self._values, not_finite, None, None, None)
        mean = self._sum.value / self._finite
        return OutputValues(name, self._values, not_finite, mean, self._smallest, self._largest)
