"""Conditions on a converted model beside its reference, as text: "sqnr>=20", "perplexity_change<=1"."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from lba_onnx.errors import DataError
from lba_onnx.evaluation.estimates import MeanEstimate, Perplexity, PerplexityChange
from lba_onnx.evaluation.evaluation_result import Comparison

_TEXT = re.compile(r"\s*([a-z0-9_]+)\s*(>=|<=)\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.ASCII)

_FIGURES: dict[str, Callable[[Comparison], float | None]] = {
    "sqnr": lambda c: _least([output.sqnr_db for output in c.outputs]),
    "cosine": lambda c: _least([output.mean_cosine for output in c.outputs]),
    "agreement": lambda c: None if c.agreement is None else c.agreement.percent,
    "top1": lambda c: None if c.candidate.top1 is None else c.candidate.top1.percent,
    "top5": lambda c: None if c.candidate.top5 is None else c.candidate.top5.percent,
    "top1_difference": lambda c: None if c.top1_difference is None else c.top1_difference.points,
    "metric": lambda c: _mean(c.candidate.metric, is_perplexity=False),
    "perplexity": lambda c: _mean(c.candidate.metric, is_perplexity=True),
    "perplexity_change": lambda c: (
        c.metric_difference.percent if isinstance(c.metric_difference, PerplexityChange) else None
    ),
}
_AT_MOST = ("perplexity", "perplexity_change")
_NEEDS = {
    "agreement": "an output [samples, classes]",
    "top1": "labels and an output [samples, classes]",
    "top5": "labels and an output [samples, classes] of more than five classes",
    "top1_difference": "labels and an output [samples, classes]",
    "metric": "a metric of your own",
    "perplexity": "the metric perplexity",
    "perplexity_change": "the metric perplexity",
}


@dataclass(frozen=True)
class Condition:
    """A limit of one figure of a comparison: the least value, of a perplexity the largest.

    Attributes:
        figure: "sqnr" (dB) or "cosine", of the output where it is least; "agreement", "top1", "top5" (percent);
            "top1_difference" (percentage points, candidate minus reference); "metric", the mean of the user's;
            "perplexity"; "perplexity_change", by how many percent it is higher than the reference's.
        limit: The least value that fulfils it; of perplexities, the largest.
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
        if match is None or match[1] not in _FIGURES or match[2] != _sign(match[1]):
            raise ValueError(
                f"expected a condition such as 'sqnr>=20', on one of {', '.join(_FIGURES)} "
                f"('<=' for {' and '.join(_AT_MOST)}), got {text!r}"
            )
        return cls(match[1], float(match[3]))

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        return f"{self.figure}{_sign(self.figure)}{self.limit:g}"

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
        return value <= self.limit if self.figure in _AT_MOST else value >= self.limit


def _sign(figure: str) -> str:
    return "<=" if figure in _AT_MOST else ">="


def _mean(metric: MeanEstimate | None, is_perplexity: bool) -> float | None:
    return None if metric is None or isinstance(metric, Perplexity) != is_perplexity else metric.mean


def _least(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if any(math.isnan(value) for value in known):
        return math.nan
    return min(known, default=None)
