"""Method "max": the smallest ranges that hold the largest product and the largest sum of all outputs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lba_onnx.calibration.fit import Ranges, fit_nodes, largest_exponents
from lba_onnx.calibration.methods.method import Chosen, Method
from lba_onnx.calibration.seen import DataSeen, Keep
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import Subject

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress


@dataclass(frozen=True)
class Max(Method):
    """Nothing that was seen overflows."""

    name = "max"
    help = "ranges of all values"
    keeps = Keep.FEW
    is_for_integers = True

    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Choose by the ranges alone."""
        return Chosen(fit_max(seen.ranges, settings))


def fit_max(ranges: Ranges, settings: Settings) -> Choice:
    """Return the exponents that hold the largest values of each node."""
    return fit_nodes(ranges, settings, lambda seen: largest_exponents(seen, settings.family))
