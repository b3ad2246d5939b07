"""What each choice costs each product, as its part of the cost of a mean product of the model.

gates   gates of one multiply-accumulate         energy   picojoules         bits   bits of a register, mean of all

The parts of all products add up to what one of the model's multiplications and additions costs in the mean.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lba_onnx.costing import CostTable, NodeCost, UnitCost, UnpricedError, load_table
from lba_onnx.costing.costing import cost_each
from lba_onnx.costing.node_cost import operand_sources, stored_types
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.rewrite.selection import Selection
from lba_onnx.searching.choices import Choice

UNITS = {"gates": "gates per MAC", "energy": "pJ per MAC", "bits": "bits of a sum, mean over MACs"}

_OF_UNIT: Mapping[str, Callable[[UnitCost], float]] = {
    "gates": lambda unit: unit.gates,
    "energy": lambda unit: unit.pj,
    "bits": lambda unit: unit.register_bits / len(unit.registers),
}


@dataclass(frozen=True)
class Pricing:
    """How costs are counted.

    Attributes:
        quantity: "gates", "energy" or "bits".
        operand_format: As `cost` takes it: each choice has the operands that it prescribes, where none is given.
        table: The table of costs.
        selection: Which products there are.
    """

    quantity: str
    operand_format: str | None
    table: CostTable
    selection: Selection

    @classmethod
    def of(
        cls,
        quantity: str,
        operand_format: str | None,
        table: "CostTable | str | os.PathLike[str] | None",
        selection: Selection,
    ) -> "Pricing":
        """Return what was asked for.

        Raises:
            DataError: The table cannot be read.
            ValueError: There is no such quantity.
        """
        if quantity not in UNITS:
            raise ValueError(f"expected a quantity out of {', '.join(UNITS)}, got {quantity!r}")
        return cls(quantity, operand_format, table if isinstance(table, CostTable) else load_table(table), selection)

    @property
    def unit(self) -> str:
        """The unit of costs."""
        return UNITS[self.quantity]

    def of_node(self, node: NodeCost) -> float:
        """Return what one product of a node costs.

        Raises:
            UnpricedError: Its accumulator has no price.
        """
        if node.unit is None or (self.quantity == "bits" and not node.unit.registers):
            raise UnpricedError(f"node {node.node!r}: {node.reason or 'its accumulator tells no registers'}")
        return _OF_UNIT[self.quantity](node.unit)

    def of_float32(self, node: NodeCost) -> float:
        """Return what one of its products costs with float32 sums."""
        return _OF_UNIT[self.quantity](node.float32)


@dataclass(frozen=True)
class Prices:
    """What the products cost.

    Attributes:
        macs: By product, how many products it multiplies and adds for a sample.
        costs: By product and choice; None where the product does not take the choice.
        left: What the products that have no choice cost.
        float32: What all cost with float32 sums.
        stored_types: What operands are stored in whose formats the model does not tell.
        operand_sources: The formats that stand for these, and what says so, as of `cost`.
    """

    macs: Mapping[str, int]
    costs: Mapping[str, tuple[float | None, ...]]
    left: float
    float32: float
    stored_types: tuple[str, ...]
    operand_sources: Mapping[str, str]


def price_choices(model: ModelSource, choices: Sequence[Choice], sample: Any, pricing: Pricing) -> Prices:
    """Return what each choice costs each product.

    Args:
        model: The model.
        choices: The choices.
        sample: A sample, which is run to count products.
        pricing: How costs are counted.

    Raises:
        ModelError: No product ran.
        UnpricedError: A choice has no price.
    """
    names = {name for choice in choices for name in choice.specs}
    given = [{name: spec for name, spec in choice.specs.items() if spec is not None} or None for choice in choices]
    plain, *found = cost_each(
        model,
        [None, *given],
        operand_format=pricing.operand_format,
        selection=pricing.selection,
        data=sample,
        cost_table=pricing.table,
    )
    macs = {node.node: node.macs or 0 for node in plain}  # of a branch that the sample does not take, none
    total = sum(macs.values())
    if not total:
        raise ModelError("expected a sample that runs at least one product, got one that runs none")
    costs = {
        name: tuple(
            _part(costs, choice, name, macs[name] / total, pricing)
            for costs, choice in zip(found, choices, strict=True)
        )
        for name in macs
        if name in names
    }
    left = sum(node.macs * pricing.of_node(node) for node in plain if node.node not in names and node.macs)
    float32 = sum(macs[node.node] * pricing.of_float32(node) for node in plain)
    sources = operand_sources(node for nodes in (plain, *found) for node in nodes)
    counted = {name: macs[name] for name in costs}
    return Prices(counted, costs, left / total, float32 / total, stored_types(plain), sources)


def _part(nodes: Sequence[NodeCost], choice: Choice, name: str, share: float, pricing: Pricing) -> float | None:
    if name not in choice.specs:
        return None
    if not share:
        return 0.0
    return share * pricing.of_node(next(node for node in nodes if node.node == name))
