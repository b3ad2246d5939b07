"""Figures together with how far they can be trusted, and their JSON forms."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from lba_onnx.evaluation.intervals import Interval, mean_interval, paired_interval, wilson_interval
from lba_onnx.evaluation.sums import Moments


def finite_or_none(value: Any) -> Any:
    """Return None for a number that JSON cannot hold, anything else as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Proportion:
    """How many of the samples something holds for.

    Attributes:
        hits: So many.
        samples: Out of so many, at least 1.
    """

    hits: int
    samples: int

    @property
    def percent(self) -> float:
        """The share in percent."""
        return 100.0 * self.hits / self.samples

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of `percent`."""
        low, high = wilson_interval(self.hits, self.samples)
        return 100 * low, 100 * high

    def to_json(self) -> dict[str, Any]:
        """Return counts, percentage and interval as a JSON object."""
        return {**asdict(self), "percent": self.percent, "interval": list(self.interval)}


@dataclass(frozen=True)
class PairedDifference:
    """How much more often a candidate is right than the reference, on the same samples.

    Attributes:
        both: Samples that both get right.
        only_reference: Samples that only the reference gets right.
        only_candidate: Samples that only the candidate gets right.
        neither: Samples that none gets right.
    """

    both: int
    only_reference: int
    only_candidate: int
    neither: int

    @property
    def samples(self) -> int:
        """How many samples there are, at least 1."""
        return self.both + self.only_reference + self.only_candidate + self.neither

    @property
    def points(self) -> float:
        """Percentage points by which the candidate is better; negative where it is worse."""
        return 100.0 * (self.only_candidate - self.only_reference) / self.samples

    @property
    def interval(self) -> Interval:
        """Newcombe's 95 % interval of `points`."""
        low, high = paired_interval(self.both, self.only_candidate, self.only_reference, self.neither)
        return 100 * low, 100 * high

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0: otherwise the samples show no difference."""
        return excludes_zero(self.interval)

    def to_json(self) -> dict[str, Any]:
        """Return counts, difference, interval and verdict as a JSON object."""
        figures = {"points": self.points, "interval": list(self.interval), "is_significant": self.is_significant}
        return {**asdict(self), **figures}


@dataclass(frozen=True)
class MeanEstimate:
    """The mean of a number per sample.

    Attributes:
        samples: How many samples.
        mean: Their mean; NaN where one of them is NaN.
        interval: The mean's 95 % interval; None where the samples allow none (fewer than two, all alike, not finite).
    """

    samples: int
    mean: float
    interval: Interval | None

    @classmethod
    def of_numbers(cls, moments: Moments, least: float = -math.inf) -> "MeanEstimate":
        """Return the mean of numbers, with Student's interval.

        Args:
            moments: Of the numbers.
            least: What no number can be below, and so no end of the interval.
        """
        mean = moments.mean
        found = mean_interval(mean, moments.variance, moments.samples)
        return cls(moments.samples, mean, None if found is None else (max(found[0], least), found[1]))

    @classmethod
    def of_truths(cls, value: Proportion | PairedDifference) -> "MeanEstimate":
        """Return the mean of truths, 0 to 1, or of their differences, with Wilson's or Newcombe's interval."""
        percent = value.percent if isinstance(value, Proportion) else value.points
        low, high = value.interval
        return cls(value.samples, percent / 100, (low / 100, high / 100))

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0; of a difference: otherwise the samples show none."""
        return self.interval is not None and excludes_zero(self.interval)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for a mean that is not finite."""
        interval = None if self.interval is None else list(self.interval)
        return {"samples": self.samples, "mean": finite_or_none(self.mean), "interval": interval}


@dataclass(frozen=True)
class Perplexity(MeanEstimate):
    """A perplexity: the mean is the geometric one, over tokens, of one over the probability; smaller is better.

    Attributes:
        tokens: How many tokens it is of; samples are sequences.
    """

    tokens: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for a perplexity that is not finite."""
        return {**super().to_json(), "tokens": self.tokens}


@dataclass(frozen=True)
class PerplexityChange:
    """By how much a candidate's perplexity is higher than the reference's, on the same tokens.

    Attributes:
        samples: How many sequences.
        tokens: How many tokens.
        percent: Of the reference's; negative where the candidate is better.
        interval: The 95 % interval of `percent` over sequences; None where they allow none.
    """

    samples: int
    tokens: int
    percent: float
    interval: Interval | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0: otherwise the sequences show no difference."""
        return self.interval is not None and excludes_zero(self.interval)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for a change that is not finite."""
        interval = None if self.interval is None else list(self.interval)
        return {**asdict(self), "percent": finite_or_none(self.percent), "interval": interval}


def excludes_zero(interval: Interval) -> bool:
    """Return whether 0 lies outside."""
    return interval[0] > 0 or interval[1] < 0
