"""Puts the measured tables into docs/finetuning.md, between the comments that name them.

Run from the repository root after the experiments: python -m examples.finetuning.page
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.training import COLUMNS
from examples.finetuning import cnn, dual_stage, estimators, float8, transformer
from examples.finetuning.experiment import Experiment, show
from examples.finetuning.store import Row
from examples.finetuning.tables import markdown
from lba_onnx.files.json_file import write_text

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "finetuning.md"
RESULTS = DOCS / "finetuning_results"
EXPERIMENTS = {
    module.EXPERIMENT.name: module.EXPERIMENT for module in (estimators, dual_stage, cnn, float8, transformer)
}
SPEED = "speed"
MACHINE = ("cpu", "cpus", "cpu_path", "threads", "torch", "onnxruntime", "python")


def main() -> None:
    """Write the page."""
    write_text(PAGE, fill(PAGE.read_text(), dict(read_tables())))


def fill(text: str, tables: dict[str, str]) -> str:
    """Return the text of a page with each table between <!-- name --> and <!-- end of name -->.

    Raises:
        ValueError: The page has no place for a table.
    """
    for name, table in tables.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        text, places = pattern.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
        if places != 1:
            raise ValueError(f"expected one place for the table {name!r}, got {places}")
    return text


def read_tables() -> Iterator[tuple[str, str]]:
    """Yield the name and the Markdown of each table whose results are there."""
    renderers: dict[str, Callable[[Sequence[Row]], str]] = {
        name: _renderer(experiment) for name, experiment in EXPERIMENTS.items()
    }
    for name, render in {**renderers, SPEED: render_speed}.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            yield name, f"{describe_machine(document)}\n\n{render(document['results'])}"


def describe_machine(document: dict[str, Any]) -> str:
    """Return a line that says what a file's results come from."""
    machine = {**document["environment"], **document.get("settings", {})}
    return f"Measured with: {', '.join(f'{key} {machine[key]}' for key in MACHINE if key in machine)}."


def render_speed(rows: Sequence[Row]) -> str:
    """Return the table of benchmarks.training."""
    lines = [
        ["" if row.get(column.key) is None else format(row[column.key], column.form) for column in COLUMNS]
        for row in rows
    ]
    return markdown([column.title for column in COLUMNS], lines)


def _renderer(experiment: Experiment[Any]) -> Callable[[Sequence[Row]], str]:
    return lambda rows: show(experiment, rows)


if __name__ == "__main__":
    main()
