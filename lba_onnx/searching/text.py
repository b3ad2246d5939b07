"""What a search found, in words and tables."""

from collections import Counter
from collections.abc import Iterator

from lba_onnx.costing.operand_formats import operands_text
from lba_onnx.evaluation import MeanEstimate
from lba_onnx.searching.search_result import Search, SearchPoint
from lba_onnx.text import TextTable, figures, names, remarks


def search_text(search: Search) -> Iterator[TextTable | str]:
    """Yield what a command prints: the points, uniform choices beside them, and what was run."""
    settings, samples = search.settings, search.samples
    assumed = operands_text(settings.operand_sources)
    operands = f"operands {assumed}" if settings.stored_types else "operands as the model says"
    title = (
        f"{len(search.products)} products, {settings.unit}, {operands}; loss: {settings.loss}, "
        f"on {samples['checked']} samples kept apart"
    )
    columns = (
        *names("point"),
        *figures("cost", "of float32", "loss", "95 % interval", "SQNR dB", "top-1 as float32 %"),
        *remarks("choices", "against one for all"),
    )
    rows = [_row(str(n), point) for n, point in enumerate(search.points, 1)]
    rows += [_row(str(point.uniform), point) for point in search.uniform]
    yield TextTable(columns, rows, title)
    yield _products(search)
    if settings.stored_types and settings.operand_format not in settings.stored_types:
        types = " and ".join(settings.stored_types)
        yield (
            f"the model does not say its operands are {settings.operand_format}, its tensors are {types}: "
            f"--operand_format {settings.stored_types[-1]} searches for these, whose multiplier leaves less to save"
        )
    yield _passes(search)
    yield from (f"wrote {point.model_path}" for point in search.points if point.model_path)


def _passes(search: Search) -> str:
    passes, samples = search.passes, search.samples
    parts = ("calibration", "sensitivity", "correction", "trial")
    told = (
        f"{passes.all:.1f} float32 passes over {samples['seen']} samples, {passes.bound} allowed: "
        f"{', '.join(f'{getattr(passes, part):.1f} {part}' for part in parts)}; {passes.models} models tried. "
        f"Beside these {passes.check:.1f} to check on {samples['checked']} samples"
    )
    if passes.all <= passes.bound:
        return told
    return f"{told}. That is more than is allowed: the uniform choices and one model for each point alone take it"


def _products(search: Search) -> TextTable:
    columns = (*names("node"), *figures("MACs"), *names(*(f"point {n}" for n in range(1, len(search.points) + 1))))
    rows = (
        (product.node, str(product.macs), *(point.choices[product.node] for point in search.points))
        for product in search.products
    )
    return TextTable(columns, rows, "What each product computes with")


def _row(name: str, point: SearchPoint) -> tuple[str, ...]:
    output, agreement = point.comparison.outputs[0], point.comparison.agreement
    counts = Counter(point.choices.values())
    return (
        name,
        f"{point.cost:.4g}",
        f"{100 * point.over_float32:.1f} %",
        f"{point.loss.mean:.3g}",
        _interval(point.loss),
        "-" if output.sqnr_db is None else f"{output.sqnr_db:.1f}",
        "-" if agreement is None else f"{agreement.percent:.1f}",
        ", ".join(f"{count} {text}" for text, count in sorted(counts.items())),
        _against(point),
    )


def _interval(estimate: MeanEstimate) -> str:
    return "-" if estimate.interval is None else "{:.3g} to {:.3g}".format(*estimate.interval)


def _against(point: SearchPoint) -> str:
    against = point.against
    if against is None:
        return ""
    saved = 100 * (1 - point.cost / against.cost)
    difference = against.loss_difference
    ranged = "" if difference.interval is None else " ({:+.2g} to {:+.2g})".format(*difference.interval)
    return f"{against.verdict} against {against.choice}: loss {difference.mean:+.2g}{ranged}, {_cheaper(saved)}"


def _cheaper(percent: float) -> str:
    return f"{abs(percent):.1f} % {'dearer' if percent < 0 else 'cheaper'}"
