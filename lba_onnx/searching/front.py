"""Points: what is chosen within a budget or a loss, tried as a whole, and held against uniform choices.

the solver's solution                        its loss, measured, against the sum of its products' losses
additivity fails, or a uniform choice of no more cost is better      ->   neighbours of the better one are tried
the least measured loss is the point, unless a uniform choice is about as good: of that, paired losses tell
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lba_onnx.data.watching import enter_phase
from lba_onnx.evaluation import MeanEstimate
from lba_onnx.evaluation.sums import Moments
from lba_onnx.searching.loss import Losses
from lba_onnx.searching.plan import Plan, spread_budgets
from lba_onnx.searching.problem import BudgetError, Solution, Solver, neighbours
from lba_onnx.searching.search_result import Against, SearchPoint
from lba_onnx.searching.trials import Checked, Trial, Trials

NEIGHBOURS = 2
"""How many neighbours are tried where additivity fails."""
MOST_OVER_PREDICTED = 1.5
"""How many times the predicted loss a measured one may be."""
_TIGHTENINGS = 6
_NEAR = 0.9  # of the loss that is granted: near enough


@dataclass(frozen=True)
class Explored:
    """All that was tried.

    Attributes:
        points: What was chosen, from the cheapest on, each once.
        uniform: The uniform choices.
    """

    points: tuple[SearchPoint, ...]
    uniform: tuple[SearchPoint, ...]


@dataclass(frozen=True)
class Found:
    """What was chosen.

    Attributes:
        solution: The choices.
        budget: What it may cost; None where a loss is granted.
        granted_loss: The loss that is granted; None where there is a budget.
        tried: How many models were tried for it.
        rival: The uniform choice to hold it against; None where none is within the budget or the loss.
    """

    solution: Solution
    budget: float | None
    granted_loss: float | None
    tried: int
    rival: str | None


class Explorer:
    """Finds points.

    Attributes:
        plan: What there is to choose.
        uniform: The uniform solutions by their choice.
    """

    def __init__(self, plan: Plan, trials: Trials, solver: Solver) -> None:
        self.plan, self.uniform = plan, plan.uniform()
        self._trials, self._solver = trials, solver
        self._tried: dict[Solution, None] = {}

    def explore(self, budgets: Sequence[float | str], losses: Sequence[float | str], points: int) -> Explored:
        """Return a point for each budget and each loss; where there are neither, a front of so many points.

        Raises:
            BudgetError: Nothing fits one of them.
            ValueError: One is not as described.
        """
        limits = [self._budget(budget) for budget in budgets]
        if not budgets and not losses:
            limits = spread_budgets(self.plan, tuple(self.uniform.values()), points)
        enter_phase("models", "models")
        for _ in range(2):  # the second time from all models that were tried, whatever for
            found = [*map(self.within_budget, limits), *(self.within_loss(self._granted(loss)) for loss in losses)]
        if not budgets and not losses:
            found = list({each.solution: each for each in reversed(found)}.values())
        uniform = [Found(solution, None, None, 1, None) for solution in self.uniform.values()]
        checked = {each.solution: self.check(each.solution) for each in (*found, *uniform)}
        others = [describe(self, each, checked) for each in uniform]
        ordered = sorted((describe(self, each, checked) for each in found), key=lambda point: point.cost)
        return Explored(tuple(mark_front(ordered, others)), tuple(mark_front(others, ordered)))

    def _budget(self, budget: float | str) -> float:
        """Return what a model may cost: a number, a share of float32 such as "40%", or what a uniform choice costs."""
        if budget in self.uniform:
            return self.plan.cost(self.uniform[str(budget)])
        text = str(budget).strip()
        factor = self.plan.prices.float32 / 100 if text.endswith("%") else 1
        value = _number(text.removesuffix("%")) * factor
        if not value > 0:
            told = ", ".join(self.uniform)
            raise ValueError(
                f"budget: expected a number above 0, a share such as 40%, or one of {told}, got {budget!r}"
            )
        return value

    def _granted(self, loss: float | str) -> float:
        """Return the loss that is granted: a number, or that of a uniform choice."""
        if loss in self.uniform:
            return self._loss(self.uniform[str(loss)])
        value = _number(str(loss))
        if not value >= 0:
            raise ValueError(f"loss: expected a number from 0 on, or one of {', '.join(self.uniform)}, got {loss!r}")
        return value

    def trial(self, solution: Solution) -> Trial:
        """Return how a solution fares on the samples to choose by."""
        self._tried[solution] = None
        return self._trials.run(self.plan.specs(solution))

    def check(self, solution: Solution) -> Checked:
        """Return how it fares on those kept apart."""
        return self._trials.check(self.plan.specs(solution))

    def within_budget(self, budget: float) -> Found:
        """Return the best choice within a budget.

        Raises:
            BudgetError: There is none.
        """
        room = budget - self.plan.prices.left
        first = self._solver(self.plan.problem, room)
        if first is None:
            raise self.plan.refuse(budget)
        rivals = {text: found for text, found in self.uniform.items() if self.plan.fits(found, budget)}
        rival = min(rivals, key=lambda text: self._loss(rivals[text]), default=None)
        tried = [first] if rival is None else [first, rivals[rival]]
        best = min(tried, key=self._loss)
        if best != first or self._exceeds_prediction(first):
            tried += neighbours(self.plan.problem, best, room, NEIGHBOURS)
        best = min([*tried, *(other for other in self._tried if self.plan.fits(other, budget))], key=self._loss)
        if rival is not None and not self._is_better(best, rivals[rival]):
            best = rivals[rival]
        return Found(best, budget, None, len(dict.fromkeys(tried)), rival)

    def within_loss(self, granted: float) -> Found:
        """Return the cheapest choice whose measured loss is within what is granted.

        The solver is asked for less, or for more, until the measured loss is near below; then cheaper neighbours of
        what fits are tried, as far as the losses of products, in proportion, say that they fit.

        Raises:
            BudgetError: Not even the choice with the least losses is.
        """
        allowed = [text for text, solution in self.uniform.items() if self._loss(solution) <= granted]
        rival = min(allowed, key=lambda text: self.plan.cost(self.uniform[text]), default=None)
        tried = [self.uniform[rival]] if rival is not None else []
        problem, target, low, high = self.plan.problem.transposed(), granted, 0.0, math.inf
        for _ in range(_TIGHTENINGS):
            solution = self._solver(problem, max(target, problem.least))
            if solution is None:
                break
            tried.append(solution)
            loss = self._loss(solution)
            low, high = (max(low, target), high) if loss <= granted else (low, min(high, target))
            if _NEAR * granted <= loss <= granted or target <= problem.least < high:
                break
            target = _next_target(target, granted / max(loss, 1e-3 * granted), low, high)
        best = self._cheapest(tried, granted)
        loss = self._loss(best)
        room = self.plan.problem.loss(best) * granted / loss if loss > 0 else granted
        tried += neighbours(problem, best, room, NEIGHBOURS)
        return Found(self._cheapest(tried, granted), None, granted, len(dict.fromkeys(tried)), rival)

    def _cheapest(self, tried: list[Solution], granted: float) -> Solution:
        fitting = [solution for solution in dict.fromkeys([*tried, *self._tried]) if self._loss(solution) <= granted]
        if not fitting:
            least = min(map(self._loss, [*tried, *self.uniform.values()]), default=math.nan)
            raise BudgetError(f"expected a loss of at least {least:.4g} to be granted, got {granted:.4g}")
        return min(fitting, key=self.plan.cost)

    def _loss(self, solution: Solution) -> float:
        return self.trial(solution).loss

    def _is_better(self, solution: Solution, other: Solution) -> bool:
        """Return whether losses are lower in the mean, sample by sample, by a standard error of that at least."""
        differences = self.trial(solution).losses - self.trial(other).losses
        error = differences.std(ddof=1) / math.sqrt(len(differences)) if len(differences) > 1 else 0.0
        return bool(differences.mean() + error < 0)

    def _exceeds_prediction(self, solution: Solution) -> bool:
        return self._loss(solution) > MOST_OVER_PREDICTED * self.plan.problem.loss(solution)


def _number(text: str) -> float:
    """Return a number; NaN for what is none that is finite."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def _next_target(target: float, factor: float, low: float, high: float) -> float:
    """Return the next sum of losses to ask for: between the one that was within and the one that was not."""
    if low > 0 and high < math.inf:
        return math.sqrt(low * high)
    return target * min(max(factor, 0.1), 10.0)


