"""Whose values are the largest: which batch, or which sample, holds the range of each node, and what all others reach.

The largest values that a node has collected grow until they start afresh: a large one hides those that come after it.
A holder that stands out in many nodes therefore asks for a fresh start; the first one always does: it is the first.

    batches     0     1     2     3 ...
    largest     5  |  2     3     60  |  4      | fresh start
    peak        5     5     5     60     60     of batch 0, then of batch 3
    rest        0     2     3     5      5
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lba_onnx.native import Statistics

FACTOR = 4.0
"""A holder stands out in a node where it is so many times above all others: two binades."""
MANY_NODES = 0.25
"""Share of the nodes in which a holder has to stand out to be worth a word."""

KINDS = ("products", "sums")


@dataclass(frozen=True)
class Peak:
    """The largest magnitude of one kind of values of one node.

    Attributes:
        largest: The magnitude.
        rest: The largest of all other holders; 0 where there is none.
        holder: Who holds it.
    """

    largest: float = 0.0
    rest: float = 0.0
    holder: int = -1

    @property
    def factor(self) -> float:
        """How far it is above all others; 0 where there is nothing to compare it with."""
        return self.largest / self.rest if self.rest > 0 else 0.0


class Peaks:
    """The peaks of all nodes.

    Attributes:
        of_nodes: Names of nodes to their peaks, one for each of KINDS.
        holders: How many have been seen.
    """

    def __init__(self, of_nodes: Mapping[str, tuple[Peak, ...]] | None = None, holders: int = 0) -> None:
        self.of_nodes = dict(of_nodes or {})
        self.holders = holders
        self._since_start: set[int] = set()

    def see(self, holder: int, statistics: "Mapping[str, Statistics | None]") -> bool:
        """Take note of what nodes have collected since the last fresh start, right after a holder ran.

        Returns:
            Whether there has to be a fresh start before the next holder, so that what comes is seen.
        """
        self.holders += 1
        self._since_start.add(holder)
        jumps = 0
        for name, seen in statistics.items():
            if seen is not None:
                products, *sums = (level.max_abs for level in seen.levels)
                values = products, max(sums)
                before = self.of_nodes.get(name, (Peak(),) * len(KINDS))
                after = tuple(self._updated(p, value, holder) for p, value in zip(before, values, strict=True))
                self.of_nodes[name] = after
                jumps += any(p.holder == holder and p.largest >= FACTOR * p.rest for p in after)
        is_fresh = jumps >= MANY_NODES * max(len(self.of_nodes), 1)
        if is_fresh:
            self.start_afresh()
        return is_fresh

    def start_afresh(self) -> None:
        """Note that what nodes collect begins anew."""
        self._since_start.clear()

    def _updated(self, peak: Peak, value: float, holder: int) -> Peak:
        if value > peak.largest:
            return Peak(value, peak.largest, holder)
        if peak.holder in self._since_start:  # the value is the peak itself
            return peak
        return Peak(peak.largest, max(peak.rest, value), peak.holder)

    def suspects(self) -> set[int]:
        """Return the holders that stand out in many nodes; a lone one, of which nothing can be said, too."""
        if self.holders == 1:
            return {peak.holder for peaks in self.of_nodes.values() for peak in peaks if peak.holder >= 0}
        pairs = {(name, p.holder) for name, peaks in self.of_nodes.items() for p in peaks if p.factor >= FACTOR}
        counts = Counter(holder for _, holder in pairs)
        return {holder for holder, count in counts.items() if count >= MANY_NODES * len(self.of_nodes)}

    def of(self, holder: int) -> dict[str, tuple[Peak, ...]]:
        """Return, of each node in which a holder stands out, the peaks; those of others as of nothing."""
        own = {n: tuple(p if p.holder == holder else Peak() for p in peaks) for n, peaks in self.of_nodes.items()}
        return {name: peaks for name, peaks in own.items() if any(peak.factor >= FACTOR for peak in peaks)}

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        nodes = {name: [[p.largest, p.rest, p.holder] for p in peaks] for name, peaks in self.of_nodes.items()}
        return {"holders": self.holders, "nodes": nodes}

    @classmethod
    def from_json(cls, value: Any) -> "Peaks":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: It is none.
        """
        try:
            holders, nodes = int(value["holders"]), dict(value["nodes"])
            return cls({str(name): _read_peaks(peaks) for name, peaks in nodes.items()}, holders)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"peaks: {error!r}") from None


def _read_peaks(values: Any) -> tuple[Peak, ...]:
    peaks = tuple(Peak(float(largest), float(rest), int(holder)) for largest, rest, holder in values)
    if len(peaks) != len(KINDS) or not all(0 <= peak.rest <= peak.largest < math.inf for peak in peaks):
        raise ValueError(f"expected [largest, rest, holder] of {len(KINDS)} kinds, got {values!r:.100}")
    return peaks
