"""Two ways to solve a problem: a dynamic programme, and integer programming by HiGHS where scipy is installed.

The dynamic programme works on a grid: what an option costs above its group's cheapest is rounded up to steps of the
room that the cheapest options leave. So its solutions are within the budget, and as good as the best one of a budget
that is smaller by a step for each group. What the rounding has left over then pays for single options.

    best[s] = the least loss of the groups so far that take at most s steps
    group after group:    best[s] = min over options of  best[s - steps[option]] + losses[option]
"""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from lba_onnx.searching.problem import SLACK, Floats, Problem, Solution, Solver, neighbours
from lba_onnx.searching.standard_output import kept_for_results

DYNAMIC, HIGHS = "dynamic", "highs"
STEPS = 20_000
_ROUNDING = 1e-9  # of a step: costs that are whole steps stay so


def find_solver(name: str | None = None) -> tuple[str, Solver]:
    """Return a solver by its name; None for the best one that is installed.

    Raises:
        ValueError: There is none of this name, or scipy is not installed.
    """
    has_scipy = find_spec("scipy") is not None
    name = name or (HIGHS if has_scipy else DYNAMIC)
    if name not in _SOLVERS:
        raise ValueError(f"expected a solver out of {', '.join(_SOLVERS)}, got {name!r}")
    if name == HIGHS and not has_scipy:
        raise ValueError("the solver highs takes the package scipy: pip install 'lba-onnx[search]'")
    return name, _SOLVERS[name]


def solve_dynamic(problem: Problem, budget: float) -> Solution | None:
    """Return the solution with the least loss on the grid; None where no solution is within the budget."""
    room = budget * (1 + SLACK) - problem.least
    if room < 0:
        return None
    extras = [_steps(costs - costs.min(), room) for costs in problem.costs]
    best = np.zeros(STEPS + 1)
    chosen = []
    for extra, losses in zip(extras, problem.losses, strict=True):
        ways = np.stack([_shifted(best, int(steps)) + loss for steps, loss in zip(extra, losses, strict=True)])
        chosen.append(ways.argmin(axis=0))
        best = ways.min(axis=0)
    return _polished(problem, _traced(chosen, extras), budget)


def _steps(extra: Floats, room: float) -> NDArray[np.int64]:
    """Return how many steps of the room costs take; one more than there are where they exceed it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(extra > room, STEPS + 1, np.ceil(extra * STEPS / room - _ROUNDING))
    return np.nan_to_num(steps).astype(np.int64)  # of no room, nothing is a part of 0


def _shifted(best: Floats, steps: int) -> Floats:
    """Return the least losses where so many steps go to somebody else; infinite where there are not so many."""
    shifted = np.full_like(best, np.inf)
    if steps < len(best):
        shifted[steps:] = best[: len(best) - steps]
    return shifted


def _traced(chosen: "list[np.ndarray]", extras: "list[np.ndarray]") -> Solution:
    left, solution = STEPS, []
    for options, extra in zip(reversed(chosen), reversed(extras), strict=True):
        solution.append(int(options[left]))
        left -= int(extra[solution[-1]])
    return tuple(reversed(solution))


def _polished(problem: Problem, solution: Solution, budget: float) -> Solution:
    """Return a solution with what the budget still pays for where costs are not rounded: the best option each time."""
    better = neighbours(problem, solution, budget, 1, swaps=False)
    return _polished(problem, better[0], budget) if better else solution


def solve_highs(problem: Problem, budget: float) -> Solution | None:
    """Return the best solution, as HiGHS finds it; None where no solution is within the budget."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    if problem.least > budget * (1 + SLACK):
        return None
    sizes = [len(costs) for costs in problem.costs]
    ends = np.cumsum(sizes)
    one_each = np.zeros((len(sizes), int(ends[-1])))
    for group, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        one_each[group, end - size : end] = 1
    extra = np.concatenate([costs - costs.min() for costs in problem.costs])
    room = max(budget * (1 + SLACK) - problem.least, 0.0)
    scale = max(float(extra.max()), room) or 1.0
    losses = np.concatenate(problem.losses)
    with kept_for_results():  # HiGHS prints what it tries, now and then, whatever it is told
        found = milp(
            losses / (float(np.abs(losses).max()) or 1.0),
            integrality=np.ones(len(losses)),
            bounds=Bounds(0, 1),
            constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(extra / scale, -np.inf, room / scale)],
            options={"mip_rel_gap": 0.0},
        )
    dynamic = solve_dynamic(problem, budget)
    if found.x is None or dynamic is None:
        return dynamic
    solution = tuple(int(found.x[end - size : end].argmax()) for end, size in zip(ends, sizes, strict=True))
    is_better = problem.fits(solution, budget) and problem.loss(solution) <= problem.loss(dynamic)
    return solution if is_better else dynamic


_SOLVERS: dict[str, Solver] = {DYNAMIC: solve_dynamic, HIGHS: solve_highs}
