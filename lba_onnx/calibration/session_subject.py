"""An ONNX model as what is calibrated: onnxruntime runs it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.calibration.trial_model import TrialModel
from lba_onnx.data.batch import Batch
from lba_onnx.data.execution import run_batch
from lba_onnx.data.inputs import ModelInput, describe_inputs
from lba_onnx.data.watching import passing
from lba_onnx.evaluation import Comparison, Measured, gather_comparison
from lba_onnx.evaluation.class_outputs import find_class_outputs
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.likeness import Assessment
from lba_onnx.evaluation.user_metric import Metric
from lba_onnx.observation.collection import CollectingSession, collecting_session
from lba_onnx.observation.observer import observing_session
from lba_onnx.session import make_session

if TYPE_CHECKING:
    from lba_onnx.native import Observer


@dataclass(frozen=True)
class SessionSubject:
    """The model, as `subject.Subject` describes it.

    Attributes:
        model: The float32 model, as users give it.
        trial: The same, converted.
        metric: What to judge the output by; None for the likeness to the float32 output.
        providers: onnxruntime's execution providers.
    """

    model: Any
    trial: TrialModel
    metric: Metric | None
    providers: Sequence[str]

    packages = ("lba-onnx", "onnx", "onnxruntime", "numpy")

    @property
    def node_names(self) -> tuple[str, ...]:
        """The nodes that were converted, in the model's order."""
        return self.trial.node_names

    @contextmanager
    def collecting(
        self, sampled_fraction: float, specs: Mapping[str, Accumulator] | None = None
    ) -> "Iterator[SessionCollector]":
        """Open a session whose nodes collect while the block runs."""
        model = self.trial.wide() if specs is None else self.trial.with_specs(specs)
        with collecting_session(model, self.providers, sampled_fraction) as collecting:
            yield SessionCollector(collecting)

    @contextmanager
    def observing(self, observer: "Observer") -> Iterator[Callable[[Batch], object]]:
        """Open a session whose nodes call an observer while the block runs; yields what runs a batch."""
        with observing_session(self.trial.wide(), observer, self.providers) as observing:
            yield lambda batch: observing.run(batch, [])

    def comparing(self, batches: Sequence[Batch]) -> Callable[[Mapping[str, Accumulator]], Comparison]:
        """Return what compares the converted model with accumulators to the one with wide ones."""
        wide = make_session(self.trial.wide(), providers=self.providers)
        measured = Measured(find_class_outputs(self.model), self.metric)

        def compare(specs: Mapping[str, Accumulator]) -> Comparison:
            candidate = make_session(self.trial.with_specs(specs), providers=self.providers)
            return gather_comparison(wide, candidate, passing(batches), measured).result()

        return compare

    def judge(self, batches: Sequence[Batch]) -> "TrialJudge":
        """Return what judges accumulators by the model's output for these samples."""
        judge = Judge(self.model, batches, metric=self.metric, providers=self.providers)
        return TrialJudge(judge, self.trial)


class SessionCollector:
    """A session that collects."""

    def __init__(self, collecting: CollectingSession) -> None:
        self._collecting = collecting
        self.read_statistics = collecting.read_statistics
        self.forget_largest = collecting.forget_largest
        self.restart = collecting.restart

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """The model's inputs."""
        return describe_inputs(self._collecting.session)

    def run(self, batch: Batch) -> None:
        """Run a batch; raises as `run_batch` does."""
        run_batch(self._collecting.session, batch, [])


class TrialJudge:
    """Judges the trial model with any accumulators.

    Attributes:
        unit: What scores count.
    """

    def __init__(self, judge: Judge, trial: TrialModel) -> None:
        self.unit = judge.unit
        self._judge = judge
        self._trial = trial

    def assess(self, specs: Mapping[str, Accumulator]) -> Assessment:
        """Return what the judge says of the model with these accumulators."""
        return self._judge.assess(self._trial.with_specs(specs))
