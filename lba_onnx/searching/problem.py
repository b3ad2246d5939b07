"""The choice of one option for each group: the least loss within a budget, losses and costs adding up.

group    options, cheapest first         costs             losses
conv1    M4E4, M7E4, M10E5               701, 808, 1082    0.3, 0.02, 0.001
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lba_onnx.errors import LbaError

Floats = NDArray[np.float64]
Solution = tuple[int, ...]
"""By group, the number of the option."""

SLACK = 1e-9
"""By which share a cost may exceed a budget that is meant to be equal to it."""


class BudgetError(LbaError):
    """A budget, or a loss that is granted, within which there is no choice."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What there is to choose from.

    Attributes:
        costs: By group, of each option.
        losses: By group, likewise.
    """

    costs: tuple[Floats, ...]
    losses: tuple[Floats, ...]

    @property
    def least(self) -> float:
        """The least that any solution costs."""
        return float(sum(costs.min() for costs in self.costs))

    @property
    def most(self) -> float:
        """What the solution with the least losses costs."""
        return self.cost(tuple(int(np.lexsort((c, v))[0]) for c, v in zip(self.costs, self.losses, strict=True)))

    def cost(self, solution: Solution) -> float:
        """Return what a solution costs."""
        return float(sum(costs[option] for costs, option in zip(self.costs, solution, strict=True)))

    def loss(self, solution: Solution) -> float:
        """Return the loss of a solution."""
        return float(sum(losses[option] for losses, option in zip(self.losses, solution, strict=True)))

    def fits(self, solution: Solution, budget: float) -> bool:
        """Return whether a solution is within a budget."""
        return self.cost(solution) <= budget * (1 + SLACK)

    def transposed(self) -> "Problem":
        """Return the problem of the least cost within a loss."""
        return Problem(self.losses, self.costs)


Solver = Callable[[Problem, float], Solution | None]
"""Returns the solution with the least loss within a budget; None where there is none."""


def neighbours(
    problem: Problem, solution: Solution, budget: float, count: int, *, swaps: bool = True
) -> list[Solution]:
    """Return solutions within a budget that differ in one option, or in two of which one pays for the other.

    Args:
        problem: The problem.
        solution: Where to look around.
        budget: What they may cost.
        count: Return so many at most: those of the least loss, each with another group made better.
        swaps: Whether to look at two options at a time.
    """
    room = budget * (1 + SLACK) - problem.cost(solution)
    moves = [move for group in range(len(solution)) for move in _moves(problem, solution, group)]
    better = [move for move in moves if move.loss < 0]
    cheaper = [move for move in moves if move.cost < 0]
    found: dict[int, tuple[float, Solution]] = {}
    for up in better:
        ways = [(up.loss, up.of(solution))] if up.cost <= room else []
        ways += [
            (up.loss + down.loss, down.of(up.of(solution)))
            for down in cheaper
            if swaps and down.group != up.group and up.cost + down.cost <= room
        ]
        if ways:
            found[up.group] = min([*ways, found.get(up.group, (math.inf, solution))])
    return [way for _, way in sorted(found.values())[:count]]


@dataclass(frozen=True)
class _Move:
    """Another option for one group, and what that adds."""

    group: int
    option: int
    cost: float
    loss: float

    def of(self, solution: Solution) -> Solution:
        return (*solution[: self.group], self.option, *solution[self.group + 1 :])


def _moves(problem: Problem, solution: Solution, group: int) -> Sequence[_Move]:
    costs, losses, present = problem.costs[group], problem.losses[group], solution[group]
    return [
        _Move(group, option, float(costs[option] - costs[present]), float(losses[option] - losses[present]))
        for option in range(len(costs))
        if option != present
    ]
