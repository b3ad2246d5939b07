"""Points: what is chosen within a budget or a loss, tried as a whole, and held against uniform choices.

all uniform choices, and the solver's solution for each budget and loss      are tried
additivity fails, or a uniform choice of no more cost is better              neighbours of the better one are, too
the point                                                                    is the best of all that was tried

What is tried beyond the first line is left out where it would take more passes than a search may.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lba_onnx.data.watching import enter_phase
from lba_onnx.evaluation import MeanEstimate
from lba_onnx.evaluation.sums import Moments
from lba_onnx.searching.loss import Losses
from lba_onnx.searching.plan import Plan, spread_budgets
from lba_onnx.searching.problem import BudgetError, Problem, Solution, Solver, neighbours
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
class Goal:
    """What is wanted: the least loss within a budget, or the least cost within a loss that is granted.

    Attributes:
        limit: What a model may cost, or its loss.
        is_loss: Which of the two.
    """

    limit: float
    is_loss: bool


@dataclass(frozen=True)
class Found:
    """What was chosen.

    Attributes:
        solution: The choices.
        goal: What they were chosen for; None for a uniform choice.
        tried: How many models were tried for it.
        rival: The uniform choice to hold it against; None where none is within the budget or the loss.
    """

    solution: Solution
    goal: Goal | None
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

    def explore(self, budgets: Sequence[float], losses: Sequence[float | str], points: int) -> Explored:
        """Return a point for each budget and each loss; where there are neither, a front of so many points.

        Args:
            budgets: As `read_budgets` returns them.
            losses: As `read_losses` returns them.
            points: How many budgets to spread where there are neither.

        Raises:
            BudgetError: No model that was tried has no more than a loss that is granted.
        """
        enter_phase("models", "models")
        for solution in self.uniform.values():
            self.trial(solution)
        granted = [self._loss(self.uniform[loss]) if isinstance(loss, str) else loss for loss in losses]
        is_front = not budgets and not losses
        limits = spread_budgets(self.plan, tuple(self.uniform.values()), points) if is_front else budgets
        goals = [*(Goal(limit, False) for limit in limits), *(Goal(loss, True) for loss in granted)]
        tried = {goal: dict.fromkeys(self._first(goal)) for goal in goals}
        for _ in range(2):  # the second time from all models that were tried, whatever for
            for goal in goals:
                tried[goal] |= dict.fromkeys(self._refined(goal))
        found = [Found(self._best(goal), goal, len(tried[goal]), self._rival(goal)) for goal in goals]
        if is_front:
            found = list({each.solution: each for each in reversed(found)}.values())
        uniform = [Found(solution, None, 1, None) for solution in self.uniform.values()]
        checked = {each.solution: self.check(each.solution) for each in (*found, *uniform)}
        others = [describe(self, each, checked) for each in uniform]
        ordered = sorted((describe(self, each, checked) for each in found), key=lambda point: point.cost)
        return Explored(tuple(mark_front(ordered, others)), tuple(mark_front(others, ordered)))

    def trial(self, solution: Solution) -> Trial:
        """Return how a solution fares on the samples to choose by."""
        self._tried[solution] = None
        return self._trials.run(self.plan.specs(solution))

    def check(self, solution: Solution) -> Checked:
        """Return how it fares on those kept apart."""
        return self._trials.check(self.plan.specs(solution))

    def _first(self, goal: Goal) -> list[Solution]:
        """Try what is tried for a goal whatever it takes: the solver's solution, and the rival; return them."""
        first = self._cheapest_of(goal.limit) if goal.is_loss else self._solver(self.plan.problem, self._room(goal))
        rival = self.uniform.get(self._rival(goal) or "")
        solutions = [solution for solution in (first, rival) if solution is not None]
        for solution in solutions:
            self.trial(solution)
        return solutions

    def _refined(self, goal: Goal) -> list[Solution]:
        """Try what may be better for a goal, as far as there is room; return what was tried."""
        return self._within_loss(goal) if goal.is_loss else self._within_budget(goal)

    def _within_budget(self, goal: Goal) -> list[Solution]:
        """Try neighbours where additivity fails."""
        first, *rival = self._first(goal)
        best = min([first, *rival], key=self._loss)
        if best == first and not self._exceeds_prediction(first):
            return []
        return self._try_neighbours(self.plan.problem, best, self._room(goal))

    def _within_loss(self, goal: Goal) -> list[Solution]:
        """Try the cheapest solutions of less loss, or of more, until the measured loss is near below; then neighbours.

        Neighbours are tried as far as the losses of products, in proportion, say that they fit.
        """
        tried: list[Solution] = []
        granted, problem = goal.limit, self.plan.problem.transposed()
        target, low, high = granted, 0.0, math.inf
        for _ in range(_TIGHTENINGS):
            solution = self._cheapest_of(target)
            if solution is None or (self._fitting(goal) and not self._may_try(solution)):
                break
            tried.append(solution)
            loss = self._loss(solution)
            low, high = (max(low, target), high) if loss <= granted else (low, min(high, target))
            if _NEAR * granted <= loss <= granted or target <= problem.least < high:
                break
            target = _next_target(target, granted / max(loss, 1e-3 * granted), low, high)
        best = self._best(goal)
        loss = self._loss(best)
        room = self.plan.problem.loss(best) * granted / loss if loss > 0 else granted
        return [*tried, *self._try_neighbours(problem, best, room)]

    def _try_neighbours(self, problem: Problem, solution: Solution, room: float) -> list[Solution]:
        return [other for other in neighbours(problem, solution, room, NEIGHBOURS) if self._may_try(other)]

    def _may_try(self, solution: Solution) -> bool:
        """Try a solution unless that takes more than a search may; return whether it was tried."""
        if solution not in self._tried and not self._trials.spending.has_room:
            return False
        self.trial(solution)
        return True

    def _cheapest_of(self, loss: float) -> Solution | None:
        """Return the cheapest solution whose sum of losses is no more; that of the least where none is."""
        problem = self.plan.problem.transposed()
        return self._solver(problem, max(loss, problem.least))

    def _room(self, goal: Goal) -> float:
        return goal.limit - self.plan.prices.left

    def _rival(self, goal: Goal) -> str | None:
        """Return the best uniform choice within the budget, or the cheapest within the loss; None where none is."""
        fitting = {text: solution for text, solution in self.uniform.items() if self._fits(solution, goal)}
        return min(fitting, key=lambda text: self._rank(fitting[text], goal), default=None)

    def _best(self, goal: Goal) -> Solution:
        """Return the best of all that was tried, whatever for."""
        fitting = self._fitting(goal)
        if not fitting:
            least = min(map(self._loss, self._tried), default=math.nan)
            raise BudgetError(f"expected a loss of at least {least:.4g} to be granted, got {goal.limit:.4g}")
        return min(fitting, key=lambda solution: self._rank(solution, goal))

    def _fitting(self, goal: Goal) -> list[Solution]:
        return [solution for solution in self._tried if self._fits(solution, goal)]

    def _fits(self, solution: Solution, goal: Goal) -> bool:
        return self._loss(solution) <= goal.limit if goal.is_loss else self.plan.fits(solution, goal.limit)

    def _rank(self, solution: Solution, goal: Goal) -> tuple[float, float]:
        """Return what is to be least, and then what decides between equals, so that no point is beaten by another."""
        loss, cost = self._loss(solution), self.plan.cost(solution)
        return (cost, loss) if goal.is_loss else (loss, cost)

    def _loss(self, solution: Solution) -> float:
        return self.trial(solution).loss

    def _exceeds_prediction(self, solution: Solution) -> bool:
        return self._loss(solution) > MOST_OVER_PREDICTED * self.plan.problem.loss(solution)


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
    plan, solution, goal = explorer.plan, found.solution, found.goal
    trial, own = explorer.trial(solution), checked[solution]
    against = None
    if found.rival is not None:
        other = explorer.uniform[found.rival]
        difference = MeanEstimate.of_numbers(_moments(own.losses - checked[other].losses))
        against = Against(found.rival, plan.cost(other), difference)
    return SearchPoint(
        budget=None if goal is None or goal.is_loss else goal.limit,
        granted_loss=goal.limit if goal is not None and goal.is_loss else None,
        cost=plan.cost(solution),
        over_float32=plan.cost(solution) / plan.prices.float32,
        choices=plan.texts(solution),
        specs={name: str(spec) for name, spec in plan.specs(solution).items() if spec is not None},
        predicted_loss=plan.problem.loss(solution),
        measured_loss=trial.loss,
        tried=found.tried,
        recipe=trial.recipe,
        loss=MeanEstimate.of_numbers(_moments(own.losses), least=0.0),
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


def _moments(losses: Losses) -> Moments:
    moments = Moments()
    moments.update(losses.tolist())
    return moments
