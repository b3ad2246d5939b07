"""The tables of a page: cells with their text, and the number by which a column is sorted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lba_onnx.reporting.sections import Accuracy, Cost, Estimate, Front, Layers, Ledger
from lba_onnx.rewrite.mac_share import mac_text, percent_text
from lba_onnx.text import visible

_WITHOUT_REMARK = 5  # columns of a ledger in which nothing is left
NOTHING = "–"  # noqa: RUF001


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        heading: What stands above it.
        kind: "name", "code" (accumulators), "number", "text", "sentence", or "long" (hashes, paths).
    """

    heading: str
    kind: str = "number"


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What it shows.
        value: What it is sorted by; None to sort by the text.
    """

    text: str
    value: float | None = None


@dataclass(frozen=True)
class PageTable:
    """A table.

    Attributes:
        caption: What it is of.
        columns: Its columns.
        rows: A cell for each column.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def ledger_table(ledger: Ledger) -> PageTable:
    """Return every product, converted or left."""
    columns = (
        Column("Node", "name"),
        Column("Operator", "text"),
        Column("Accumulator", "code"),
        Column("MACs"),
        Column("Share"),
        *((Column("Remark", "sentence"),) if any(row.reason for row in ledger.rows) else ()),
    )
    rows = [
        (
            _text(row.node),
            _text(row.op_type),
            _text(row.spec or "left"),
            Cell("unknown") if row.macs is None else Cell(mac_text(row.macs).removesuffix("MAC").strip(), row.macs),
            Cell(percent_text(row.macs, ledger.macs), row.macs) if row.macs and ledger.macs else Cell(NOTHING),
            *((_text(row.reason),) if len(columns) > _WITHOUT_REMARK else ()),
        )
        for row in ledger.rows
    ]
    return PageTable("All products of the model", columns, rows)


def layers_table(layers: Layers) -> PageTable:
    """Return what is expected of each layer, and what was measured."""
    events = list(dict.fromkeys(name for row in layers.rows for name, share in (row.events or {}).items() if share))
    columns = [Column("Node", "name"), Column("Accumulator", "code"), Column("Depth"), Column("Shrink, expected")]
    columns.append(Column("SQNR dB, expected"))
    if layers.is_measured:
        columns += [Column("SQNR dB, measured"), Column("Output alone, dB")]
        columns += [Column(f"{name.replace('_', ' ')} %") for name in events]
        columns.append(Column("What makes the error", "sentence"))
    rows = []
    for row in layers.rows:
        cells = [_text(row.node), _text(row.spec), _number(row.depth, "d"), _share(row.expected_shrink)]
        cells.append(_number(row.expected_sqnr_db, ".1f"))
        if layers.is_measured:
            cells += [_number(row.own_sqnr_db, ".1f"), _number(row.output_sqnr_db, ".1f")]
            cells += [_percent((row.events or {}).get(name)) for name in events]
            cells.append(_text(row.cause))
        rows.append(cells)
    return PageTable("Layers, expected and measured" if layers.is_measured else "Layers, expected", columns, rows)


def cost_table(cost: Cost) -> PageTable:
    """Return what each product takes."""
    columns = (
        Column("Node", "name"),
        Column("Accumulator", "code"),
        Column("Operands", "code"),
        Column("Depth"),
        Column("Gates per MAC"),
        Column("Of float32 sums"),
    )
    rows = [
        (
            _text(row.node),
            _text(row.spec or "left"),
            _text(row.operands),
            _number(row.depth, "d"),
            _number(row.gates, ".0f"),
            _share(None if row.gates is None else row.gates / row.float32_gates),
        )
        for row in cost.rows
    ]
    return PageTable("Gates of each product", columns, rows)


