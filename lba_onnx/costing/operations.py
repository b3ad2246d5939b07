"""Energy and area of a datapath, from published figures of additions and multiplications.

A datapath is split in two: what multiplies, and all else but the registers. The gates of each are put on a line through
the origin and the gates of the published operations of that sort:

    0 --- gates of M10E5: 0.4 pJ --- gates of M23E8: 0.9 pJ --- as the last per gate

So a sum of M7E4 takes as much less than that of float16 as it has fewer gates. These are estimates.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from lba_onnx.arithmetic.datapath import Block, Group, Part
from lba_onnx.arithmetic.float_parts import FloatAdder, multiplier_parts
from lba_onnx.arithmetic.operands import Operand, Operands
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.costing.cells import cells_of
from lba_onnx.costing.cost_table import Anchor, CostTable


def price_operations(parts: Iterable[Part], table: CostTable, sort: str) -> tuple[float, float]:
    """Return the energy in picojoules, and the area in square micrometres, that one product comes to.

    Args:
        parts: The parts of a datapath.
        table: The published figures.
        sort: Whether sums are those of a "float" or an "integer".
    """
    of_product, of_sum = 0.0, 0.0
    for part in parts:
        gates = _gates((part,), table)
        if part.group is Group.MULTIPLIER or part.name == "exponent adder":
            of_product += gates
        elif part.group is not Group.REGISTERS:
            of_sum += gates
    return (
        _price(of_product, table, sort, "multiply", "pj") + _price(of_sum, table, sort, "add", "pj"),
        _price(of_product, table, sort, "multiply", "um2") + _price(of_sum, table, sort, "add", "um2"),
    )


def anchor_gates(operand: Operand, operation: str, table: CostTable) -> float:
    """Return how many gates the model gives a published operation: a multiplier, or an adder to nearest."""
    if operation == "multiply":
        return _gates(multiplier_parts(Operands(operand, operand)), table)
    bits = operand.significant_bits
    if operand.exponent_bits == 0:
        return _gates([Part(Group.ADDITION, "adder", Block.ADDER, (bits,))], table)
    return _gates(FloatAdder(bits - 1, operand.exponent_bits, bits, Rounding.NEAREST).parts, table)


def _price(gates: float, table: CostTable, sort: str, operation: str, figure: str) -> float:
    return _on_line(gates, [_point(anchor, operation, table, figure) for anchor in table.anchors[sort, operation]])


def _point(anchor: Anchor, operation: str, table: CostTable, figure: str) -> tuple[float, float]:
    return anchor_gates(anchor.format, operation, table), float(getattr(anchor, figure))


def _on_line(gates: float, points: Sequence[tuple[float, float]]) -> float:
    """Return the price of some gates on the line through the origin and the points; behind the last, as it per gate."""
    for (before, low), (after, high) in pairwise([(0.0, 0.0), *points]):
        if gates <= after:
            return low + (high - low) * (gates - before) / (after - before)
    last_gates, last_price = points[-1]
    return last_price * gates / last_gates


def _gates(parts: Iterable[Part], table: CostTable) -> float:
    total = sum(
        part.per_product * sum(Fraction(table.cells[name]) * count for name, count in cells_of(part).items())
        for part in parts
    )
    return float(total)
