"""What a model's sums of products cost, node by node and together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic.datapath import Group
from lba_onnx.costing.cost_table import CostTable
from lba_onnx.costing.node_cost import NodeCost, operand_sources
from lba_onnx.costing.operand_formats import operand_format_of
from lba_onnx.costing.unit_cost import UnitCost


@dataclass(frozen=True)
class Totals:
    """Sums over the nodes whose products and prices are known.

    Attributes:
        macs: Products that are multiplied and added.
        padded_macs: Those of them that meet padding, where that is known.
        zero_weight_macs: Those that have a weight of zero, where weights are constant.
        gate_macs: Gates times products.
        float32_gate_macs: The same with float32 sums of the same operands.
        int8_gate_macs: The same with int8 operands and int32 sums.
        pj: Energy in picojoules, an estimate.
        float32_pj: The same with float32 sums of the same operands.
        int8_pj: The same with int8 operands and int32 sums.
        um2: Area of what multiplies and adds a mean product, in square micrometres, an estimate.
        float32_um2: The same with float32 sums of the same operands.
        partial_sum_bits: Bits of the sums of all outputs of all nodes.
    """

    macs: int
    padded_macs: int
    zero_weight_macs: int
    gate_macs: float
    float32_gate_macs: float
    int8_gate_macs: float
    pj: float
    float32_pj: float
    int8_pj: float
    um2: float
    float32_um2: float
    partial_sum_bits: int

    @classmethod
    def of(cls, nodes: Iterable[NodeCost], int8: UnitCost) -> "Totals":
        """Add up nodes; int8 is what one product costs with int8 operands and int32 sums."""
        known = [node for node in nodes if node.is_known]
        macs = sum(node.macs or 0 for node in known)
        return cls(
            macs,
            sum(node.padded_macs or 0 for node in known),
            sum(node.zero_weight_macs or 0 for node in known),
            sum(node.gate_macs for node in known),
            sum(node.float32_gate_macs for node in known),
            macs * int8.gates,
            sum(node.pj for node in known),
            sum((node.macs or 0) * node.float32.pj for node in known),
            macs * int8.pj,
            sum((node.macs or 0) * node.unit.um2 for node in known if node.unit) / max(macs, 1),
            sum((node.macs or 0) * node.float32.um2 for node in known) / max(macs, 1),
            sum(node.partial_sum_bits or 0 for node in known),
        )

    @property
    def over_float32(self) -> float | None:
        """Gates over those of float32 sums; None where nothing is known."""
        return self.gate_macs / self.float32_gate_macs if self.macs else None

    @property
    def over_int8(self) -> float | None:
        """Gates over those of int8 operands and int32 sums."""
        return self.gate_macs / self.int8_gate_macs if self.macs else None

    def to_json(self) -> dict[str, Any]:
        """Return the sums as a JSON object."""
        return {**vars(self), "over_float32": self.over_float32, "over_int8": self.over_int8}


@dataclass(frozen=True)
class StoredOperands:
    """What a model costs if operands take all that they are stored in, where the model does not tell their formats.

    Attributes:
        types: What they are stored in, such as "float32".
        totals: The sums.
    """

    types: tuple[str, ...]
    totals: Totals

    def to_json(self) -> dict[str, Any]:
        """Return types and sums as one JSON object."""
        return {"types": list(self.types), **self.totals.to_json()}


@dataclass(frozen=True)
class ModelCost:
    """What a model costs.

    Attributes:
        nodes: Each product of the ledger.
        table: The table of costs.
        int8: What one product costs with int8 operands and int32 sums.
        stored_operands: The sums with these operands as they are stored; None where the model tells all formats.
        reference: The model that this one is held against, or None.
    """

    nodes: tuple[NodeCost, ...]
    table: CostTable
    int8: UnitCost
    stored_operands: StoredOperands | None = None
    reference: "ModelCost | None" = None

    @property
    def operand_sources(self) -> dict[str, str]:
        """The formats of operands that the model does not tell, to what says so: "given", "accumulator", "default"."""
        return operand_sources(self.nodes)

    @property
    def operand_format(self) -> str:
        """These formats, such as "M4E3"; "" where the model tells all."""
        return operand_format_of(self.operand_sources)

    @property
    def totals(self) -> Totals:
        """Sums over the nodes whose products and prices are known."""
        return Totals.of(self.nodes, self.int8)

    @property
    def left(self) -> tuple[NodeCost, ...]:
        """The nodes that accumulate as they did."""
        return tuple(node for node in self.nodes if node.spec is None)

    @property
    def unknown(self) -> tuple[NodeCost, ...]:
        """Those of which the number of products is not known."""
        return tuple(node for node in self.nodes if node.macs is None)

    @property
    def unpriced(self) -> tuple[NodeCost, ...]:
        """Those whose accumulator has no price, or whose depth is not known."""
        return tuple(node for node in self.nodes if node.unit is None)

    @property
    def over_reference(self) -> float | None:
        """Gates over those of the reference; None without one, or where nothing of it is known."""
        other = self.reference.totals.gate_macs if self.reference else 0.0
        return self.totals.gate_macs / other if other else None

    def gates_by_group(self) -> dict[str, tuple[float, float]]:
        """Return the gates of a mean product by group, and those with float32 sums; measured ones are a group."""
        known = [node for node in self.nodes if node.is_known]
        macs = sum(node.macs or 0 for node in known)
        names = [group.value for group in Group]
        names += [name for node in known for name in (node.unit.groups if node.unit else ()) if name not in names]
        return {
            name: (
                sum((node.macs or 0) * node.unit.groups.get(name, 0.0) for node in known if node.unit) / macs,
                sum((node.macs or 0) * node.float32.groups.get(name, 0.0) for node in known) / macs,
            )
            for name in dict.fromkeys(names if macs else ())
        }

    def to_json(self) -> dict[str, Any]:
        """Return the cost as a JSON object."""
        return {
            "operand_format": self.operand_format,
            "operand_sources": self.operand_sources,
            "table": self.table.to_json(),
            "nodes": [node.to_json() for node in self.nodes],
            "totals": self.totals.to_json(),
            "gates_by_group": {
                name: {"gates": own, "float32": other} for name, (own, other) in self.gates_by_group().items()
            },
            "int8": {"gates": self.int8.gates, "pj": self.int8.pj, "um2": self.int8.um2},
            **{name: [node.node for node in getattr(self, name)] for name in ("left", "unknown", "unpriced")},
            "stored_operands": self.stored_operands.to_json() if self.stored_operands else None,
            "reference": self.reference.totals.to_json() if self.reference else None,
            "over_reference": self.over_reference,
        }
