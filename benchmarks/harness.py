"""What all benchmarks share: alternating measurements, the machine's description, tables and JSON."""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime
from rich.console import Console
from rich.table import Table

import lba_onnx
from lba_onnx import native
from lba_onnx.cli.progress import Standing, display
from lba_onnx.files.json_file import write_json

Row = dict[str, Any]
Item = TypeVar("Item")
_FILE_WIDTH = 200  # of tables that are not read in a terminal


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Samples of each function; the functions take turns.
        sample_seconds: A sample repeats its function for at least about so long.
    """

    rounds: int = 11
    sample_seconds: float = 0.02


def measure(
    functions: Sequence[Callable[[], object]], effort: Effort, clock: Callable[[], float] = time.perf_counter
) -> list[list[float]]:
    """Seconds per call of each function: one list per function, one entry per round."""
    repeats = [_find_repeats(function, effort.sample_seconds, clock) for function in functions]
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(effort.rounds):
        for function, count, samples in zip(functions, repeats, seconds, strict=True):
            function()  # its code and data are in the caches again, its threads awake
            samples.append(_seconds(function, count, clock) / count)
    return seconds


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median of the ratios of each round: both sides of a round met the same state of the machine."""
    return median(a / b for a, b in zip(numerator, denominator, strict=True))


def _find_repeats(function: Callable[[], object], sample_seconds: float, clock: Callable[[], float]) -> int:
    function()
    return max(1, round(sample_seconds / max(_seconds(function, 1, clock), 1e-7)))


def _seconds(function: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(count):
        function()
    return clock() - start


@dataclass(frozen=True)
class Column:
    """One column of the printed table.

    Attributes:
        key: Entry of a row.
        title: Heading.
        form: Format specification of the numbers.
    """

    key: str
    title: str
    form: str = ""


class _Measurements:
    """Shows on standard error which measurement is at work, how many are done, and the time left."""

    def __init__(self, show: Callable[[Standing], None], total: int) -> None:
        self._show = show
        self._total = total
        self._began = time.monotonic()
        self._done, self._name = 0, ""

    def begin(self, done: int, name: str) -> None:
        self._done, self._name = done, name
        self.advance(0, "")

    def advance(self, fraction: float, part: str) -> None:
        """Show how far the measurement at work has come, 0 to 1."""
        seconds, done = time.monotonic() - self._began, self._done + fraction
        left = seconds * (self._total - done) / done if done else None
        title = ", ".join(text for text in (Path(sys.argv[0]).stem, self._name, part) if text)
        self._show(Standing(title, done, self._total, "measurements", seconds, left))


_AT_WORK: list[_Measurements] = []


def progress(items: Sequence[Item], name_of: Callable[[Item], str] = str) -> Iterator[Item]:
    """The items, each a measurement or, inside of another, a part of it; standard error shows where they stand."""
    if _AT_WORK:
        for done, item in enumerate(items):
            _AT_WORK[0].advance(done / len(items), name_of(item))
            yield item
        return
    with display(first_seconds=0) as show:
        _AT_WORK.append(_Measurements(show, len(items)))
        try:
            for done, item in enumerate(items):
                _AT_WORK[0].begin(done, name_of(item))
                yield item
        finally:
            _AT_WORK.clear()


def parse_arguments(
    description: str, add_options: Callable[[argparse.ArgumentParser], None], rounds: int = Effort.rounds
) -> argparse.Namespace:
    """Options of one benchmark and those of all, `rounds` where nothing is said; selects the CPU path."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_options(parser)
    parser.add_argument("--json_path", type=Path, help="where to write the results as JSON")
    parser.add_argument("--rounds", type=int, default=rounds, help="samples of each function")
    parser.add_argument("--sample_seconds", type=float, default=Effort.sample_seconds, help="length of one sample")
    parser.add_argument("--path", choices=native.CPU_PATHS, help="CPU path; default: the fastest of this CPU")
    arguments = parser.parse_args()
    if arguments.path is not None:
        os.environ["LBA_ONNX_CPU_PATH"] = arguments.path
    return arguments


def report(name: str, arguments: argparse.Namespace, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print the table; write everything to --json_path."""
    environment = describe_environment()
    print_table(name, rows, columns)
    Console().print(", ".join(f"{key} {value}" for key, value in environment.items()), highlight=False, soft_wrap=True)
    if arguments.json_path is None:
        return
    settings = {key: value for key, value in vars(arguments).items() if key != "json_path"}
    document = {"benchmark": name, "environment": environment, "settings": settings, "results": list(rows)}
    arguments.json_path.write_text(json.dumps(document, indent=1, default=str) + "\n")


def keep_results(
    benchmark: str,
    rows: Iterable[Row],
    columns: Sequence[Column],
    path: Path | None,
    keys: Sequence[str],
    order: Callable[[Row], Any],
) -> None:
    """Print rows as they are measured, and all at the end; add each to the file, if there is one, as `add_result`."""
    kept = []
    for row in rows:
        kept.append(row)
        print_table(benchmark, [row], columns)
        if path is not None:
            add_result(path, benchmark, row, keys, order)
    print_table(benchmark, kept, columns)


def add_result(path: Path, benchmark: str, row: Row, keys: Sequence[str], order: Callable[[Row], Any]) -> None:
    """Add a row to a benchmark's file, whole or not at all; it replaces the one of the same settings.

    Args:
        path: The file, which need not exist.
        benchmark: The benchmark's name.
        row: The row.
        keys: What settings are called.
        order: By what rows are sorted.
    """
    known: list[Row] = json.loads(path.read_text())["results"] if path.exists() else []
    kept = [other for other in known if any(other[key] != row[key] for key in keys)]
    rows = sorted([*kept, row], key=order)
    write_json(path, {"benchmark": benchmark, "environment": describe_environment(), "results": rows})


def describe_environment() -> Row:
    """Machine, versions, the selected CPU path and the present load."""
    return {
        "cpu": _cpu_name(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu_path": native.cpu_path(),
        "load_1min": round(os.getloadavg()[0], 2),
        "lba_onnx": lba_onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "onnx": onnx.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def print_table(title: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print rows as a table."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column.title, justify="right" if column.form else "left")
    for row in rows:
        table.add_row(*(_text(row, column) for column in columns))
    (Console() if sys.stdout.isatty() else Console(width=_FILE_WIDTH)).print(table)


def _text(row: Mapping[str, Any], column: Column) -> str:
    value = row.get(column.key)
    return "" if value is None else format(value, column.form)
