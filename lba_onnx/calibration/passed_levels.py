"""A model that collects, without the levels of its accumulators whose values do not have to fit.

int32x65536/int32-wrap    product, partial_sum (sums on their way), total (results)
of the family int-wrap    product, total
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lba_onnx.arithmetic import AccumulatorFamily
from lba_onnx.calibration.subject import Collector

if TYPE_CHECKING:
    from lba_onnx.data.batch import Batch
    from lba_onnx.data.inputs import ModelInput
    from lba_onnx.native import Statistics


@dataclass(frozen=True)
class PassedLevels:
    """The model, as `subject.Collector` describes it.

    Attributes:
        collector: Runs it.
        family: The accumulators to choose from.
    """

    collector: Collector
    family: AccumulatorFamily

    @property
    def inputs(self) -> "tuple[ModelInput, ...]":
        """What the model is fed."""
        return self.collector.inputs

    def run(self, batch: "Batch") -> None:
        """Run a batch."""
        self.collector.run(batch)

    def forget_largest(self) -> None:
        """Let the largest magnitudes begin anew."""
        self.collector.forget_largest()

    def restart(self) -> None:
        """Forget what was collected."""
        self.collector.restart()

    def read_statistics(self) -> "dict[str, Statistics | None]":
        """Return what each node has seen, without these levels."""
        seen = self.collector.read_statistics()
        return {name: None if found is None else self._held(found) for name, found in seen.items()}

    def _held(self, found: "Statistics") -> "Statistics":
        passed = self.family.passed_levels
        return replace(found, levels=tuple(level for level in found.levels if level.name not in passed))
