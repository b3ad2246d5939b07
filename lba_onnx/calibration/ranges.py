"""What the values of a node were seen to be: the largest of all, and how those of sampled outputs are spread."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lba_onnx.calibration.histogram import Log2Histogram

if TYPE_CHECKING:
    from lba_onnx.native import Statistics

_NUMBERS = ("outputs", "sampled_outputs", "max_abs_product", "max_abs_partial_sum", "max_abs_total")
_COUNTS = ("outputs", "sampled_outputs")
_HISTOGRAMS = ("products_log2", "partial_sums_log2", "totals_log2")


@dataclass(frozen=True)
class NodeRange:
    """What one node computed while the calibration data ran through it; infinite values and NaN do not count.

    Attributes:
        outputs: Output values computed, over all its executions.
        sampled_outputs: Output values whose products and sums the histograms count.
        max_abs_product: Largest magnitude of an exact product, of all outputs.
        max_abs_partial_sum: Largest magnitude of a prefix sum inside a chunk, of all outputs.
        max_abs_total: Largest magnitude of a running total across chunks, of all outputs.
        products_log2: Histogram of the exact products of the sampled outputs.
        partial_sums_log2: The same of the prefix sums.
        totals_log2: The same of the running totals.
    """

    outputs: int
    sampled_outputs: int
    max_abs_product: float
    max_abs_partial_sum: float
    max_abs_total: float
    products_log2: Log2Histogram = field(default_factory=Log2Histogram, repr=False)
    partial_sums_log2: Log2Histogram = field(default_factory=Log2Histogram, repr=False)
    totals_log2: Log2Histogram = field(default_factory=Log2Histogram, repr=False)

    @classmethod
    def from_statistics(cls, statistics: "Statistics") -> "NodeRange":
        """Keep of a node's statistics what the choice of biases needs."""
        from lba_onnx.native import LOG2_OFFSET

        numbers = {name: getattr(statistics, name) for name in _NUMBERS}
        counts = {name: Log2Histogram.from_counts(getattr(statistics, name), LOG2_OFFSET) for name in _HISTOGRAMS}
        return cls(**numbers, **counts)  # type: ignore[arg-type]

    @classmethod
    def largest_of(cls, statistics: "Statistics") -> "NodeRange":
        """Keep the largest magnitudes alone, without the counts."""
        return cls(0, 0, *(getattr(statistics, name) for name in _NUMBERS if name not in _COUNTS))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NodeRange":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: An entry is missing, no number of at least 0, or no histogram.
        """
        numbers = {name: value.get(name) for name in _NUMBERS}
        for name, number in numbers.items():
            types = int if name in _COUNTS else (int, float)
            if not isinstance(number, types) or isinstance(number, bool) or not 0 <= number < math.inf:
                raise ValueError(f"expected a number of at least 0 as {name}, got {number!r}")
        counts = {}
        for name in _HISTOGRAMS:
            try:
                counts[name] = Log2Histogram.from_json(value.get(name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return cls(**numbers, **counts)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; histograms as lists of [log2, count]."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**numbers, **{name: getattr(self, name).to_json() for name in _HISTOGRAMS}}

    def __add__(self, other: "NodeRange") -> "NodeRange":
        """Return what was seen in both."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in (*_COUNTS, *_HISTOGRAMS)}
        largest = (name for name in _NUMBERS if name not in _COUNTS)
        return NodeRange(**counts, **{name: max(getattr(self, name), getattr(other, name)) for name in largest})

    @property
    def max_abs_sum(self) -> float:
        """Largest magnitude that the accumulator has to hold."""
        return max(self.max_abs_partial_sum, self.max_abs_total)

    @cached_property
    def sums_log2(self) -> Log2Histogram:
        """Histogram of all that the accumulator has to hold."""
        return self.partial_sums_log2 + self.totals_log2


def add_ranges(
    first: Mapping[str, NodeRange | None], second: Mapping[str, NodeRange | None]
) -> dict[str, NodeRange | None]:
    """Return what each node has seen in both parts; None where it ran in neither."""
    pairs = ((name, first.get(name), seen) for name, seen in second.items())
    return {name: a + b if a is not None and b is not None else a or b for name, a, b in pairs}
