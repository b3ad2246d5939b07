"""How many bits the sums of a layer need, in two's complement, and how many their register has.

Results are counted one by one. Of prefix sums statistics tell floor(log2|v|), and v needs two bits more than that, or
one where it is a negative power of two.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.widths import Width

if TYPE_CHECKING:
    from lba_onnx.native import LevelStatistics, Statistics

_SHARES = (100.0, 99.9, 99.0)


@dataclass(frozen=True)
class NeededBits:
    """What the sums of one register need.

    Attributes:
        width: The register.
        most: Bits of the largest sum of all.
        counts: Pairs of bits and how many sums need them, by rising bits: of all results, or of the prefix sums of
            sampled outputs.
    """

    width: Width
    most: int
    counts: tuple[tuple[int, int], ...]

    @property
    def share_beyond(self) -> float:
        """Which share of the sums counted needs more bits than the register has."""
        beyond = sum(count for bits, count in self.counts if bits > self.width.bits)
        return beyond / max(sum(count for _, count in self.counts), 1)

    def least(self, percent: float) -> int:
        """Return with how many bits at least so many percent of the sums fit; of all, `most`."""
        if percent >= 100 or not self.counts:
            return self.most
        allowed = sum(count for _, count in self.counts) * (1 - percent / 100)
        for bits, count in reversed(self.counts):
            allowed -= count
            if allowed < 0:
                return bits
        return self.counts[0][0]

    @property
    def shares(self) -> dict[str, int]:
        """Percentages of the sums to the bits that these need: all, 99.9 % and 99 %."""
        return {f"{percent:g}": self.least(percent) for percent in _SHARES}

    def to_json(self) -> dict[str, Any]:
        """Return the register, the bits that shares of its sums need, and the histogram, as a JSON object."""
        return {**vars(self.width), "needs": self.shares, "histogram": [list(pair) for pair in self.counts]}


def count_bits(results: NDArray[Any]) -> Counter[int]:
    """Return how many results need each number of bits."""
    magnitudes = np.where(results < 0, ~results, results).astype(np.float64)
    counts = np.bincount(np.frexp(magnitudes)[1].ravel() + 1)
    return Counter({int(bits): int(counts[bits]) for bits in counts.nonzero()[0]})


def needed_bits(
    spec: Accumulator, statistics: "Statistics | None", results: Mapping[int, int]
) -> tuple[NeededBits, ...]:
    """Return what the sums of each register of an accumulator of integers need; nothing of one of floats.

    Args:
        spec: The accumulator.
        statistics: What its node collected; None where it did not run.
        results: Bits to how many results need them.
    """
    found = []
    for width in spec.widths:
        if width.is_of_results and results:
            found.append(NeededBits(width, max(results), tuple(sorted(results.items()))))
        elif not width.is_of_results:
            levels = () if statistics is None else statistics.levels  # fewer where a kernel's pairs play no part
            found += [_of_prefixes(width, level) for level in levels if level.name == width.level]
    return tuple(found)


def _of_prefixes(width: Width, level: "LevelStatistics") -> NeededBits:
    from lba_onnx.native import LOG2_OFFSET

    bins = [(int(i) - LOG2_OFFSET + 2, int(level.log2[i])) for i in level.log2.nonzero()[0]]
    zeros = level.values - sum(count for _, count in bins)
    most = int(np.frexp(level.max_abs)[1]) + 1
    return NeededBits(width, most, (*([(1, zeros)] if zeros else []), *bins))
