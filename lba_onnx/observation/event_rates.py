"""How often something happens to the values of a node: events of the levels of its accumulator."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.native import LevelStatistics, Statistics


@dataclass(frozen=True)
class EventRates:
    """Shares of a node's values to which something happens, 0 to 1.

    Attributes:
        shares: Names, of a level and an event such as "partial_sum_swamped", to shares; None where nothing was counted.
    """

    shares: Mapping[str, float | None]

    @classmethod
    def counted(cls, spec: "Accumulator", statistics: "Statistics | None") -> "EventRates":
        """Return the rates of all events of an accumulator that a node's statistics hold.

        Zeros cannot be lost: what happens to a product, or to a sum because of the product that is added, is a share of
        the nonzero products. All else is a share of the level's values.
        """
        shares: dict[str, float | None] = dict.fromkeys(event_names(spec))
        if statistics is None or not statistics.levels:
            return cls(shares)
        nonzero = int(statistics.levels[0].log2.sum())
        for index, level in enumerate(statistics.levels):
            for event, count in level.events.items():
                is_of_products = index == 0 or (index == 1 and event == "swamped")
                shares[event_name(level.name, event)] = _share(count, nonzero if is_of_products else level.values)
        return cls(shares)

    @classmethod
    def pooled(cls, statistics: "Statistics") -> "EventRates":
        """Return what happens per value, those of zero among them; of all sums to which it can happen together."""
        products, *sums = statistics.levels
        shares = {event_name("product", event): _pooled([products], event) for event in products.events}
        for event in dict.fromkeys(event for level in sums for event in level.events):
            name = "swamping" if event == "swamped" else event_name("accumulator", event)
            shares[name] = _pooled(sums, event)
        return cls(shares)

    @classmethod
    def by_level(cls, statistics: "Statistics") -> "EventRates":
        """Return what happens per value of each level, those of zero among them."""
        return cls(
            {
                event_name(level.name, event): _share(count, level.values)
                for level in statistics.levels
                for event, count in level.events.items()
            }
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any], names: Iterable[str]) -> "EventRates":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: One of the names is missing, or no share.
        """
        shares = {name: value.get(name) for name in names}
        for name, share in shares.items():
            is_number = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1
            if not (is_number or (share is None and name in value)):
                raise ValueError(f"expected a number from 0 to 1 as {name}, got {share!r}")
        return cls(shares)

    def to_json(self) -> dict[str, Any]:
        """Return the shares as a JSON object."""
        return dict(self.shares)

    def __getitem__(self, name: str) -> float | None:
        """Return one of the shares."""
        return self.shares[name]

    def largest(self, event: str) -> float | None:
        """Return the largest share of an event among the levels; None where it is not counted."""
        found = (share for name, share in self.shares.items() if name.endswith(f"_{event}"))
        return max((share for share in found if share is not None), default=None)


def event_names(spec: "Accumulator") -> tuple[str, ...]:
    """Return the names of all events of an accumulator."""
    return tuple(event_name(*pair) for pair in spec.events)


def event_name(level: str, event: str) -> str:
    """Return the name of an event of a level in tables and files."""
    return f"{level}_{event}"


def _pooled(levels: "Iterable[LevelStatistics]", event: str) -> float | None:
    counts = [(level.events[event], level.values) for level in levels if event in level.events]
    return _share(sum(count for count, _ in counts), sum(values for _, values in counts))


def _share(count: int, of: int) -> float | None:
    return min(count / of, 1.0) if of else None
