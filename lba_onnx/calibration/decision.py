"""The accumulators of all nodes, by the method asked for, whatever runs the model.

The least error of each layer need not be the least error of the model: mse ends with a look at the model's own output,
on samples kept apart, and is taken only if no plain range does better there. zero_shot looks at nothing else.
"""

import math
from collections.abc import Callable
from typing import Protocol

from lba_onnx.arithmetic import Accumulator
from lba_onnx.calibration.data_pass import DataSeen
from lba_onnx.calibration.fit import Choice, fit_max, fit_percentile
from lba_onnx.calibration.search import Scores, search_zero_shot
from lba_onnx.calibration.settings import Settings
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.data.execution import Progress
from lba_onnx.data.watching import enter_phase, steps
from lba_onnx.evaluation.likeness import Assessment

Specs = dict[str, Accumulator]


class OutputJudge(Protocol):
    """Judges accumulators by the output of the model that has them."""

    @property
    def unit(self) -> str:
        """What scores count: "dB", "%" or the name of a metric."""

    def assess(self, specs: Specs) -> Assessment:
        """Return the score of the model with these accumulators, and whether it decides as the reference does."""


def decide(
    seen: DataSeen,
    settings: Settings,
    fit_errors: Callable[[Choice], Choice],
    open_judge: Callable[[], OutputJudge],
    progress: Progress | None,
) -> tuple[Specs, Verdict | None]:
    """Return the accumulator of each node, and for methods that look at it, how the model's output fared.

    Args:
        seen: What the data pass left.
        settings: The method and its settings.
        fit_errors: Returns the exponents of least error, given those that hold the largest values; for "mse".
        open_judge: Prepares to judge by the samples kept for that; for "mse" and "zero_shot".
        progress: Called with the evaluations done and to be done.
    """
    if settings.method == "max":
        return _specs(fit_max(seen.ranges, settings), settings), None
    if settings.method == "percentile":
        return _specs(fit_percentile(seen.ranges, settings), settings), None
    start = fit_max(seen.ranges, settings)
    errors = {"mse": fit_errors(start)} if settings.method == "mse" else {}
    judge = open_judge()
    scores = Scores(_score_of(judge, start, settings), settings)
    if settings.method == "mse":
        return _best_of(errors, seen, settings, scores, judge.unit)
    return _searched(seen, settings, scores, judge.unit, progress)


def _score_of(judge: OutputJudge, start: Choice, settings: Settings) -> Callable[[Choice], float]:
    """Return what scores a choice; one that decides worse than the ranges of `max` does scores minus infinity."""
    enter_phase("judging", unit="")
    assessed = judge.assess(_specs(start, settings))

    def score(choice: Choice) -> float:
        found = judge.assess(_specs(choice, settings))
        return -math.inf if found.decides_worse_than(assessed) else found.score

    return score


def _best_of(
    errors: dict[str, Choice], seen: DataSeen, settings: Settings, scores: Scores, unit: str
) -> tuple[Specs, Verdict]:
    """Return the best of least errors and plain ranges; of equals the first."""
    choices = {
        **errors,
        "max": fit_max(seen.ranges, settings),
        "percentile": fit_percentile(seen.ranges, settings),
    }
    enter_phase("judging", unit="")
    found = {name: scores.score(choices[name]) for name in steps(list(choices))}
    chosen = max(found, key=lambda name: found[name])
    return _specs(choices[chosen], settings), _verdict(found, chosen, seen, scores, unit)


def _searched(
    seen: DataSeen, settings: Settings, scores: Scores, unit: str, progress: Progress | None
) -> tuple[Specs, Verdict]:
    total = settings.evaluations + settings.layer_evaluations
    if progress is not None:
        scores.listener = _counted(progress, total)
    enter_phase("search", "evaluations", total)
    search_zero_shot(seen.ranges, settings, scores)
    found = {"max": scores.score(fit_max(seen.ranges, settings)), "zero_shot": scores.best_score}
    return _specs(scores.best, settings), _verdict(found, "zero_shot", seen, scores, unit)


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    return lambda done: progress(done, total)


def _verdict(found: dict[str, float], chosen: str, seen: DataSeen, scores: Scores, unit: str) -> Verdict:
    samples = sum(batch.samples for batch in seen.judged)
    return Verdict(unit, samples, seen.is_shared, found, chosen, scores.evaluations)


def _specs(choice: Choice, settings: Settings) -> Specs:
    return {name: settings.spec(exponents) for name, exponents in choice.items()}
