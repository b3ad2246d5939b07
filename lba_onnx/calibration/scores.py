"""Scores of choices by the output of the model that has them."""

import math
from collections.abc import Callable

from lba_onnx.calibration.seen import Kept
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import OutputJudge
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.data.watching import enter_phase


class Scores:
    """The scores of choices, each computed once.

    Attributes:
        evaluations: How many were computed.
        best: The choice with the highest score, the first of equals.
        best_score: Its score.
        listener: Called with the number of evaluations after each; None for nobody.
    """

    def __init__(self, score_of: Callable[[Choice], float], settings: Settings, unit: str = "") -> None:
        """Start with none.

        Args:
            score_of: Evaluates a choice, larger is better.
            settings: Choices that these settings turn into the same specs are the same.
            unit: What scores count.
        """
        self.evaluations = 0
        self.best: Choice = {}
        self.best_score = -math.inf
        self.listener: Callable[[int], None] | None = None
        self._score_of = score_of
        self._settings = settings
        self._unit = unit
        self._known: dict[tuple[str, ...], float] = {}

    def score(self, choice: Choice) -> float:
        """Return the score of a choice."""
        key = self._key(choice)
        if key in self._known:
            return self._known[key]
        score = self._known[key] = self._score_of(choice)
        self.evaluations += 1
        if not self.best or score > self.best_score:
            self.best, self.best_score = choice, score
        if self.listener is not None:
            self.listener(self.evaluations)
        return score

    def known(self, choice: Choice) -> float:
        """Return the score of a choice that has been scored; minus infinity for others."""
        return self._known.get(self._key(choice), -math.inf)

    def verdict(self, found: dict[str, float], chosen: str, kept: Kept) -> Verdict:
        """Return how choices fared.

        Args:
            found: Their names and scores.
            chosen: The name of the one taken.
            kept: Holds the samples that they were judged by.
        """
        samples = sum(batch.samples for batch in kept.judged)
        return Verdict(self._unit, samples, kept.is_shared, found, chosen, self.evaluations)

    def _key(self, choice: Choice) -> tuple[str, ...]:
        return tuple(str(spec) for spec in self._settings.specs(choice).values())


def judged_scores(judge: OutputJudge, baseline: Choice, settings: Settings) -> Scores:
    """Return scores by the model's output; a choice that decides worse than the baseline scores minus infinity."""
    enter_phase("judging", unit="")
    assessed = judge.assess(settings.specs(baseline))

    def score(choice: Choice) -> float:
        found = judge.assess(settings.specs(choice))
        return -math.inf if found.decides_worse_than(assessed) else found.score

    return Scores(score, settings, judge.unit)
