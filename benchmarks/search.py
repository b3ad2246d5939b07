"""The best accumulator for each product: a mixed choice against one for all, on samples kept apart.

For each uniform choice but the first what is found at its cost, in gates, and the cheapest that is found of no more
loss than it has. The loss is the KL divergence of class scores, else the relative squared error of the outputs.
A row is a point; --render prints the tables of docs/results.md from --json_path and measures nothing.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lba_onnx
from benchmarks.harness import Column, Row, add_result, print_table, progress
from lba_onnx.searching import Search, SearchPoint
from lba_onnx.searching.search_result import LOSES, TIES, WINS
from models import zoo
from models.mobilenet_v2.recipe import load_with_photographs

PHOTOGRAPHS = "mobilenet_v2_photographs"
CHOICES = ("M3E4", "M4E4", "M5E4", "M6E4", "M7E4")
EQUAL_COST, EQUAL_LOSS = "equal gates", "equal loss"
_KEYS = ("model", "choices", "kind", "asked")
COLUMNS = (
    Column("model", "model"),
    Column("kind", "kind"),
    Column("asked", "as"),
    Column("uniform", "uniform"),
    Column("uniform_gates", "gates", ".0f"),
    Column("uniform_loss", "loss", ".3g"),
    Column("gates", "mixed: gates", ".0f"),
    Column("loss", "loss", ".3g"),
    Column("verdict", "verdict"),
    Column("saved_percent", "saved %", ".1f"),
)


def main() -> None:
    """Measure, or render, what the command line asks for."""
    arguments = _parse_arguments()
    if arguments.render:
        print(render(json.loads(arguments.json_path.read_text())["results"]))
        return
    for name in progress(arguments.models):
        rows = measure_model(name, arguments)
        print_table(name, rows, COLUMNS)
        if arguments.json_path is not None:
            for row in rows:
                add_result(arguments.json_path, "search", row, _KEYS, _order)


def measure_model(name: str, arguments: argparse.Namespace) -> list[Row]:
    """A row for each uniform choice at equal cost, and for each at equal loss; of the cheapest there is none."""
    model = load_with_photographs(arguments.photographs) if name == PHOTOGRAPHS else zoo.load(name)
    found = lba_onnx.search(
        model.model_path,
        _samples(model, arguments.samples),
        arguments.choices,
        budgets=arguments.choices[1:] if arguments.equal_costs is None else arguments.equal_costs,
        losses=arguments.choices[1:] if arguments.equal_losses is None else arguments.equal_losses,
        sensitivity_samples=arguments.sensitivity_samples,
        effort=None if arguments.effort == "none" else arguments.effort,
        resume_path=arguments.progress_folder / f"search_{name}.progress",
    )
    return [_row(name, found, point) for point in found.points if point.against is not None]


def _samples(model: zoo.ZooModel, count: int) -> lba_onnx.Samples:
    """The samples of calibration and test together; the search keeps one in four apart."""
    if isinstance(model.test, Sequence):
        return lba_onnx.Samples([*model.calibration, *model.test][:count])
    return lba_onnx.Samples(dict(model.test), max_samples=count)


def _row(name: str, found: Search, point: SearchPoint) -> Row:
    against = point.against
    assert against is not None
    uniform = next(other for other in found.uniform if other.uniform == against.choice)
    difference = against.loss_difference
    asked = next(u for u in found.uniform if point.budget == u.cost or point.granted_loss == u.measured_loss)
    return {
        "model": name,
        "kind": EQUAL_LOSS if point.budget is None else EQUAL_COST,
        "asked": asked.uniform,
        "uniform": against.choice,
        "uniform_gates": against.cost,
        "uniform_loss": uniform.loss.mean,
        "gates": point.cost,
        "over_float32": point.over_float32,
        "loss": point.loss.mean,
        "loss_name": found.settings.loss,
        "difference": [difference.mean, *(difference.interval or (None, None))],
        "verdict": against.verdict,
        "predicted_loss": point.predicted_loss,
        "measured_loss": point.measured_loss,
        "saved_percent": 100 * (1 - point.cost / against.cost),
        "is_mixed": point.uniform is None,
        "samples": dict(found.samples),
        "passes": found.passes.to_json(),
        "products": len(found.products),
        "effort": found.settings.effort,
        "choices": list(found.settings.choices),
    }


def render(rows: Sequence[Row]) -> str:
    """The tables of docs/results.md."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["model"], *row["choices"]), []).append(row)
    return "\n\n".join(_render_search(own[0]["model"], own) for own in groups.values())


def _render_search(name: str, own: Sequence[Row]) -> str:
    first = own[0]
    counts = (
        f"{first['products']} products, {len(first['choices'])} choices, {first['samples']['seen']} samples seen, "
        f"{first['samples']['chosen_by']} to choose by, {first['samples']['checked']} kept apart; "
        f"{first['passes']['all']:.0f} float32 passes, "
        f"{first['passes']['bound']:.0f} allowed; {'no' if first['effort'] is None else first['effort']} correction"
    )
    lines = [f"### {name}: one for all, and mixed of {len(first['choices'])}", "", counts + ".", _verdicts(own), ""]
    lines += ["| as | the best one for all | gates/MAC | loss | found: gates/MAC | loss | difference | verdict |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(_render_row, own)])


def _verdicts(own: Sequence[Row]) -> str:
    """How often the search won, tied and lost at equal gates, and what it saved at equal loss."""
    found = [row["verdict"] for row in own if row["kind"] == EQUAL_COST]
    saved = [row["saved_percent"] for row in own if row["kind"] == EQUAL_LOSS]
    texts = [f"At equal gates it {', '.join(f'{v} {found.count(v)}' for v in (WINS, TIES, LOSES))}"] if found else []
    texts += [f"at equal loss it saves {' to '.join(dict.fromkeys(_ends(saved)))} %"] if saved else []
    told = f"{'; '.join(texts)}. Choices: {', '.join(f'`{text}`' for text in own[0]['choices'])}."
    return told[0].upper() + told[1:]


def _ends(values: Sequence[float]) -> list[str]:
    return [f"{end:.1f}" for end in (min(values), max(values))]


def _render_row(row: Row) -> str:
    mean, low, high = row["difference"]
    ranged = "" if low is None else f" ({low:.2g} to {high:.2g})"
    verdict = row["verdict"] if row["kind"] == EQUAL_COST else f"saves {row['saved_percent']:.1f} %"
    cells = [
        f"{row['kind']}, `{row['asked']}`",
        f"`{row['uniform']}`",
        f"{row['uniform_gates']:.0f}",
        f"{row['uniform_loss']:.3g}",
        f"{row['gates']:.0f}",
        f"{row['loss']:.3g}",
        f"{mean:+.2g}{ranged}",
        verdict,
    ]
    return f"| {' | '.join(cells)} |"


def _order(row: Row) -> Any:
    return row["model"], row["choices"], row["kind"], row["gates"]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["demo"], help=f"of the zoo, or {PHOTOGRAPHS}")
    parser.add_argument("--photographs", type=Path, help=f"the folder of {PHOTOGRAPHS}")
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), help="the cheapest first")
    parser.add_argument("--equal_costs", nargs="*", help="choices whose cost is the budget; default: all but the first")
    parser.add_argument("--equal_losses", nargs="*", help="choices whose loss is granted; default: all but the first")
    parser.add_argument("--samples", type=int, default=256, help="in all")
    parser.add_argument("--sensitivity_samples", type=int, default=64)
    parser.add_argument("--effort", default="default")
    parser.add_argument("--progress_folder", type=Path, default=Path(), help="where progress is noted")
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the tables and measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
