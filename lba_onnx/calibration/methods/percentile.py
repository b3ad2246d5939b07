"""Method "percentile": the smallest ranges that hold so many percent of the sampled, nonzero products and sums."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import AccumulatorFamily, Exponents
from lba_onnx.calibration.fit import Ranges, fit_nodes, largest_exponents
from lba_onnx.calibration.methods.method import Chosen, Method, Percent, takes
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.seen import DataSeen, Keep
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import Subject

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress


def takes_percentile() -> Any:
    """Return the field of a method that holds so many percent of the values."""
    return takes(Percent(99.99, "Percent of the products and sums that method percentile holds."))


@dataclass(frozen=True)
class Percentile(Method):
    """The largest values, which are rare, may saturate.

    Attributes:
        percentile: Percent of the sampled products and sums that the ranges hold.
    """

    name = "percentile"
    help = "ranges of most"
    keeps = Keep.FEW
    is_for_integers = True

    percentile: float = takes_percentile()

    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Choose by the histograms alone."""
        return Chosen(fit_percentile(seen.ranges, settings, self.percentile))


def fit_percentile(ranges: Ranges, settings: Settings, percentile: float) -> Choice:
    """Return the exponents that hold so many percent of the sampled values of each node."""
    return fit_nodes(ranges, settings, lambda seen: _exponents(seen, settings.family, percentile / 100))


def _exponents(seen: NodeRange, family: AccumulatorFamily, share: float) -> Exponents:
    largest = largest_exponents(seen, family)
    if share == 1:
        return largest
    found = (h.exponent_of_share(share) for h in (seen.products_log2, seen.sums_log2))
    return Exponents(*(e if limit is None else limit for limit, e in zip(found, largest, strict=True)))
