"""The solvers against trying all solutions: within the budget always, and the best where costs are whole steps."""

import ctypes
import importlib.util
import itertools
import sys

import numpy as np
import pytest

from lba_onnx.searching.problem import Problem, neighbours
from lba_onnx.searching.solvers import DYNAMIC, HIGHS, STEPS, find_solver, solve_dynamic, solve_highs

HAS_SCIPY = importlib.util.find_spec("scipy") is not None
if HAS_SCIPY:
    from scipy import optimize as scipy_optimize
NEEDS_SCIPY = pytest.mark.skipif(not HAS_SCIPY, reason="scipy is not installed")
SOLVERS = [solve_dynamic, pytest.param(solve_highs, marks=NEEDS_SCIPY)]


def drawn(seed: int, groups: int = 5, *, whole: bool) -> Problem:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 5, groups)
    costs = [np.floor(random.uniform(1, 50, n)) if whole else random.uniform(1, 50, n) for n in sizes]
    return Problem(tuple(costs), tuple(random.uniform(0, 1, n) ** 3 for n in sizes))


def all_within(problem: Problem, budget: float) -> list[tuple[int, ...]]:
    every = itertools.product(*(range(len(costs)) for costs in problem.costs))
    return [solution for solution in every if problem.cost(solution) <= budget]


@pytest.mark.parametrize("solve", SOLVERS)
@pytest.mark.parametrize("seed", range(20))
def test_whole_costs_are_solved_to_the_best(solve, seed):
    problem = drawn(seed, whole=True)
    for room in (0, 1, 7, 40, 1000):
        budget = problem.least + room
        best = min(map(problem.loss, all_within(problem, budget)))
        found = solve(problem, budget)
        assert problem.fits(found, budget) and problem.loss(found) == pytest.approx(best), (seed, room)


@pytest.mark.parametrize("solve", SOLVERS)
def test_of_no_budget_what_costs_nothing_is_taken(solve):
    problem = Problem((np.array([0.0, 0.1]), np.array([3.0, 0.0])), (np.array([1.0, 0.0]), np.array([0.0, 1.0])))
    assert solve(problem, 0.0) == (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_grid_costs_a_step_a_group_at_most(seed):
    problem = drawn(seed, whole=False)
    budget = problem.least + 60
    found = solve_dynamic(problem, budget)
    tighter = budget - len(problem.costs) * 60 / STEPS
    assert problem.fits(found, budget)
    assert problem.loss(found) <= min(map(problem.loss, all_within(problem, tighter))) + 1e-12


@NEEDS_SCIPY
@pytest.mark.parametrize("seed", range(10))
def test_highs_is_the_best_and_no_worse_than_the_grid(seed):
    problem = drawn(seed, whole=False)
    budget = problem.least + 40
    found = solve_highs(problem, budget)
    assert problem.loss(found) == pytest.approx(min(map(problem.loss, all_within(problem, budget))))
    assert problem.loss(found) <= problem.loss(solve_dynamic(problem, budget))


@pytest.mark.parametrize("solve", SOLVERS)
def test_below_the_least_there_is_nothing(solve):
    problem = drawn(3, whole=True)
    assert solve(problem, problem.least - 1) is None
    cheapest = solve(problem, problem.least)
    assert problem.cost(cheapest) == problem.least


@pytest.mark.parametrize("solve", SOLVERS)
def test_the_cheapest_within_a_loss_is_the_same_problem_turned_around(solve):
    problem = Problem((np.array([1.0, 5.0]), np.array([2.0, 9.0])), (np.array([8.0, 1.0]), np.array([4.0, 1.0])))
    assert solve(problem.transposed(), 5) == (1, 0)
    assert solve(problem.transposed(), 1.5) is None
    assert problem.most == 14


def test_neighbours_stay_within_the_budget_and_are_not_the_solution():
    for seed in range(20):
        problem = drawn(seed, whole=False)
        budget = problem.least + 30
        solution = solve_dynamic(problem, budget)
        for other in neighbours(problem, solution, budget, 3):
            assert other != solution and problem.fits(other, budget)
            assert 1 <= sum(a != b for a, b in zip(solution, other, strict=True)) <= 2


def test_a_neighbour_that_is_paid_for_by_another_group():
    problem = Problem((np.array([1.0, 5.0]), np.array([2.0, 6.0])), (np.array([8.0, 1.0]), np.array([9.0, 1.0])))
    assert neighbours(problem, (1, 0), 7, 5) == [(0, 1)]
    assert neighbours(problem, (1, 0), 11, 5) == [(1, 1)]


def test_a_solver_that_is_not_there_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="expected a solver out of dynamic, highs, got 'simplex'"):
        find_solver("simplex")
    monkeypatch.setattr("lba_onnx.searching.solvers.find_spec", lambda name: None)
    assert find_solver() == (DYNAMIC, solve_dynamic)
    with pytest.raises(ValueError, match=r"pip install 'lba-onnx\[search\]'"):
        find_solver(HIGHS)


@NEEDS_SCIPY
@pytest.mark.skipif(sys.platform == "win32", reason="prints by the C library of POSIX systems")
def test_what_highs_prints_does_not_reach_standard_output(monkeypatch, capfd):
    solve = scipy_optimize.milp

    def telling(*given, **settings):
        ctypes.CDLL(None).puts(b"tmpSolver.run();")  # buffered, as in HiGHS
        return solve(*given, **settings)

    monkeypatch.setattr(scipy_optimize, "milp", telling)
    print("before")
    assert solve_highs(drawn(0, whole=True), 1e9) is not None
    print("{}")
    printed, told = capfd.readouterr()
    assert printed == "before\n{}\n" and "tmpSolver" in told
