"""A model to calibrate, whatever runs it: what calibration asks of onnxruntime and of PyTorch alike."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.data.batch import Batch
    from lba_onnx.data.inputs import ModelInput
    from lba_onnx.evaluation import Comparison
    from lba_onnx.evaluation.likeness import Assessment
    from lba_onnx.native import Observer, Statistics


class Collector(Protocol):
    """The model while its nodes collect statistics."""

    @property
    def inputs(self) -> "tuple[ModelInput, ...]":
        """What the model is fed."""

    def run(self, batch: "Batch") -> None:
        """Run a batch.

        Raises:
            DataError: The model does not run on it.
        """

    def read_statistics(self) -> "dict[str, Statistics | None]":
        """Return what each node has seen since the last restart; None for nodes that never ran."""

    def forget_largest(self) -> None:
        """Let the largest magnitudes begin anew."""

    def restart(self) -> None:
        """Forget what was collected, and where the sampling had come to."""


class OutputJudge(Protocol):
    """Judges accumulators by the output of the model that has them."""

    @property
    def unit(self) -> str:
        """What scores count: "dB", "%" or the name of a metric."""

    def assess(self, specs: "Mapping[str, Accumulator]") -> "Assessment":
        """Return the score of the model with these accumulators, and whether it decides as the reference does."""


class Subject(Protocol):
    """The model. Its accumulators stand for float32 where none are given."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes to choose accumulators for, in the model's order."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of the packages whose versions matter."""

    def collecting(
        self, sampled_fraction: float, specs: "Mapping[str, Accumulator] | None" = None
    ) -> AbstractContextManager[Collector]:
        """Let the nodes collect while a block runs.

        Args:
            sampled_fraction: Share of the rows or output positions that histograms and events are taken from.
            specs: The accumulators; None for those that stand for float32.
        """

    def observing(self, observer: "Observer") -> "AbstractContextManager[Callable[[Batch], object]]":
        """Let the nodes show each of their calls to an observer while a block runs; yields what runs a batch."""

    def comparing(self, batches: "Sequence[Batch]") -> "Callable[[Mapping[str, Accumulator]], Comparison]":
        """Return what compares the model with accumulators to the one whose accumulators stand for float32, or int32.

        Raises:
            ValueError: Nothing compares models of this sort.
        """

    def judge(self, batches: "Sequence[Batch]") -> OutputJudge:
        """Return what judges accumulators by the model's output for these samples."""
