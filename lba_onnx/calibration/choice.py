"""The accumulators of all nodes of an ONNX model: onnxruntime runs what `decision` asks for."""

from collections.abc import Sequence
from typing import Any

from lba_onnx.calibration.data_pass import DataSeen
from lba_onnx.calibration.decision import Specs, decide
from lba_onnx.calibration.least_error import fit_errors
from lba_onnx.calibration.settings import Settings
from lba_onnx.calibration.trial_model import TrialModel
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.data.execution import Progress
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.likeness import Assessment
from lba_onnx.evaluation.user_metric import Metric


class _TrialJudge:
    """Judges the trial model with any accumulators.

    Attributes:
        unit: What scores count.
    """

    def __init__(self, judge: Judge, trial: TrialModel) -> None:
        self.unit = judge.unit
        self._judge = judge
        self._trial = trial

    def assess(self, specs: Specs) -> Assessment:
        """Return what the judge says of the model with these accumulators."""
        return self._judge.assess(self._trial.with_specs(specs))


def choose(
    model: Any,
    trial: TrialModel,
    seen: DataSeen,
    settings: Settings,
    metric: Metric | None,
    providers: Sequence[str],
    progress: Progress | None,
) -> tuple[Specs, Verdict | None]:
    """Return the accumulator of each node, and for methods that look at it, how the model's output fared.

    Args:
        model: The float32 model.
        trial: The same, converted.
        seen: What the data pass left.
        settings: The method and its settings.
        metric: What to judge the output by; None for the likeness to the float32 output.
        providers: onnxruntime's execution providers.
        progress: Called with what is done and what there is to do, in samples or evaluations.
    """
    return decide(
        seen,
        settings,
        lambda start: fit_errors(trial.wide(), seen.fitted, start, settings, providers, progress),
        lambda: _TrialJudge(Judge(model, seen.judged, metric=metric, providers=providers), trial),
        progress,
    )
