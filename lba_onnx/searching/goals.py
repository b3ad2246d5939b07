"""What a search is asked for: budgets and losses, as texts and numbers, read before anything is measured.

budget      850          a number                      loss     0.02     a number
            "40%"        a share of float32
            "M7E4"       what this choice costs everywhere       "M7E4"  its loss everywhere, which is measured later
"""

import math
from collections.abc import Sequence

from lba_onnx.searching.plan import Plan


def read_budgets(plan: Plan, budgets: Sequence[float | str]) -> list[float]:
    """Return what a model may cost.

    Args:
        plan: What there is to choose; its costs are enough.
        budgets: As the user gives them.

    Raises:
        BudgetError: Nothing fits one of them.
        ValueError: One is not as described.
    """
    limits = [_read_budget(plan, budget) for budget in budgets]
    for limit in limits:
        plan.check(limit)
    return limits


def read_losses(plan: Plan, losses: Sequence[float | str]) -> list[float | str]:
    """Return the losses that are granted: numbers, or the uniform choices whose loss is.

    Raises:
        ValueError: One is not as described.
    """
    return [_read_loss(plan, loss) for loss in losses]


def _read_budget(plan: Plan, budget: float | str) -> float:
    uniform = plan.uniform()
    if budget in uniform:
        return plan.cost(uniform[str(budget)])
    text = str(budget).strip()
    factor = plan.prices.float32 / 100 if text.endswith("%") else 1
    value = _number(text.removesuffix("%")) * factor
    if not value > 0:
        told = ", ".join(uniform)
        raise ValueError(f"budget: expected a number above 0, a share such as 40%, or one of {told}, got {budget!r}")
    return value


def _read_loss(plan: Plan, loss: float | str) -> float | str:
    uniform = plan.uniform()
    if loss in uniform:
        return loss
    value = _number(str(loss))
    if not value >= 0:
        raise ValueError(f"loss: expected a number from 0 on, or one of {', '.join(uniform)}, got {loss!r}")
    return value


def _number(text: str) -> float:
    """Return a number; NaN for what is none that is finite."""
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
