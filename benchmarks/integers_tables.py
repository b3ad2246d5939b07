"""The tables of docs/results.md about integer accumulators."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.harness import Row

_CURVE = re.compile(r"int(\d+)-(wrap|saturate)")


def render(rows: Sequence[Row]) -> str:
    """Return a Markdown table of all models at 32 bits and in pairs, then one for each model and width.

    Forms of a model that have the same figures in all accumulators that they were measured in share the table of the
    form with the most.
    """
    cases: dict[tuple[str, str], dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["model"], row["form"]), {})[row["accumulator"]] = row
    alike: dict[tuple[str, str], dict[str, dict[str, Row]]] = {}
    for model, form in sorted(cases, key=lambda case: -len(cases[case])):
        found = cases[model, form]
        shown = next((case for case in alike if case[0] == model and _is_part(found, cases[case])), None)
        if shown is None:
            alike[model, form] = {}
        else:
            alike[shown][form] = found
    curves = [_curves(*case, found, alike[case]) for case, found in cases.items() if case in alike]
    return "\n\n".join([_overview(cases), *filter(None, curves)])


def _is_part(found: Mapping[str, Row], others: Mapping[str, Row]) -> bool:
    """Return whether all figures of accumulators are among others, and the same there."""
    keys = ("samples", "right", "likeness", "largest_difference")
    measured = [text for text, row in found.items() if "converted" in row]
    return all(text in others and all(found[text][key] == others[text][key] for key in keys) for text in measured)


def _overview(cases: dict[tuple[str, str], dict[str, Row]]) -> str:
    titles = (
        *(
            "model",
            "form",
            "nodes converted",
            "onnxruntime with VNNI: bits of `int32-wrap`",
            "without VNNI: of `x86-u8s8`",
        ),
        *("right at 32 bits", "`x86-u8s8`", "likeness of it"),
    )
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for (model, form), found in cases.items():
        exact = found["int32-wrap"]
        shipped = (found.get(f"onnxruntime {which} VNNI") for which in ("with", "without"))
        cells = [
            model,
            form,
            f"{exact['converted']} of {exact['converted'] + exact['left']}",
            *("-" if row is None else f"{row['same_bits']}/{row['samples']}" for row in shipped),
            exact["right"],
            *_cells(found.get("x86-u8s8")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _curves(model: str, form: str, found: dict[str, Row], alike: Mapping[str, Mapping[str, Row]]) -> str:
    """Return a model's table; "" where no width but 32 was measured.

    Args:
        model: Its name.
        form: How it is quantized.
        found: Rows by accumulator.
        alike: Forms that have the same figures in all accumulators that they were measured in, and those.
    """
    curve = {(match[1], match[2]): found[match[0]] for match in map(_CURVE.fullmatch, found) if match}
    widths = sorted({int(bits) for bits, _ in curve} - {32}, reverse=True)
    if len(widths) < 3:
        return ""
    exact = found["int32-wrap"]
    lines = [
        f"### {model}, {form}",
        "",
        f"Test samples right at 32 bits: {_right(exact)}. Likeness to their results: {exact['likeness_name']}.",
        "",
        *_told_alike(alike),
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


def _told_alike(alike: Mapping[str, Mapping[str, Row]]) -> list[str]:
    if not alike:
        return []
    texts = sorted({text for found in alike.values() for text, row in found.items() if "converted" in row})
    return [f"The same figures were measured of {', '.join(alike)}, in {', '.join(f'`{text}`' for text in texts)}.", ""]


def _cells(row: Row | None) -> tuple[str, str]:
    return ("-", "-") if row is None else (_right(row), f"{row['likeness']:.4f}")


def _right(row: Row) -> str:
    low, high = (100 * limit for limit in row["right_interval"])
    return f"{row['right']} ({low:.1f} to {high:.1f} %)"
