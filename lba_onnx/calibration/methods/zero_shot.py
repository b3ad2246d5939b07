"""Method "zero_shot": a search by the model's own output.

    1. the starting points: ranges that hold the largest values, per node and one for all; ranges that hold most values
    2. from the better of the first two, with half of the evaluations, then from the other: all nodes together, both
       formats, products or accumulators by one binade, while one is better
    3. if asked: node after node, the same moves of that node alone, round after round

Every step costs one evaluation of the model on a few samples; the numbers of evaluations are bounded. What was
evaluated once is remembered. Of equal scores the first counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import Exponents
from lba_onnx.calibration.fit import Ranges
from lba_onnx.calibration.methods.max import Max, fit_max
from lba_onnx.calibration.methods.method import Chosen, Count, Method, takes
from lba_onnx.calibration.methods.percentile import fit_percentile, takes_percentile
from lba_onnx.calibration.scores import Scores, judged_scores
from lba_onnx.calibration.seen import DataSeen, Keep
from lba_onnx.calibration.settings import Choice, Settings
from lba_onnx.calibration.subject import Subject
from lba_onnx.data.watching import enter_phase

if TYPE_CHECKING:
    from lba_onnx.data.execution import Progress

_BOTH, _PRODUCT, _ACCUMULATOR = (1, 1), (1, 0), (0, 1)
_EVALUATIONS = Count(20, "Evaluations of the model that method zero_shot spends on changes to all layers at once.")
_LAYER_EVALUATIONS = Count(0, "Further ones that it spends on changes to single layers.", least=0)


@dataclass(frozen=True)
class ZeroShot(Method):
    """Looks at nothing but the model's output.

    Attributes:
        percentile: Percent of the values that the ranges of one starting point hold.
        evaluations: Most evaluations of the model that it spends on a common change of all biases.
        layer_evaluations: Further ones that it spends on changes to single nodes.
    """

    name = "zero_shot"
    help = "a search by the model's output"
    keeps = Keep.SPREAD

    percentile: float = takes_percentile()
    evaluations: int = takes(_EVALUATIONS)
    layer_evaluations: int = takes(_LAYER_EVALUATIONS)

    def __post_init__(self) -> None:
        """Check the fields; changes to single nodes are refused where all have the same biases."""
        super().__post_init__()
        if self.layer_evaluations and self.granularity == "model":
            raise ValueError("expected granularity 'layer' to go with layer_evaluations, got 'model'")

    def to_json(self) -> dict[str, Any]:
        """Return the budgets; a starting point is no part of what the result is described by."""
        return {name: value for name, value in super().to_json().items() if name != "percentile"}

    def choose(self, seen: DataSeen, subject: Subject, settings: Settings, progress: "Progress | None") -> Chosen:
        """Return the best of all that was evaluated."""
        largest = fit_max(seen.ranges, settings)
        scores = judged_scores(subject.judge(seen.kept.judged), largest, settings)
        total = self.evaluations + self.layer_evaluations
        if progress is not None:
            scores.listener = lambda done: progress(done, total)
        enter_phase("search", "evaluations", total)
        self.search(seen.ranges, settings, scores)
        found = {Max.name: scores.score(largest), self.name: scores.best_score}
        return Chosen(scores.best, scores.verdict(found, self.name, seen.kept))

    def search(self, ranges: Ranges, settings: Settings, scores: Scores) -> None:
        """Search for the best exponents; `scores` holds them afterwards.

        Args:
            ranges: What each node has seen.
            settings: Granularity and tie.
            scores: Where choices are evaluated; choices scored before count as starting points too.
        """
        budget = Budget(scores, scores.evaluations + self.evaluations)
        starts = self._starts(ranges, settings)
        for start in starts:
            if budget.is_left:
                scores.score(start)
        better, other = sorted(starts[:2], key=scores.known, reverse=True)
        half = (scores.evaluations + budget.evaluations) // 2
        _climb(scores, better, None, settings, Budget(scores, half))
        _climb(scores, other, None, settings, budget)
        _climb_nodes(scores, list(ranges), settings, Budget(scores, scores.evaluations + self.layer_evaluations))

    def _starts(self, ranges: Ranges, settings: Settings) -> list[Choice]:
        most = fit_percentile(ranges, settings, self.percentile)
        if settings.granularity == "model":
            return [fit_max(ranges, settings), most]
        return [fit_max(ranges, settings), fit_max(ranges, replace(settings, granularity="model")), most]


@dataclass(frozen=True)
class Budget:
    """Lets a search go on until a number of evaluations is reached."""

    scores: Scores
    evaluations: int

    @property
    def is_left(self) -> bool:
        """Whether another evaluation is within the budget."""
        return self.scores.evaluations < self.evaluations


def _climb_nodes(scores: Scores, names: list[str], settings: Settings, budget: Budget) -> None:
    """Move node after node, round after round, as long as one helps."""
    before: Choice | None = None
    while scores.best is not before and budget.is_left:
        before = scores.best
        for name in names:
            _climb(scores, scores.best, name, settings, budget)


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
