"""What the points of a sweep cost: this model's products, those that a sweep converts with the point's accumulator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.costing import CostTable, UnpricedError, unit_cost
from lba_onnx.costing.costing import cost_each
from lba_onnx.costing.node_cost import FLOAT32
from lba_onnx.costing.operand_formats import GIVEN, ToldOperands, assumed_operands, operand_format_of
from lba_onnx.reporting.sections import Cost, CostRow
from lba_onnx.rewrite import Selection
from lba_onnx.rewrite.model_files import ModelSource

SpecAtDepth = Callable[[int], str]
"""The accumulator that sums of a depth have: chunks of a family may follow it."""

_ANY_DEPTH = 1024


@dataclass(frozen=True)
class SweepPrices:
    """Prices of points.

    Attributes:
        model: What tells which products a point converts: the model that was swept, or one that was converted from it.
        cost: The products, with their numbers, depths and operands.
        table: The table that they were priced by.
    """

    model: ModelSource
    cost: Cost
    table: CostTable

    def mean_gates(self, specs: Sequence[SpecAtDepth], selection: Mapping[str, Any]) -> list[float | None]:
        """Return for each accumulator the gates of a mean multiply-accumulate; None where they are not known.

        Args:
            specs: The accumulators of the points.
            selection: Which products the sweep was to convert, as `Selection.described` tells.

        Raises:
            SelectionError: The selection is none of this model.
        """
        chosen = Selection(**selection)
        each = cost_each(
            self.model,
            [spec_at(_ANY_DEPTH) for spec_at in specs],
            operand_format=None,
            selection=chosen,
            data=None,
            cost_table=self.table,
        )
        converted = [{node.node for node in nodes if node.spec is not None} for nodes in each]
        return [self._mean(spec, names) for spec, names in zip(specs, converted, strict=True)]

    def operand_format(self, specs: Sequence[SpecAtDepth]) -> str | None:
        """Return which operands points with these accumulators are priced with; None where the model tells all."""
        if not self.cost.stored_types:
            return None
        return operand_format_of(dict.fromkeys(str(self._assumed(as_spec(spec_at(_ANY_DEPTH)))) for spec_at in specs))

    def _mean(self, spec_at: SpecAtDepth, converted: set[str]) -> float | None:
        known = [row for row in self.cost.rows if row.macs and row.depth]
        try:
            gates = [self._gates(row, spec_at if row.node in converted else None) for row in known]
        except UnpricedError:
            return None
        return _mean(gates, known)

    def _gates(self, row: CostRow, spec_at: SpecAtDepth | None) -> float:
        """Return what a product costs with an accumulator; with None as the model that was swept has it."""
        depth = row.depth or 1
        if spec_at is not None:
            spec = as_spec(spec_at(depth))
            return unit_cost(spec, self._operands(row, spec), depth, self.table).gates
        return self._float32(row) if row.spec is not None or row.gates is None else row.gates

    def _operands(self, row: CostRow, spec: Accumulator | None) -> Operands:
        """Return what a product multiplies with an accumulator, as `cost` has it."""
        return ToldOperands.parse(row.told_operands).completed(self._assumed(spec))

    def _assumed(self, spec: Accumulator | None) -> Operands:
        said = next((text for text, source in self.cost.operand_sources.items() if source == GIVEN), None)
        return assumed_operands(spec, None if said is None else Operands.parse(said))[0]

    def _float32(self, row: CostRow) -> float:
        return unit_cost(FLOAT32, self._operands(row, None), row.depth or 1, self.table).gates

    @property
    def float32(self) -> float:
        """The gates of a mean multiply-accumulate with float32 sums."""
        known = [row for row in self.cost.rows if row.macs and row.depth]
        return _mean([self._float32(row) for row in known], known) or 0.0


def _mean(gates: Sequence[float], rows: Sequence[CostRow]) -> float | None:
    macs = sum(row.macs or 0 for row in rows)
    each = zip(gates, rows, strict=True)
    return sum(cost * (row.macs or 0) for cost, row in each) / macs if macs else None