def describe(explorer: Explorer, found: Found, checked: Mapping[Solution, Checked]) -> SearchPoint:
    """Return a point, held against its rival.

    Args:
        explorer: What found it.
        found: What was found.
        checked: By solution how it fares on the samples kept apart; that of the rival among them.
    """
    plan, solution = explorer.plan, found.solution
    trial, own = explorer.trial(solution), checked[solution]
    against = None
    if found.rival is not None:
        other = explorer.uniform[found.rival]
        difference = _mean(own.losses - checked[other].losses)
        against = Against(found.rival, plan.cost(other), difference)
    return SearchPoint(
        budget=found.budget,
        granted_loss=found.granted_loss,
        cost=plan.cost(solution),
        over_float32=plan.cost(solution) / plan.prices.float32,
        choices=plan.texts(solution),
        specs={name: str(spec) for name, spec in plan.specs(solution).items() if spec is not None},
        predicted_loss=plan.problem.loss(solution),
        measured_loss=trial.loss,
        tried=found.tried,
        recipe=trial.recipe,
        loss=_mean(own.losses),
        comparison=own.comparison,
        uniform=plan.uniform_choice(solution),
        against=against,
    )


def mark_front(points: list[SearchPoint], others: list[SearchPoint]) -> list[SearchPoint]:
    """Return points that say whether they are on the front of all, by the samples to choose by."""

    def is_beaten(point: SearchPoint) -> bool:
        return any(
            other.cost <= point.cost
            and other.measured_loss <= point.measured_loss
            and (other.cost, other.measured_loss) != (point.cost, point.measured_loss)
            for other in [*points, *others]
        )

    return [replace(point, is_on_front=not is_beaten(point)) for point in points]


def _mean(losses: Losses) -> MeanEstimate:
    moments = Moments()
    moments.update(losses.tolist())
    return MeanEstimate.of_numbers(moments)
