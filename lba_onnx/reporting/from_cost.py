"""Cost out of what `cost --json` prints."""

from collections.abc import Mapping
from typing import Any

from lba_onnx.reporting.sections import Cost, CostRow


def cost_section(value: Mapping[str, Any]) -> Cost | None:
    """Return what sums cost; None where no product has both a price and a count."""
    totals, stored = value["totals"], value["stored_operands"] or {}
    if not totals["macs"]:
        return None
    groups = {str(name): (float(g["gates"]), float(g["float32"])) for name, g in value["gates_by_group"].items()}
    return Cost(
        str(value["operand_format"]),
        {str(text): str(source) for text, source in value["operand_sources"].items()},
        str(value["table"]["name"]),
        totals["over_float32"],
        totals["over_int8"],
        totals["pj"] / totals["float32_pj"] if totals["float32_pj"] else None,
        tuple(map(str, stored.get("types", ()))),
        stored.get("over_float32"),
        groups,
        tuple(_row(node) for node in value["nodes"]),
    )


def _row(node: Mapping[str, Any]) -> CostRow:
    gates = None if node["unit"] is None else float(node["unit"]["gates"])
    own = {name: node[name] for name in ("spec", "operands", "macs", "depth")}
    x, w = node["told_operands"]
    return CostRow(
        str(node["node"]), **own, told_operands=(x, w), gates=gates, float32_gates=float(node["float32"]["gates"])
    )
