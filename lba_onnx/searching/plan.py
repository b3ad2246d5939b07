"""Products, choices and what is known of them, as a problem to solve; and solutions as accumulators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lba_onnx.arithmetic import Accumulator
from lba_onnx.searching.choices import FLOAT32, Choice
from lba_onnx.searching.constraints import Group
from lba_onnx.searching.prices import Prices
from lba_onnx.searching.problem import SLACK, BudgetError, Floats, Problem, Solution
from lba_onnx.searching.search_result import ProductSensitivity


@dataclass(frozen=True, eq=False)
class Plan:
    """What there is to choose.

    Attributes:
        choices: The choices; those behind the first `offered` are for products that they are fixed for.
        offered: How many of the choices are for all products.
        groups: The products, by whom they share a choice with.
        prices: What each choice costs.
        losses: By product and choice; None where it does not take the choice, or where nothing is measured yet.
        unit: The unit of costs.
    """

    choices: tuple[Choice, ...]
    offered: int
    groups: tuple[Group, ...]
    prices: Prices
    losses: Mapping[str, tuple[float | None, ...]]
    unit: str

    @cached_property
    def problem(self) -> Problem:
        """The problem, without what products cost that have no choice."""
        costs, losses = (
            tuple(self._sums(table, group) for group in self.groups) for table in (self.prices.costs, self.losses)
        )
        return Problem(costs, losses)

    @staticmethod
    def _sums(table: Mapping[str, tuple[float | None, ...]], group: Group) -> Floats:
        """Return the sums over the products of a group, of each option."""
        return np.array([sum(table[name][option] or 0.0 for name in group.products) for option in group.options])

    def cost(self, solution: Solution) -> float:
        """Return what the model costs, products without a choice included."""
        return self.problem.cost(solution) + self.prices.left

    def fits(self, solution: Solution, budget: float) -> bool:
        """Return whether the model costs no more than a budget."""
        return self.problem.fits(solution, budget - self.prices.left)

    def specs(self, solution: Solution) -> dict[str, Accumulator | None]:
        """Return the accumulator of each product; None for float32."""
        return {name: self.choices[number].specs[name] for name, number in self._numbers(solution).items()}

    def texts(self, solution: Solution) -> dict[str, str]:
        """Return the choice of each product."""
        return {name: self.choices[number].text for name, number in self._numbers(solution).items()}

    def specs_of(self, texts: Mapping[str, str]) -> dict[str, Accumulator | None]:
        """Return the accumulators of products from the texts of their choices."""
        by_text = {choice.text: choice for choice in self.choices}
        return {name: by_text[text].specs[name] for name, text in texts.items()}

    def _numbers(self, solution: Solution) -> dict[str, int]:
        numbers = {
            name: group.options[option]
            for group, option in zip(self.groups, solution, strict=True)
            for name in group.products
        }
        return {name: numbers[name] for name in self.prices.costs}

    def uniform(self) -> dict[str, Solution]:
        """Return by choice the solution in which all products have it that are not fixed; float32 is none of them."""
        found = {}
        for number, choice in enumerate(self.choices[: self.offered]):
            solution = [
                0 if group.is_fixed else group.options.index(number) if number in group.options else None
                for group in self.groups
            ]
            whole = tuple(option for option in solution if option is not None)
            if choice.text != FLOAT32 and len(whole) == len(solution):
                found[choice.text] = whole
        return found

    def uniform_choice(self, solution: Solution) -> str | None:
        """Return which uniform solution this one is; None for a mixed one."""
        return next((text for text, other in self.uniform().items() if other == solution), None)

    def check(self, budget: float) -> None:
        """Refuse a budget that nothing fits.

        Raises:
            BudgetError: Nothing does.
        """
        left = self.prices.left
        if self.problem.least > (budget - left) * (1 + SLACK):
            least = self.problem.least + left
            raise BudgetError(
                f"expected a budget of at least {least:.6g} {self.unit} "
                f"({100 * least / self.prices.float32:.3g}% of float32), got {budget:.6g}"
            )

    def sensitivities(self) -> tuple[ProductSensitivity, ...]:
        """Return what is known of each product."""
        return tuple(self._sensitivity(name) for name in self.prices.costs)

    def _sensitivity(self, name: str) -> ProductSensitivity:
        number, group = next((n, group) for n, group in enumerate(self.groups) if name in group.products)
        specs = [choice.specs.get(name) for choice in self.choices]
        return ProductSensitivity(
            name,
            self.prices.macs[name],
            number,
            group.is_fixed,
            tuple(None if spec is None else str(spec) for spec in specs),
            self.prices.costs[name],
            self.losses[name],
        )


def spread_budgets(plan: Plan, uniform: Sequence[Solution], count: int) -> list[float]:
    """Return budgets from the cheapest on: the costs of uniform solutions that are worth theirs, then some in between.

    Args:
        plan: What there is to choose.
        uniform: The uniform solutions.
        count: How many budgets.
    """
    ordered = sorted(uniform, key=lambda solution: (plan.cost(solution), plan.problem.loss(solution)))
    worth, least = [], np.inf
    for solution in ordered:
        if plan.problem.loss(solution) < least:
            worth.append(plan.cost(solution))
            least = plan.problem.loss(solution)
    if len(worth) >= count:
        return [worth[round(place)] for place in np.linspace(0, len(worth) - 1, count)]
    low, high = plan.problem.least + plan.prices.left, plan.problem.most + plan.prices.left
    between = np.linspace(low, high, count - len(worth) + 2)
    extra = between[1:-1] if worth else np.linspace(low, high, count)
    return sorted({*worth, *(float(budget) for budget in extra)})
