"""The tables of docs/results.md about integer accumulators."""

import re
from collections.abc import Sequence

from benchmarks.harness import Row

_CURVE = re.compile(r"int(\d+)-(wrap|saturate)")


def render(rows: Sequence[Row]) -> str:
    """Return a Markdown table of all models at 32 bits and on AVX2, then a table a model: a line for each width."""
    cases: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["model"], row["form"]), {})[row["accumulator"]] = row
    curves = [_curves(*case, found) for case, found in cases.items()]
    return "\n\n".join([_overview(cases), *filter(None, curves)])


def _overview(cases: dict[tuple[str, str], dict[str, Row]]) -> str:
    titles = ("model", "form", "nodes converted", "same bits at 32", "int8", "`x86-u8s8`", "likeness of it to int8")
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for (model, form), found in cases.items():
        exact, pairs = found["int32-wrap"], found["x86-u8s8"]
        cells = [
            model,
            form,
            f"{exact['converted']} of {exact['converted'] + exact['left']}",
            f"{exact['same_bits']}/{exact['samples']}",
            pairs["int8_right"],
            _right(pairs),
            f"{pairs['likeness']:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _curves(model: str, form: str, found: dict[str, Row]) -> str:
    """Return a model's table; "" where no width but 32 was measured."""
    curve = {(match[1], match[2]): found[match[0]] for match in map(_CURVE.fullmatch, found) if match}
    widths = sorted({int(bits) for bits, _ in curve} - {32}, reverse=True)
    if len(widths) < 3:
        return ""
    first = next(row for (bits, _), row in curve.items() if bits != "32")
    lines = [
        f"### {model}, {form}",
        "",
        f"Test samples right in int8: {first['int8_right']}. Likeness to int8: {first['likeness_name']}.",
        "",
        "| bits | wrap: right | likeness | saturate: right | likeness |",
        "| --- | --- | --- | --- | --- |",
    ]
    for bits in widths:
        pair = (curve.get((str(bits), overflow)) for overflow in ("wrap", "saturate"))
        lines.append(f"| {bits} | {' | '.join(cell for row in pair for cell in _cells(row))} |")
    others = [row for text, row in found.items() if "converted" in row and not _CURVE.fullmatch(text)]
    lines += ["", "| accumulator | right | likeness |", "| --- | --- | --- |"]
    lines += [f"| `{row['accumulator']}` | {' | '.join(_cells(row))} |" for row in others]
    return "\n".join(lines)


def _cells(row: Row | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (_right(row), f"{row['likeness']:.4f}")


def _right(row: Row) -> str:
    low, high = (100 * limit for limit in row["right_interval"])
    return f"{row['right']} ({low:.1f} to {high:.1f} %)"
