"""How often something goes wrong in each node of a converted model, counted on a sample of its outputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lba_onnx.native import Statistics


@dataclass(frozen=True)
class EventRates:
    """Events per value, 0 to 1; products of zero and additions of zero count among the values.

    Attributes:
        product_overflow: Products whose exact magnitude is max_value or more.
        product_underflow: Nonzero products that became zero.
        accumulator_overflow: Sums whose exact magnitude is max_value or more: in chunks, and totals.
        accumulator_underflow: Nonzero sums that became zero.
        swamping: Additions in which a nonzero addend left the sum unchanged, without overflow.
    """

    product_overflow: float
    product_underflow: float
    accumulator_overflow: float
    accumulator_underflow: float
    swamping: float

    @classmethod
    def of(cls, statistics: "Statistics | None") -> "EventRates | None":
        """Return the rates that a node's statistics hold; None where nothing was multiplied."""
        if statistics is None or not statistics.products.values:
            return None
        products, sums = statistics.products, (statistics.partial_sums, statistics.totals)
        additions = sum(events.values for events in sums)
        return cls(
            product_overflow=products.overflows / products.values,
            product_underflow=products.underflows / products.values,
            accumulator_overflow=sum(events.overflows for events in sums) / additions,
            accumulator_underflow=sum(events.underflows for events in sums) / additions,
            swamping=sum(events.swamped for events in sums) / additions,
        )
