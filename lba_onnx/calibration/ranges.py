"""What the values of a node were seen to be: the largest of all, and how those of sampled outputs are spread."""

import functools
import math
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lba_onnx.calibration.histogram import Log2Histogram

if TYPE_CHECKING:
    from lba_onnx.native import Statistics

_COUNTS = ("outputs", "sampled_outputs")
_MAX_ABS = "max_abs_"


@dataclass(frozen=True)
class LevelRange:
    """What the values of one level were.

    Attributes:
        name: The level, as in `Accumulator.levels`.
        max_abs: Largest magnitude of an exact product, or of an unquantized sum, of all outputs.
        log2: Histogram of these values of the sampled outputs.
    """

    name: str
    max_abs: float
    log2: Log2Histogram = field(default_factory=Log2Histogram, repr=False)

    def __add__(self, other: "LevelRange") -> "LevelRange":
        """Return what was seen in both."""
        return LevelRange(self.name, max(self.max_abs, other.max_abs), self.log2 + other.log2)


@dataclass(frozen=True)
class NodeRange:
    """What one node computed while the calibration data ran through it; infinite values and NaN do not count.

    Attributes:
        outputs: Output values computed, over all its executions.
        sampled_outputs: Output values whose products and sums the histograms count.
        levels: Products first, the total last.
        depth: Products of a dot product, the most where they differ; 0 where that is not known.
    """

    outputs: int
    sampled_outputs: int
    levels: tuple[LevelRange, ...]
    depth: int = 0

    @classmethod
    def from_statistics(cls, statistics: "Statistics") -> "NodeRange":
        """Keep of a node's statistics what the choice of biases needs."""
        from lba_onnx.native import LOG2_OFFSET

        levels = ((level, Log2Histogram.from_counts(level.log2, LOG2_OFFSET)) for level in statistics.levels)
        kept = tuple(LevelRange(level.name, level.max_abs, counts) for level, counts in levels)
        depth = statistics.levels[0].values // max(statistics.sampled_outputs, 1) if statistics.levels else 0
        return cls(statistics.outputs, statistics.sampled_outputs, kept, depth)

    @classmethod
    def largest_of(cls, statistics: "Statistics") -> "NodeRange":
        """Keep the largest magnitudes alone, without the counts."""
        return cls(0, 0, tuple(LevelRange(level.name, level.max_abs) for level in statistics.levels))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NodeRange":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: An entry is missing, no number of at least 0, or no histogram.
        """
        outputs, sampled_outputs = (_read_number(value, name, int) for name in _COUNTS)
        levels = tuple(_read_level(value, name) for name in _level_names(value))
        return cls(outputs, sampled_outputs, levels, _read_number({"depth": 0, **value}, "depth", int))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; histograms as lists of [log2, count]."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        largest = {f"{_MAX_ABS}{level.name}": level.max_abs for level in self.levels}
        histograms = {_histogram_key(level.name): level.log2.to_json() for level in self.levels}
        return {**counts, **largest, **histograms, "depth": self.depth}

    def __add__(self, other: "NodeRange") -> "NodeRange":
        """Return what was seen in both."""
        levels = tuple(a + b for a, b in zip(self.levels, other.levels, strict=True))
        counts = self.outputs + other.outputs, self.sampled_outputs + other.sampled_outputs
        return NodeRange(*counts, levels, max(self.depth, other.depth))

    @property
    def max_abs_product(self) -> float:
        """Largest magnitude of an exact product."""
        return self.levels[0].max_abs

    @property
    def products_log2(self) -> Log2Histogram:
        """Histogram of the exact products."""
        return self.levels[0].log2

    @property
    def max_abs_sum(self) -> float:
        """Largest magnitude that the accumulator has to hold."""
        return max(level.max_abs for level in self.levels[1:])

    @cached_property
    def sums_log2(self) -> Log2Histogram:
        """Histogram of all that the accumulator has to hold."""
        return functools.reduce(operator.add, (level.log2 for level in self.levels[1:]))


def _level_names(value: Mapping[str, Any]) -> list[str]:
    """Return the names of the levels that a JSON object tells of; there are products and a total in each."""
    found = {name.removeprefix(_MAX_ABS) for name in value if name.startswith(_MAX_ABS)}
    sums = sorted(found - {"product", "total"}, key=lambda name: (len(name), name))  # partial_sum, partial_sum_2
    return ["product", *sums, "total"]


def _read_level(value: Mapping[str, Any], name: str) -> LevelRange:
    largest, key = _read_number(value, f"{_MAX_ABS}{name}", int, float), _histogram_key(name)
    try:
        return LevelRange(name, largest, Log2Histogram.from_json(value.get(key)))
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def _read_number(value: Mapping[str, Any], name: str, *types: type) -> Any:
    number: Any = value.get(name)
    is_number = isinstance(number, types) and not isinstance(number, bool)
    if not (is_number and 0 <= number < math.inf):
        raise ValueError(f"expected a number of at least 0 as {name}, got {number!r}")
    return number


def _histogram_key(level: str) -> str:
    """Return products_log2, partial_sums_log2, partial_sums_2_log2 and so on."""
    return f"{plural(level)}_log2"


def plural(level: str) -> str:
    """Return the name of a level in the plural, such as partial_sums_2."""
    return re.sub(r"(_\d+)?$", r"s\1", level, count=1)


def add_ranges(
    first: Mapping[str, NodeRange | None], second: Mapping[str, NodeRange | None]
) -> dict[str, NodeRange | None]:
    """Return what each node has seen in both parts; None where it ran in neither."""
    pairs = ((name, first.get(name), seen) for name, seen in second.items())
    return {name: a + b if a is not None and b is not None else a or b for name, a, b in pairs}
