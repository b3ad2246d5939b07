"""What becomes of a node's values at the biases that were chosen.

Overflow and underflow are read from the histograms of the data pass. Swamping depends on the order of the values: it is
counted while the model runs a few samples with the accumulators chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic.accumulator import HeldRange
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.settings import Specs
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.watching import enter_phase, passing

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.data.batch import Batch
    from lba_onnx.native import Statistics

_EVENTS_SAMPLED_FRACTION = 1 / 256
"""Share of the rows or positions that events are counted on."""

_NAMES = (
    "product_overflow",
    "product_underflow",
    "partial_sum_overflow",
    "partial_sum_underflow",
    "total_overflow",
    "total_underflow",
    "partial_sum_swamped",
    "total_swamped",
)


@dataclass(frozen=True)
class EventRates:
    """Shares of a node's values to which something happens, 0 to 1.

    Attributes:
        product_overflow: Of the nonzero exact products, those above the binades of the product format.
        product_underflow: Of the same, those below.
        partial_sum_overflow: The same of prefix sums and the accumulator format.
        partial_sum_underflow: Likewise.
        total_overflow: The same of running totals.
        total_underflow: Likewise.
        partial_sum_swamped: Of the nonzero products, those that left the partial sum as it was; None where not counted.
        total_swamped: Of the chunks' sums, those that were not zero and left the total as it was.
    """

    product_overflow: float
    product_underflow: float
    partial_sum_overflow: float
    partial_sum_underflow: float
    total_overflow: float
    total_underflow: float
    partial_sum_swamped: float | None = None
    total_swamped: float | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "EventRates":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: An entry is missing, or no share.
        """
        rates = {name: value.get(name) for name in _NAMES}
        for name, rate in rates.items():
            is_number = isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 <= rate <= 1
            if not (is_number or (rate is None and name.endswith("swamped"))):
                raise ValueError(f"expected a number from 0 to 1 as {name}, got {rate!r}")
        return cls(**rates)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {name: getattr(self, name) for name in _NAMES}


def rates_of(seen: NodeRange, spec: "Accumulator", statistics: "Statistics | None") -> EventRates:
    """Return the rates of one node.

    Args:
        seen: What the data pass saw.
        spec: The accumulator chosen.
        statistics: Those of a run with the accumulators chosen; None where the node did not run.
    """
    product, accumulator = spec.ranges
    swamped = (None, None) if statistics is None else _swamped(statistics)
    return EventRates(
        *_shares(seen.products_log2, product),
        *_shares(seen.partial_sums_log2, accumulator),
        *_shares(seen.totals_log2, accumulator),
        *swamped,
    )


def count_events(subject: Subject, specs: Specs, batches: "Sequence[Batch]") -> "dict[str, Statistics | None]":
    """Run a model with the accumulators chosen, and return each node's statistics."""
    enter_phase("events", unit="")
    with subject.collecting(_EVENTS_SAMPLED_FRACTION, specs) as collector:
        for batch in passing(batches):
            collector.run(batch)
        return collector.read_statistics()


def _shares(values: Log2Histogram, held: HeldRange) -> tuple[float, float]:
    return values.share_above(held.max_exponent), values.share_below(held.min_exponent)


def _swamped(statistics: "Statistics") -> tuple[float, float]:
    products, sums = int(statistics.products_log2.sum()), statistics.totals.values
    pairs = (statistics.partial_sums.swamped, products), (statistics.totals.swamped, sums)
    partial_sums, totals = (min(swamped / max(count, 1), 1.0) for swamped, count in pairs)
    return partial_sums, totals
