"""How many values lie in each binade.

A format whose largest exponent is e holds the binade of 2^e in full, although its max_value lies 2^-(m+1) of the binade
below its end: what saturates there becomes max_value, and truncation to m bits would give the same. So whether values
are lost depends on their binade alone, and histograms of binades lose nothing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MEAN_OF_BINADE = 1.5
_MOST_BINADES = 1000  # on either side of 1; float64 has about so many


@dataclass(frozen=True)
class Log2Histogram:
    """Counts of nonzero, finite values by floor(log2|value|).

    Attributes:
        bins: Pairs (log2, count), by rising log2; counts of zero are left out.
    """

    bins: tuple[tuple[int, int], ...] = ()

    @classmethod
    def from_counts(cls, counts: "NDArray[np.int64]", offset: int) -> "Log2Histogram":
        """Read counts whose entry i is that of log2 = i - offset."""
        return cls(tuple((int(i) - offset, int(counts[i])) for i in counts.nonzero()[0]))

    @classmethod
    def from_json(cls, value: object) -> "Log2Histogram":
        """Read the list that `to_json` returns.

        Raises:
            ValueError: It is none.
        """
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        if not (is_list and all(_is_bin(pair) for pair in value)):  # type: ignore[attr-defined]
            raise ValueError(f"expected a list of pairs [log2, count], got {value!r:.100}")
        return cls.of((log2, count) for log2, count in value)  # type: ignore[attr-defined]

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> "Log2Histogram":
        """Add up pairs (log2, count) in any order."""
        counts: Counter[int] = Counter()
        for log2, count in pairs:
            counts[log2] += count
        return cls(tuple(sorted(counts.items())))

    def __add__(self, other: "Log2Histogram") -> "Log2Histogram":
        return self.of(self.bins + other.bins)

    def to_json(self) -> list[list[int]]:
        """Return the bins as a list of lists."""
        return [list(pair) for pair in self.bins]

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(count for _, count in self.bins)

    @property
    def magnitude(self) -> float:
        """Sum of the magnitudes, each taken as the middle of its binade."""
        return sum(_magnitude(log2) * count for log2, count in self.bins)

    def share_above(self, exponent: int) -> float:
        """Return which share of the values lies above the binade of 2^exponent; 0 where there are none."""
        return sum(count for log2, count in self.bins if log2 > exponent) / max(self.count, 1)

    def share_below(self, exponent: int) -> float:
        """Return which share of the values lies below 2^exponent; 0 where there are none."""
        return sum(count for log2, count in self.bins if log2 < exponent) / max(self.count, 1)

    def exponent_of_share(self, share: float) -> int | None:
        """Return the lowest binade that at least this share of the values reaches at most; None without values."""
        remaining = self.count * (1 - share) * (1 + 1e-12)
        for log2, count in reversed(self.bins):
            remaining -= count
            if remaining < 0:
                return log2
        return self.bins[0][0] if self.bins else None

    def lost_above(self, exponent: int) -> float:
        """Return which share of the sum of magnitudes is cut off where the largest exponent is this one."""
        kept = _magnitude(exponent + 1) / _MEAN_OF_BINADE
        cut = sum((_magnitude(log2) - kept) * count for log2, count in self.bins if log2 > exponent)
        return cut / self.magnitude if self.bins else 0.0

    def lost_below(self, exponent: int) -> float:
        """Return which share of the sum of magnitudes the values below 2^exponent make."""
        cut = sum(_magnitude(log2) * count for log2, count in self.bins if log2 < exponent)
        return cut / self.magnitude if self.bins else 0.0


def _magnitude(log2: int) -> float:
    return _MEAN_OF_BINADE * 2.0**log2


def _is_bin(pair: object) -> bool:
    if not (isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2):
        return False
    is_whole = all(isinstance(number, int) and not isinstance(number, bool) for number in pair)
    return is_whole and abs(pair[0]) <= _MOST_BINADES and pair[1] > 0
