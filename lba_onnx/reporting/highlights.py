"""What a report says first: a few figures, and a sentence for each section."""

from dataclasses import dataclass

from lba_onnx.costing.operand_formats import operands_text
from lba_onnx.costing.text import gates_saved
from lba_onnx.reporting.sections import Accuracy, Cost, Front, Layers, Report
from lba_onnx.reporting.tables import with_interval
from lba_onnx.rewrite.mac_share import percent_text
from lba_onnx.text import visible


@dataclass(frozen=True)
class Highlight:
    """A figure that stands large.

    Attributes:
        heading: What it is.
        figure: The figure.
        note: What belongs to it.
        section: The section that it is of.
    """

    heading: str
    figure: str
    note: str
    section: str


def highlights(report: Report) -> list[Highlight]:
    """Return the figures that stand above all sections."""
    found = [
        _converted(report),
        _saved(report.cost),
        _accuracy(report.accuracy, report.reference_name),
        _worst(report.layers),
    ]
    return [highlight for highlight in found if highlight is not None]


def _converted(report: Report) -> Highlight:
    ledger = report.ledger
    done = sum(row.spec is not None for row in ledger.rows)
    note = f"{done} of {len(ledger.rows)} products of the model"
    share = percent_text(ledger.converted_macs, ledger.macs) if ledger.macs else f"{done} of {len(ledger.rows)}"
    return Highlight("MACs converted", share, note, "ledger")


def _saved(cost: Cost | None) -> Highlight | None:
    if cost is None or cost.over_float32 is None:
        return None
    saved = round(100 * (1 - cost.over_float32))
    heading, sums = ("Gates saved", "of float32 sums") if saved >= 0 else ("Gates added", "more than float32 sums")
    return Highlight(heading, f"{abs(saved)} %", f"{sums}, operands {_of_operands(cost)}", "cost")


def _of_operands(cost: Cost) -> str:
    return operands_text(cost.operand_sources) or "as the model says"


def _accuracy(accuracy: Accuracy | None, reference: str) -> Highlight | None:
    if accuracy is None:
        return None
    first = next(iter(accuracy.figures), None)
    if first is not None and first.difference is not None:
        change = f"{first.difference.value:+.3g}".replace("-", "\N{MINUS SIGN}")
        shown = "beyond chance" if first.is_significant else "no difference shown"
        note = f"percentage points, {shown}" if first.unit == "%" else shown
        return Highlight(f"{first.name.capitalize()} against {reference}", change, note, "accuracy")
    if accuracy.agreement is not None:
        note = f"of {accuracy.samples} samples"
        return Highlight(f"Same top-1 as {reference}", f"{accuracy.agreement.value:.1f} %", note, "accuracy")
    if first is not None and first.candidate is not None:
        note = f"on {accuracy.samples} samples"
        return Highlight(first.name.capitalize(), f"{first.candidate.value:.4g} {first.unit}".strip(), note, "accuracy")
    sqnr = next((output.sqnr_db for output in accuracy.outputs if output.sqnr_db), None)
    if sqnr is None:
        return None
    return Highlight("Output's SQNR", f"{sqnr.value:.1f} dB", f"on {accuracy.samples} samples", "accuracy")


def _worst(layers: Layers) -> Highlight | None:
    if layers.is_measured:
        worst = layers.rows[0] if layers.rows else None
        value = worst and worst.own_sqnr_db
        heading = "Layer that hurts most"
    else:
        worst = min(layers.rows, key=lambda row: row.expected_sqnr_db or float("inf"), default=None)
        value = worst and worst.expected_sqnr_db
        heading = "Layer expected to lose most"
    if worst is None or value is None:
        return None
    return Highlight(heading, f"{value:.1f} dB".replace("-", "\N{MINUS SIGN}"), worst.node, "layers")


def accuracy_sentence(accuracy: Accuracy) -> str:
    """Return what was measured, in a sentence or two."""
    text = f"Measured on {accuracy.samples} samples."
    if accuracy.agreement is not None:
        text += f" Both models give the same top-1 on {with_interval(accuracy.agreement).text} % of them."
    return f"{text} Ranges are 95 % intervals."


def cost_sentence(cost: Cost) -> str:
    """Return what the model takes, and what that depends on."""
    parts = []
    if cost.over_float32 is not None and cost.over_int8 is not None:
        parts.append(
            f"{100 * cost.over_float32:.1f} % of the gates of float32 sums of the same operands, and "
            f"{100 * cost.over_int8:.1f} % of int8 operands with int32 sums."
        )
    if cost.pj_over_float32 is not None:
        parts.append(f"Estimated energy: {100 * cost.pj_over_float32:.0f} % of float32 sums.")
    if cost.over_float32_as_stored not in (None, cost.over_float32):
        names, saved = " and ".join(cost.stored_types), gates_saved(cost.over_float32_as_stored or 0)
        parts.append(
            f"The model does not say that its operands are {cost.operand_format}, its tensors are {names}: with "
            f"{names} operands, whose multiplier dominates, the same sums {saved}."
        )
    return " ".join(parts)


def layers_sentence(layers: Layers) -> str:
    """Return what the layers' figures are."""
    expected = (
        "Expected is what rounding alone takes, from bits, rounding and the order of sums; overflow and underflow have "
        "no part in it."
    )
    if all(row.expected_sqnr_db is None for row in layers.rows):
        expected = "Nothing is expected of rounding: depths are not known, or sums do not round."
    if not layers.is_measured:
        return f"Nothing was measured here. {expected}"
    counted = any(row.nonzero is not None for row in layers.rows)
    behind = " Products that are zero, which round nothing, are left out as counted." if counted else ""
    return f"Measured on {layers.samples} samples, each layer on the inputs that float32 gives it. {expected}{behind}"


def front_sentence(front: Front, cost: Cost | None) -> str:
    """Return what the points are, and of which operands they cost what they do.

    Args:
        front: The points.
        cost: What the page tells of the model's own cost.
    """
    best = sum(point.is_on_front for point in front.points)
    verdicts = [point.against for point in front.points if point.against]
    counted = ", ".join(f"{verdicts.count(word)} {word}" for word in ("wins", "ties", "loses") if word in verdicts)
    beside = f" Beside the best accumulator for all at the same budget or loss: {counted}." if counted else ""
    on = "" if front.samples is None else f" on {front.samples} samples"
    return (
        f"{len(front.points)} ways to convert the model; no other one beats {best} of them. Less cost is to the left, "
        f"less loss below. Measured{on}; bars are 95 % intervals. Squares have one accumulator for all, circles a "
        f"mixture.{beside} Models were {_correction(front.effort)}.{_operands(front, cost)}"
    )


def _correction(effort: str | None) -> str:
    return "not corrected" if effort is None else f"corrected, with effort {effort}"


def _operands(front: Front, cost: Cost | None) -> str:
    if front.operand_format is None:
        return ""
    differ = cost is not None and bool(cost.stored_types) and cost.operand_format != front.operand_format
    beside = f", not of {cost.operand_format} as above" if cost is not None and differ else ""
    return f" Costs are of operands {front.operand_format}{beside}, where the model does not say."


def spreads_sentence(count: int) -> str:
    """Return how to read the histograms."""
    return visible(
        f"How the values of {count} products of the model are spread over powers of two. Shaded is what the format "
        "holds: what lies to the right of it saturates, what lies to the left becomes zero."
    )
