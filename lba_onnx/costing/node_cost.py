"""What one product of a model's node costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lba_onnx.costing.unit_cost import UnitCost

FLOAT32, INT32, INT8 = "fp32-fma", "int32-wrap", "int8"
"""The accumulators of what costs are held against, and the operands of the second."""


@dataclass(frozen=True)
class NodeCost:
    """What one product of a node costs in a run of the model.

    Attributes:
        node: Its key, as in the ledger.
        op_type: The operator in the model.
        spec: The accumulator's text; None for a node that is left, which is priced at float32, or, where it multiplies
            integers, at int32.
        operands: The formats of the operands.
        told_operands: Those of them that the model tells, each; None for one that it does not.
        assumed_operands: Those that stand for what it does not tell.
        assumed_by: What says so: "given" by the user, "accumulator", or "default".
        stored_types: What the operands are stored in that the model does not tell, and that were given.
        reason: Why it is left, or why it has no price; "" where neither is so.
        macs: How many products are multiplied and added; None where that is not known.
        depth: Products per sum; None where that is not known.
        padded_macs: How many of the products meet padding; None where that is not known.
        zero_weight_macs: How many have a weight of zero; None where weights are not constant.
        unit: What one product costs; None where that is not known.
        float32: What one costs with float32 sums of the same operands.
    """

    node: str
    op_type: str
    spec: str | None
    operands: str
    told_operands: tuple[str | None, str | None]
    assumed_operands: str
    assumed_by: str
    stored_types: tuple[str, ...]
    reason: str
    macs: int | None
    depth: int | None
    padded_macs: int | None
    zero_weight_macs: int | None
    unit: UnitCost | None
    float32: UnitCost

    @property
    def operands_from_model(self) -> bool:
        """Whether the model tells the formats of both operands."""
        return not self.stored_types

    @property
    def levels(self) -> int | None:
        """Levels of sums; None where the accumulator does not tell."""
        return len(self.unit.sums) or None if self.unit else None

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Sums of each level below the total, innermost first: chunks, trees, tiles, slices; None likewise."""
        return self.unit.sums[:-1] if self.unit and self.unit.sums else None

    @property
    def is_known(self) -> bool:
        """Whether both the number of products and the price of one are known."""
        return self.macs is not None and self.unit is not None

    @property
    def gate_macs(self) -> float:
        """Gates of one product times products; 0 where they are not known."""
        return (self.macs or 0) * (self.unit.gates if self.unit else 0.0)

    @property
    def pj(self) -> float:
        """Energy of all products in picojoules, an estimate; 0 where it is not known."""
        return (self.macs or 0) * (self.unit.pj if self.unit else 0.0)

    @property
    def float32_gate_macs(self) -> float:
        """What the same products take with float32 sums, where the node's own cost is known."""
        return (self.macs or 0) * self.float32.gates if self.is_known else 0.0

    @property
    def partial_sum_bits(self) -> int | None:
        """Bits of the sums of all outputs together, as if all were computed at once; None where that is not known."""
        if self.unit is None or self.macs is None or not self.depth:
            return None
        return self.macs // self.depth * self.unit.register_bits

    def to_json(self) -> dict[str, Any]:
        """Return the cost as a JSON object; what is not known is null."""
        known = self.is_known
        return {
            **vars(self),
            "told_operands": list(self.told_operands),
            "stored_types": list(self.stored_types),
            "operands_from_model": self.operands_from_model,
            "levels": self.levels,
            "chunks": None if self.chunks is None else list(self.chunks),
            "unit": self.unit.to_json() if self.unit else None,
            "float32": {"gates": self.float32.gates, "pj": self.float32.pj, "um2": self.float32.um2},
            "gate_macs": self.gate_macs if known else None,
            "pj": self.pj if known else None,
            "float32_gate_macs": self.float32_gate_macs if known else None,
            "partial_sum_bits": self.partial_sum_bits,
        }


def stored_types(nodes: Iterable[NodeCost]) -> tuple[str, ...]:
    """Return what operands of all nodes are stored in whose formats the model does not tell, such as "float32"."""
    return tuple(sorted({name for node in nodes for name in node.stored_types}))


def operand_sources(nodes: Iterable[NodeCost]) -> dict[str, str]:
    """Return the formats that stand for what the model does not tell, and what says so; none where it tells all."""
    return {node.assumed_operands: node.assumed_by for node in nodes if node.stored_types}
