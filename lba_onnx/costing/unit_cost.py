"""What one product and its addition cost: gates by what they are for, energy and area.

M7E4b12/M7E4b10, operands M4E3      unit 808, as in the paper; with range, joins and registers about 1045
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.arithmetic.datapath import Datapath, Group, Part
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.costing.cells import cells_of
from lba_onnx.costing.cost_table import CostTable, load_table
from lba_onnx.costing.operations import price_operations
from lba_onnx.errors import LbaError

MEASURED = "measured"
"""What stands for the groups of gates where the whole was measured."""


class UnpricedError(LbaError):
    """An accumulator that has no price, with such operands: its kind tells no datapath, or takes other operands."""


@dataclass(frozen=True)
class UnitCost:
    """What one product and its addition cost.

    Attributes:
        accumulator: The accumulator's text.
        operands: The formats of the operands.
        depth: Products per dot product.
        groups: Gates by group, such as "multiplier"; what is used for every n-th product counts 1/n.
        components: Gates by component, likewise.
        sums: How many sums an output has at each level, innermost first, as in `Datapath`; none where the kind tells
            no datapath.
        registers: Bits of each register that the sums of one output take while it is computed; likewise.
        joins: How many additions of sums of chunks, tiles, lanes or slices to each other come to one product.
        pj: Energy in picojoules, an estimate.
        um2: Area in square micrometres, an estimate.
        source: Where a measured figure comes from; "" where the model says it.
    """

    accumulator: str
    operands: str
    depth: int
    groups: Mapping[str, float]
    components: Mapping[str, float]
    sums: tuple[int, ...]
    registers: tuple[int, ...]
    joins: float
    pj: float
    um2: float
    source: str = ""

    @property
    def gates(self) -> float:
        """Gates of all."""
        return sum(self.groups.values())

    @property
    def register_bits(self) -> int:
        """Bits of all registers."""
        return sum(self.registers)

    @property
    def unit_gates(self) -> float | None:
        """Gates of what the paper counts of a fused multiply-add; None of what was measured."""
        if MEASURED in self.groups:
            return None
        return sum(self.groups[group.value] for group in Group if group.is_of_unit)

    def to_json(self) -> dict[str, Any]:
        """Return the cost as a JSON object."""
        told = {"register_bits": self.register_bits, "gates": self.gates, "unit_gates": self.unit_gates}
        return {**vars(self), "sums": list(self.sums), "registers": list(self.registers), **told}


def unit_cost(
    spec: "Accumulator | str",
    operand_format: "Operands | str",
    depth: int,
    table: CostTable | None = None,
) -> UnitCost:
    """Return what one product of an accumulator costs.

    Args:
        spec: The accumulator.
        operand_format: The formats of the operands, such as "M4E3".
        depth: Products per dot product, at least 1.
        table: The table of costs; None for that of the package.

    Raises:
        UnpricedError: The accumulator takes no such operands, or its kind does not tell what it takes.
        ValueError: A text is wrong, or the depth.
    """
    accumulator = as_spec(spec)
    operands = operand_format if isinstance(operand_format, Operands) else Operands.parse(operand_format)
    if depth < 1:
        raise ValueError(f"depth: expected at least 1, got {depth}")
    prices = load_table() if table is None else table
    datapath = _datapath(accumulator, operands, depth)
    measured = prices.measured_of(accumulator, operands)
    if datapath is None and (measured is None or measured.pj is None or measured.um2 is None):
        raise UnpricedError(
            f"{accumulator}: its kind, {accumulator.kind}, tells no datapath; expected gates, pj and um2 of it with "
            f"operands {operands} under measured in the cost table"
        )
    parts = datapath.parts if datapath else ()
    pj, um2 = price_operations(parts, prices, "integer" if accumulator.sums_codes else "float")
    groups, components = _gates(parts, prices)
    if measured is not None:
        groups = components = {MEASURED: measured.gates}
        pj, um2 = measured.pj or pj, measured.um2 or um2
    return UnitCost(
        str(accumulator),
        str(operands),
        depth,
        groups,
        components,
        datapath.sums if datapath else (),
        datapath.registers if datapath else (),
        float(datapath.joins) if datapath else 0.0,
        pj,
        um2,
        measured.source if measured else "",
    )


def _datapath(accumulator: Accumulator, operands: Operands, depth: int) -> Datapath | None:
    try:
        return accumulator.datapath(operands, depth)
    except ValueError as error:
        raise UnpricedError(f"{accumulator}: {error}") from None


def _gates(parts: tuple[Part, ...], table: CostTable) -> tuple[dict[str, float], dict[str, float]]:
    groups: dict[str, float] = {group.value: 0.0 for group in Group}
    components: dict[str, float] = {}
    for part in parts:
        gates = part_gates(part, table)
        groups[part.group.value] += gates
        components[part.name] = components.get(part.name, 0.0) + gates
    return groups, components


def part_gates(part: Part, table: CostTable) -> float:
    """Return how many gates a part comes to for one product."""
    return float(part.per_product) * sum(table.cells[name] * count for name, count in cells_of(part).items())
