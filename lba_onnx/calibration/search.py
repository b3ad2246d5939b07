"""Method "zero_shot": a search by the model's own output.

    1. the starting points: ranges that hold the largest values, per node and one for all; ranges that hold most values
    2. from the better of the first two, with half of the evaluations, then from the other: all nodes together, both
       formats, products or accumulators by one binade, while one is better
    3. if asked: node after node, the same moves of that node alone, round after round

Every step costs one evaluation of the model on a few samples; the numbers of evaluations are bounded. What was
evaluated once is remembered. Of equal scores the first counts.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from lba_onnx.calibration.fit import Choice, Ranges, fit_max, fit_percentile
from lba_onnx.calibration.settings import Exponents, Settings

_BOTH, _PRODUCT, _ACCUMULATOR = (1, 1), (1, 0), (0, 1)


class Scores:
    """The scores of choices, each computed once.

    Attributes:
        evaluations: How many were computed.
        best: The choice with the highest score, the first of equals.
        best_score: Its score.
        listener: Called with the number of evaluations after each; None for nobody.
    """

    def __init__(self, score_of: Callable[[Choice], float], settings: Settings) -> None:
        """Start with none.

        Args:
            score_of: Evaluates a choice, larger is better.
            settings: Choices that these settings turn into the same specs are the same.
        """
        self.evaluations = 0
        self.best: Choice = {}
        self.best_score = -math.inf
        self.listener: Callable[[int], None] | None = None
        self._score_of = score_of
        self._settings = settings
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

    def _key(self, choice: Choice) -> tuple[str, ...]:
        return tuple(str(self._settings.spec(exponents)) for exponents in choice.values())


@dataclass(frozen=True)
class Budget:
    """Lets a search go on until a number of evaluations is reached."""

    scores: Scores
    evaluations: int

    @property
    def is_left(self) -> bool:
        """Whether another evaluation is within the budget."""
        return self.scores.evaluations < self.evaluations


def search_zero_shot(ranges: Ranges, settings: Settings, scores: Scores) -> None:
    """Search for the best exponents by the model's output; `scores` holds them afterwards.

    Args:
        ranges: What each node has seen.
        settings: Granularity, tie and budgets.
        scores: Where choices are evaluated; choices scored before count as starting points too.
    """
    budget = Budget(scores, scores.evaluations + settings.evaluations)
    starts = _starts(ranges, settings)
    for start in starts:
        if budget.is_left:
            scores.score(start)
    better, other = sorted(starts[:2], key=scores.known, reverse=True)
    half = (scores.evaluations + budget.evaluations) // 2
    _climb(scores, better, None, settings, Budget(scores, half))
    _climb(scores, other, None, settings, budget)
    layer_budget = Budget(scores, scores.evaluations + settings.layer_evaluations)
    before: Choice | None = None
    while scores.best is not before and layer_budget.is_left:
        before = scores.best
        for name in ranges:
            _climb(scores, scores.best, name, settings, layer_budget)


def _starts(ranges: Ranges, settings: Settings) -> list[Choice]:
    if settings.granularity == "model":
        return [fit_max(ranges, settings), fit_percentile(ranges, settings)]
    of_model = replace(settings, granularity="model", layer_evaluations=0)
    return [fit_max(ranges, settings), fit_max(ranges, of_model), fit_percentile(ranges, settings)]


def _climb(scores: Scores, start: Choice, node: str | None, settings: Settings, budget: Budget) -> None:
    """Move one node, or all, by single binades as long as that helps."""
    best = start
    directions = _directions(settings)
    while budget.is_left:
        for move in directions:
            choice = _moved(best, best if node is None else [node], move, settings)
            if budget.is_left and scores.score(choice) > scores.score(best):
                best, directions = choice, _directions_from(move, settings)
                break
        else:
            return


def _directions(settings: Settings) -> list[tuple[int, int]]:
    kinds = [_BOTH] if settings.is_tied else [_ACCUMULATOR, _PRODUCT, _BOTH]
    return [(sign * product, sign * accumulator) for sign in (1, -1) for product, accumulator in kinds]


def _directions_from(last: tuple[int, int], settings: Settings) -> list[tuple[int, int]]:
    """Return all directions, the one that has just helped first, the way back last."""
    back = (-last[0], -last[1])
    others = [direction for direction in _directions(settings) if direction not in (last, back)]
    return [last, *others, back]


def _moved(choice: Mapping[str, Exponents], nodes: Iterable[str], move: tuple[int, int], settings: Settings) -> Choice:
    moved = {name: settings.apply_tie(choice[name].moved(*move)) for name in nodes}
    return {**choice, **moved}