def figures_table(accuracy: Accuracy, reference: str) -> PageTable | None:
    """Return the figures with their intervals, beside those of what is called the reference; None without any."""
    if not accuracy.figures:
        return None
    has_reference = any(figure.reference for figure in accuracy.figures)
    columns = [Column("Figure", "name"), Column("Converted")]
    columns += (
        [Column(reference.capitalize()), Column("Difference"), Column("Finding", "text")] if has_reference else []
    )
    rows = []
    for figure in accuracy.figures:
        cells = [_text(f"{figure.name} {figure.unit}".strip()), with_interval(figure.candidate)]
        if has_reference:
            is_better = figure.difference is not None and (figure.difference.value > 0) == figure.larger_is_better
            finding = ("better" if is_better else "worse") if figure.is_significant else "no difference shown"
            cells += [with_interval(figure.reference), with_interval(figure.difference, "+"), Cell(finding)]
        rows.append(cells)
    return PageTable("Accuracy, with 95 % intervals", columns, rows)


def outputs_table(accuracy: Accuracy, reference: str) -> PageTable | None:
    """Return how close each output is to the reference's; None without."""
    if not accuracy.outputs:
        return None
    columns = (Column("Output", "name"), Column("Mean cosine"), Column("SQNR dB"), Column("Largest difference"))
    rows = [
        (
            _text(output.name),
            _number(output.mean_cosine, ".6f"),
            with_interval(output.sqnr_db),
            _number(output.max_abs_difference, ".4g"),
        )
        for output in accuracy.outputs
    ]
    return PageTable(f"Outputs beside those of {reference}", columns, rows)


def front_table(front: Front) -> PageTable:
    """Return every point."""
    has_verdicts = any(point.against for point in front.points)
    has_numbers = any(point.number is not None for point in front.points)
    numbers = [Column("Point")] if has_numbers else []
    columns = (
        *numbers,
        Column("Choice", "name"),
        Column(front.cost_label),
        Column("Of float32 sums"),
        Column(front.loss_name),
    )
    rows = [
        (
            *([_number(point.number, "d")] if has_numbers else []),
            _text(point.label),
            _number(point.cost, ".4g"),
            _share(point.cost / front.float32_cost if front.float32_cost else None),
            with_interval(point.loss),
            Cell("on the front" if point.is_on_front else "", float(point.is_on_front)),
            *((Cell(point.against),) if has_verdicts else ()),
        )
        for point in front.points
    ]
    flags = [Column("Front", "text"), *([Column("Against the best uniform", "text")] if has_verdicts else [])]
    return PageTable("Every point", (*columns, *flags), rows)


def choices_table(front: Front) -> PageTable | None:
    """Return what each product computes with in each point of a search; None of others."""
    points = sorted((point for point in front.points if point.number), key=lambda point: point.number or 0)
    if not points:
        return None
    columns = (Column("Node", "name"), *(Column(f"Point {point.number}", "code") for point in points))
    nodes = dict.fromkeys(node for point in points for node in point.choices)
    rows = [(_text(node), *(_text(point.choices.get(node, NOTHING)) for point in points)) for node in nodes]
    return PageTable("What each product computes with", columns, rows)


def with_interval(estimate: Estimate | None, sign: str = "") -> Cell:
    """Return a figure with its interval in brackets."""
    if estimate is None:
        return Cell(NOTHING)
    value = f"{estimate.value:{sign}.4g}"
    if estimate.low is None or estimate.high is None:
        return Cell(_minus(value), estimate.value)
    return Cell(_minus(f"{value} ({estimate.low:{sign}.3g} to {estimate.high:{sign}.3g})"), estimate.value)


def settings_table(caption: str, rows: Iterable[tuple[str, str]]) -> PageTable:
    """Return names and values."""
    columns = (Column("Name", "name"), Column("Value", "long"))
    return PageTable(caption, columns, [(_text(name), _text(value)) for name, value in rows])


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _text(text: str) -> Cell:
    return Cell(visible(text))


def _number(value: float | None, form: str) -> Cell:
    return Cell(NOTHING) if value is None else Cell(_minus(f"{value:{form}}"), float(value))


def _percent(share: float | None) -> Cell:
    return Cell(NOTHING) if share is None else Cell(f"{100 * share:.2g}", share)


def _share(share: float | None) -> Cell:
    return Cell(NOTHING) if share is None else Cell(f"{100 * share:.3g} %", share)
