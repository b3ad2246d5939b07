"""Conditions on a converted model beside its reference, as text: "sqnr>=20", "agreement>=99", "top1>=93"."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from lba_onnx.errors import DataError
from lba_onnx.evaluation.evaluation_result import Comparison

_TEXT = re.compile(r"\s*([a-z0-9_]+)\s*>=\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.ASCII)

_FIGURES: dict[str, Callable[[Comparison], float | None]] = {
    "sqnr": lambda c: _least([output.sqnr_db for output in c.outputs]),
    "cosine": lambda c: _least([output.mean_cosine for output in c.outputs]),
    "agreement": lambda c: None if c.agreement is None else c.agreement.percent,
    "top1": lambda c: None if c.candidate.top1 is None else c.candidate.top1.percent,
    "top5": lambda c: None if c.candidate.top5 is None else c.candidate.top5.percent,
    "top1_difference": lambda c: None if c.top1_difference is None else c.top1_difference.points,
    "metric": lambda c: None if c.candidate.metric is None else c.candidate.metric.mean,
}
_NEEDS = {
    "agreement": "an output [samples, classes]",
    "top1": "labels and an output [samples, classes]",
    "top5": "labels and an output [samples, classes] of more than five classes",
    "top1_difference": "labels and an output [samples, classes]",
    "metric": "a metric",
}


@dataclass(frozen=True)
class Condition:
    """A lower limit of one figure of a comparison.

    Attributes:
        figure: "sqnr" (dB) or "cosine", of the output where it is least; "agreement", "top1", "top5" (percent);
            "top1_difference" (percentage points, candidate minus reference); "metric", the mean of the user's.
        limit: The least value that fulfils it.
    """

    figure: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition such as "sqnr>=20".

        Raises:
            ValueError: The text has another form, or there is no such figure.
        """
        match = _TEXT.fullmatch(text)
        if match is None or match[1] not in _FIGURES:
            raise ValueError(f"expected a condition such as 'sqnr>=20', on one of {', '.join(_FIGURES)}, got {text!r}")
        return cls(match[1], float(match[2]))

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        return f"{self.figure}>={self.limit:g}"

    def value(self, comparison: Comparison) -> float:
        """Return the figure.

        Raises:
            DataError: The comparison lacks it.
        """
        value = _FIGURES[self.figure](comparison)
        if value is None:
            raise DataError(
                f"{self}: expected {_NEEDS.get(self.figure, 'samples')} to tell {self.figure} from, got none"
            )
        return value

    def holds(self, value: float) -> bool:
        """Return whether a value fulfils the condition; NaN never does."""
        return value >= self.limit


def _least(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if any(math.isnan(value) for value in known):
        return math.nan
    return min(known, default=None)
