"""The cost of a model, and published figures, as tables and sentences for people."""

from collections.abc import Iterable, Iterator

from lba_onnx.costing.model_cost import ModelCost, Totals
from lba_onnx.costing.node_cost import NodeCost
from lba_onnx.costing.operand_formats import operands_text
from lba_onnx.costing.published import Point
from lba_onnx.rewrite.mac_share import mac_text, percent_text
from lba_onnx.text import TextTable, figures, names, remarks

_UNKNOWN = "unknown"
_ADVICE = "MACs are not known: --input_shapes or --data_path gives the sizes that the model leaves open"


def cost_text(cost: ModelCost, is_split: bool = False) -> Iterator[TextTable | str]:
    """Yield what a command prints of a model's cost.

    Args:
        cost: The cost.
        is_split: Whether to tell of each node what its gates are for.
    """
    yield _nodes(cost)
    if is_split:
        yield _split(cost)
    if cost.totals.macs:
        yield _groups(cost)
    yield from _sentences(cost)


def gates_saved(over_float32: float) -> str:
    """Return what sums do beside float32 sums of the same operands, in words.

    Args:
        over_float32: Their gates over those of float32 sums.
    """
    percent = round(100 * (1 - over_float32))
    if percent < 0:
        return f"take {-percent} % more gates than float32 sums"
    return f"save {percent} % of the gates of float32 sums"


def points_table(points: Iterable[Point]) -> TextTable:
    """Return published figures beside those of the model."""
    columns = (*names("figure"), *figures("published", "model", "error"), *remarks("source"))
    return TextTable(columns, map(_point, points))


def _point(point: Point) -> tuple[str, ...]:
    published = "-" if point.published is None else f"{point.published:.4g}"
    error = "-" if point.error_percent is None else f"{point.error_percent:+.0f} %"
    return point.name, published, f"{point.model:.4g}", error, point.source


def _nodes(cost: ModelCost) -> TextTable:
    columns = (
        *names("node", "operator"),
        *figures("MACs", "depth", "levels", "chunks", "spec", "operands", "gates/MAC", "of float32", "share"),
        *remarks("remark"),
    )
    rows = (_node(node, cost.totals.gate_macs) for node in cost.nodes)
    return TextTable(columns, rows, f"{len(cost.nodes)} products, {_operands(cost)}, table {cost.table.name}")


def _node(node: NodeCost, total: float) -> tuple[str, ...]:
    unit = node.unit
    over = f"{100 * unit.gates / node.float32.gates:.0f} %" if unit else ""
    return (
        node.node,
        node.op_type,
        _UNKNOWN if node.macs is None else _short(node.macs),
        _UNKNOWN if node.depth is None else str(node.depth),
        _UNKNOWN if node.levels is None else str(node.levels),
        _UNKNOWN if node.chunks is None else ", ".join(map(str, node.chunks)) or "none",
        node.spec or "left",
        node.operands,
        f"{unit.gates:.0f}" if unit else _UNKNOWN,
        over,
        percent_text(round(node.gate_macs), round(total)) if node.is_known and total else "",
        node.reason,
    )


def _split(cost: ModelCost) -> TextTable:
    priced = [(node.node, node.unit.groups) for node in cost.nodes if node.unit]
    groups = list(dict.fromkeys(name for _, own in priced for name in own))
    rows = ((node, *(f"{own.get(name, 0):.1f}" for name in groups)) for node, own in priced)
    return TextTable((*names("node"), *figures(*groups)), rows, "Gates of a multiply-accumulate, node by node")


def _groups(cost: ModelCost) -> TextTable:
    rows = [(name, f"{own:.1f}", f"{wide:.1f}") for name, (own, wide) in cost.gates_by_group().items()]
    title = "Gates of a mean multiply-accumulate, by what they are for"
    return TextTable(figures("group", "gates", "float32 sums"), rows, title)


def _sentences(cost: ModelCost) -> Iterator[str]:
    totals = cost.totals
    if not totals.macs:
        if cost.nodes:
            yield _ADVICE
        return
    padded, zero = percent_text(totals.padded_macs, totals.macs), percent_text(totals.zero_weight_macs, totals.macs)
    yield f"{mac_text(totals.macs)}, of which {padded} multiply padding and {zero} a weight of zero, {_operands(cost)}"
    yield _gates(totals)
    if cost.over_reference is not None:
        yield f"over the reference: {100 * cost.over_reference:.1f} % of its gate-MACs"
    yield from _estimates(cost)
    stored = cost.stored_operands
    if stored is not None and stored.totals != totals:
        names = " and ".join(stored.types)
        yield (
            f"the model does not say its operands are {cost.operand_format}, its tensors are {names}: with {names} "
            f"operands, whose multiplier dominates, the same sums {gates_saved(stored.totals.over_float32 or 0)}"
        )
    yield from _exceptions(cost)


def _gates(totals: Totals) -> str:
    over_float32, over_int8 = 100 * (totals.over_float32 or 0), 100 * (totals.over_int8 or 0)
    return (
        f"{_short(totals.gate_macs)}gate-MACs: {over_float32:.1f} % of float32 sums of the same operands, "
        f"{over_int8:.1f} % of int8 operands and int32 sums"
    )


def _estimates(cost: ModelCost) -> Iterator[str]:
    totals, process = cost.totals, cost.table.process
    yield (
        f"energy, estimated for {process}: {_joules(totals.pj)}; with float32 sums {_joules(totals.float32_pj)}, "
        f"with int8 operands and int32 sums {_joules(totals.int8_pj)}"
    )
    float32 = f"{totals.float32_um2:.0f} um2 with float32 sums"
    yield f"area of a mean multiply-accumulate, estimated likewise: {totals.um2:.0f} um2; {float32}"
    yield f"sums of all outputs: {_short(totals.partial_sum_bits)}bit in registers"


def _exceptions(cost: ModelCost) -> Iterator[str]:
    for nodes, what in (
        (cost.left, "left, and priced at float32, or of integers at int32"),
        (cost.unknown, "with an unknown number of products, not in the sums"),
        (cost.unpriced, "without a price, not in the sums"),
    ):
        if nodes:
            yield f"{len(nodes)} {what}: {', '.join(node.node for node in nodes)}"


def _operands(cost: ModelCost) -> str:
    if not cost.operand_sources:
        return "operands as the model says"
    is_told = any(told is not None for node in cost.nodes for told in node.told_operands)
    return f"operands {operands_text(cost.operand_sources)}" + (" where the model says nothing" if is_told else "")


def _short(number: float) -> str:
    """Return a number with three digits, and a space or a prefix such as M behind it."""
    return mac_text(round(number)).removesuffix("MAC")


def _joules(pj: float) -> str:
    exponent, unit = next(((e, name) for e, name in ((12, "J"), (9, "mJ"), (6, "uJ")) if pj >= 10**e), (3, "nJ"))
    return f"{pj / 10**exponent:.3g} {unit}"
