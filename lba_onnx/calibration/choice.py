"""The accumulators of all nodes, by the method asked for.

The least error of each layer need not be the least error of the model: mse ends with a look at the model's own output,
on samples kept apart, and is taken only if no plain range does better there. zero_shot looks at nothing else.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration.data_pass import DataSeen
from lba_onnx.calibration.fit import Choice, fit_max, fit_percentile
from lba_onnx.calibration.least_error import fit_errors
from lba_onnx.calibration.search import Scores, search_zero_shot
from lba_onnx.calibration.settings import Settings
from lba_onnx.calibration.trial_model import TrialModel
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.data.execution import Progress
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.user_metric import Metric

Specs = dict[str, AccumulatorSpec]


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
    if settings.method == "max":
        return _specs(fit_max(seen.ranges, settings), settings), None
    if settings.method == "percentile":
        return _specs(fit_percentile(seen.ranges, settings), settings), None
    errors = {}
    if settings.method == "mse":
        start = fit_max(seen.ranges, settings)
        errors = {"mse": fit_errors(trial.wide(), seen.fitted, start, settings, providers, progress)}
    judge = Judge(model, seen.judged, metric=metric, providers=providers)
    scores = Scores(_score_of(judge, trial, fit_max(seen.ranges, settings), settings), settings)
    if settings.method == "mse":
        return _best_of(errors, seen, settings, scores, judge)
    return _searched(seen, settings, scores, judge, progress)


def _score_of(judge: Judge, trial: TrialModel, start: Choice, settings: Settings) -> Callable[[Choice], float]:
    """Return what scores a choice; one that decides worse than the ranges of `max` does scores minus infinity."""
    assessed = judge.assess(trial.with_specs(_specs(start, settings)))

    def score(choice: Choice) -> float:
        found = judge.assess(trial.with_specs(_specs(choice, settings)))
        return -math.inf if found.decides_worse_than(assessed) else found.score

    return score


def _best_of(
    errors: dict[str, Choice], seen: DataSeen, settings: Settings, scores: Scores, judge: Judge
) -> tuple[Specs, Verdict]:
    """Return the best of least errors and plain ranges; of equals the first."""
    choices = {
        **errors,
        "max": fit_max(seen.ranges, settings),
        "percentile": fit_percentile(seen.ranges, settings),
    }
    found = {name: scores.score(choice) for name, choice in choices.items()}
    chosen = max(found, key=lambda name: found[name])
    return _specs(choices[chosen], settings), _verdict(found, chosen, seen, scores, judge)


def _searched(
    seen: DataSeen, settings: Settings, scores: Scores, judge: Judge, progress: Progress | None
) -> tuple[Specs, Verdict]:
    if progress is not None:
        scores.listener = _counted(progress, settings.evaluations + settings.layer_evaluations)
    search_zero_shot(seen.ranges, settings, scores)
    found = {"max": scores.score(fit_max(seen.ranges, settings)), "zero_shot": scores.best_score}
    return _specs(scores.best, settings), _verdict(found, "zero_shot", seen, scores, judge)


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    return lambda done: progress(done, total)


def _verdict(found: dict[str, float], chosen: str, seen: DataSeen, scores: Scores, judge: Judge) -> Verdict:
    samples = sum(batch.samples for batch in seen.judged)
    return Verdict(judge.unit, samples, seen.is_shared, found, chosen, scores.evaluations)


def _specs(choice: Choice, settings: Settings) -> Specs:
    return {name: settings.spec(exponents) for name, exponents in choice.items()}
