"""What all experiments share: cases, seeds, options of the command line, and runs that are there already.

A case is a frozen dataclass of plain settings. A run is a case with a seed; its row in the results holds both, and the
figures that came out.
"""

import argparse
import dataclasses
import fnmatch
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from benchmarks.harness import describe_environment
from examples.finetuning.store import Row, Store
from lba_onnx import AccumulatorSpec

CaseType = TypeVar("CaseType")
SEEDS = (0, 1, 2)
FLOAT32 = "float32"  # where a case has no estimator, or no low-width arithmetic


@dataclass(frozen=True)
class Experiment(Generic[CaseType]):
    """An experiment: what is run, and how its results are shown.

    Attributes:
        name: Of the file of its results.
        cases: Frozen dataclasses, each with a property `title`, and a field `epochs`.
        run: Called with a case and a seed; returns the figures.
        render: Called with the rows; returns Markdown.
    """

    name: str
    cases: Sequence[CaseType]
    run: Callable[[CaseType, int], Mapping[str, Any]]
    render: Callable[[Sequence[Row]], str]


def main(experiment: Experiment[Any], description: str | None) -> None:
    """Run what the command line asks for, and print the tables."""
    arguments = parse_arguments(experiment, description)
    torch.set_num_threads(arguments.threads)
    logging.getLogger("lba_onnx").setLevel(logging.ERROR)  # calibration's advice on other formats
    store = Store(experiment.name, describe(arguments.threads), arguments.json_path)
    run_missing(experiment, select(experiment.cases, arguments.select, arguments.epochs), arguments.seeds, store)
    print(show(experiment, store.rows))


def show(experiment: Experiment[Any], rows: Sequence[Row]) -> str:
    """Return the tables of the rows, in the order of the cases, whatever was run first."""
    cases = [_key(case) for case in experiment.cases]

    def place(row: Row) -> tuple[int, int]:
        known = [number for number, case in enumerate(cases) if case.items() <= row.items()]
        return (known[0] if known else len(cases), row["seed"])

    return experiment.render(sorted(rows, key=place))


def run_missing(experiment: Experiment[Any], cases: Sequence[Any], seeds: Sequence[int], store: Store) -> None:
    """Run what the store does not hold, seed after seed; each result is stored as soon as it is there."""
    runs = [(case, seed, {**_key(case), "seed": seed}) for seed in seeds for case in cases]
    for number, (case, seed, key) in enumerate(runs, 1):
        what = f"{number} of {len(runs)}: {case.title}, seed {seed}"
        if store.holds(key):
            print(f"{what}: there", flush=True)
            continue
        start = time.monotonic()
        figures = experiment.run(case, seed)
        seconds = round(time.monotonic() - start, 1)
        store.add(key, {**figures, "seconds": seconds})
        shown = ", ".join(f"{name} {value}" for name, value in figures.items())
        print(f"{what}: {shown} ({seconds} s)", flush=True)


def select(cases: Sequence[CaseType], pattern: str, epochs: int | None) -> list[CaseType]:
    """Return the cases whose title fits a pattern; those that train, with other epochs where they are given.

    Raises:
        ValueError: There is none.
    """
    chosen = [case for case in cases if fnmatch.fnmatch(case.title.lower(), f"*{pattern.lower()}*")]
    if not chosen:
        raise ValueError(f"expected a pattern of cases such as {cases[0].title!r}, got {pattern!r}")
    return [dataclasses.replace(case, epochs=epochs) if epochs and case.epochs else case for case in chosen]


def parse_arguments(experiment: Experiment[Any], description: str | None) -> argparse.Namespace:
    """Options that all experiments have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="a run for each; default: 0 1 2")
    parser.add_argument("--epochs", type=int, help="of training, instead of those that the experiment has")
    parser.add_argument("--select", default="", help="only cases whose title fits, such as 'MNIST*identity'")
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch and of the kernels; default: 1")
    parser.add_argument("--json_path", type=Path, help="where to keep results; runs that it holds are not repeated")
    return parser.parse_args()


def describe(threads: int) -> Row:
    """Return the machine and the versions that the results come from."""
    environment = describe_environment()
    del environment["load_1min"]
    return {**environment, "torch": torch.__version__, "machine": platform.machine(), "threads": threads}


def _key(case: Any) -> Row:
    return dataclasses.asdict(case)


def biases(spec: str) -> str:
    """Return "M4E3 6/8" of "M4E3b8/M4E3b6": the family, the exponent bias of the accumulator and the product's."""
    parsed = AccumulatorSpec.parse(spec)
    accumulator, product = parsed.accumulator_format, parsed.product_format
    family = f"M{accumulator.mantissa_bits}E{accumulator.exponent_bits}"
    return f"{family} {accumulator.exponent_bias}/{product.exponent_bias}"
