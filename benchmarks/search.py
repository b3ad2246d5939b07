"""The best accumulator for each product: a mixed choice against one for all, on samples kept apart.

For each uniform choice a mixed one that costs as much, in gates, and for each but the extremes the cheapest mixed one
whose loss is no larger. The loss is the KL divergence of class scores, else the relative squared error of the outputs.
A row is a point; --render prints the tables of docs/results.md from --json_path and measures nothing.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnxruntime

import lba_onnx
from benchmarks.harness import Column, Row, add_result, print_table, progress
from lba_onnx.rewrite.model_files import load_model
from lba_onnx.searching import Search, SearchPoint
from models import zoo
from models.mobilenet_v2.recipe import load_with_photographs

PHOTOGRAPHS = "mobilenet_v2_photographs"
CHOICES = ("M3E4", "M4E4", "M5E4", "M6E4", "M7E4")
EQUAL_COST, EQUAL_LOSS = "equal gates", "equal loss"
_KEYS = ("model", "kind", "uniform")
COLUMNS = (
    Column("model", "model"),
    Column("kind", "kind"),
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
    passes = _Passes(model.model_path)
    with passes.counted():
        found = lba_onnx.search(
            model.model_path,
            _samples(model, arguments.samples),
            arguments.choices,
            budgets=arguments.equal_costs or arguments.choices[1:],
            losses=arguments.equal_losses,
            sensitivity_samples=arguments.sensitivity_samples,
            effort=None if arguments.effort == "none" else arguments.effort,
            resume_path=arguments.progress_folder / f"search_{name}.progress",
        )
    whole = passes.runs(found)
    return [_row(name, found, point, whole) for point in found.points if point.against is not None]


class _Passes:
    """Counts how many samples run through sessions of whole models, layers that corrections compute apart."""

    def __init__(self, model_path: "str | Path | bytes") -> None:
        graph = load_model(model_path).graph
        self._names = {value.name for value in graph.input} - {tensor.name for tensor in graph.initializer}
        self._samples = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        run = onnxruntime.InferenceSession.run

        def counting(session: Any, names: Any, feeds: Any, *rest: Any) -> Any:
            if set(feeds) == self._names:
                self._samples += len(next(iter(feeds.values())))
            return run(session, names, feeds, *rest)

        onnxruntime.InferenceSession.run = counting
        try:
            yield
        finally:
            onnxruntime.InferenceSession.run = run

    def runs(self, found: Search) -> float:
        """Passes over the samples that a search has seen, the checks on samples kept apart left out."""
        solutions = {json.dumps(dict(point.specs)) for point in (*found.points, *found.uniform)}
        checks = (1 + len(solutions)) * found.samples["checked"]
        return (self._samples - checks) / found.samples["seen"] + found.passes.sensitivity


def _samples(model: zoo.ZooModel, count: int) -> lba_onnx.Samples:
    """The samples of calibration and test together; the search keeps one in four apart."""
    if isinstance(model.test, Sequence):
        return lba_onnx.Samples([*model.calibration, *model.test][:count])
    return lba_onnx.Samples(dict(model.test), max_samples=count)


def _row(name: str, found: Search, point: SearchPoint, passes: float) -> Row:
    against = point.against
    assert against is not None
    uniform = next(other for other in found.uniform if other.uniform == against.choice)
    difference = against.loss_difference
    return {
        "model": name,
        "kind": EQUAL_LOSS if point.budget is None else EQUAL_COST,
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
        "passes": {"all": passes, **vars(found.passes)},
        "products": len(found.products),
        "effort": found.settings.effort,
        "choices": list(found.settings.choices),
    }


def render(rows: Sequence[Row]) -> str:
    """The tables of docs/results.md."""
    return "\n\n".join(_render_model(name, rows) for name in dict.fromkeys(row["model"] for row in rows))


def _render_model(name: str, rows: Sequence[Row]) -> str:
    own = [row for row in rows if row["model"] == name]
    first = own[0]
    counts = (
        f"{first['products']} products, {len(first['choices'])} choices, {first['samples']['seen']} samples seen, "
        f"{first['samples']['checked']} kept apart; {first['passes']['all']:.0f} float32 passes, "
        f"{first['passes']['bound']:.0f} allowed"
    )
    lines = [f"### {name}: one for all, and mixed", "", counts + ".", ""]
    lines += ["| | one for all | gates/MAC | loss | mixed: gates/MAC | loss | difference | verdict |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *map(_render_row, own)])


def _render_row(row: Row) -> str:
    mean, low, high = row["difference"]
    ranged = "" if low is None else f" ({low:.2g} to {high:.2g})"
    verdict = row["verdict"] if row["kind"] == EQUAL_COST else f"saves {row['saved_percent']:.1f} %"
    cells = [
        row["kind"],
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
    return row["model"], row["kind"], row["uniform_gates"]


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["demo"], help=f"of the zoo, or {PHOTOGRAPHS}")
    parser.add_argument("--photographs", type=Path, help=f"the folder of {PHOTOGRAPHS}")
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), help="the cheapest first")
    parser.add_argument("--equal_costs", nargs="*", help="choices whose cost is the budget; default: all but the first")
    parser.add_argument("--equal_losses", nargs="*", default=list(CHOICES[1:]), help="choices whose loss is granted")
    parser.add_argument("--samples", type=int, default=256, help="in all")
    parser.add_argument("--sensitivity_samples", type=int, default=64)
    parser.add_argument("--effort", default="default")
    parser.add_argument("--progress_folder", type=Path, default=Path(), help="where progress is noted")
    parser.add_argument("--json_path", type=Path, help="where to add the results")
    parser.add_argument("--render", action="store_true", help="print the tables and measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
