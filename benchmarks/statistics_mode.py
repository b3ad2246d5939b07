"""What the statistics mode costs: a matrix product that also collects, against the same product alone, one thread.

Before anything is timed, the collecting product's bits are compared with the plain one's, and its largest product with
that of the operands.
"""

import argparse
from functools import partial

import numpy as np

from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from lba_onnx import AccumulatorSpec, native

SHAPES = ((512, 512, 512), (3136, 576, 64))
FRACTIONS = (1e-6, 1 / 256, 1 / 64, 1 / 16)
SPEC = AccumulatorSpec.parse("M7E4b8/M7E4b8")
COLUMNS = (
    Column("shape", "shape"),
    Column("sampled_fraction", "sampled fraction", ".2g"),
    Column("times_plain", "times the plain product", ".2f"),
)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    cases = [(shape, fraction) for shape in SHAPES for fraction in FRACTIONS]
    report("statistics_mode", arguments, [run(*case, effort) for case in progress(cases)], COLUMNS)


def run(shape: tuple[int, int, int], sampled_fraction: float, effort: Effort) -> Row:
    """Check and time one shape and fraction."""
    rows, depth, columns = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((1, rows, depth), np.float32), rng.standard_normal((1, depth, columns), np.float32)
    plain = partial(native.matmul, a, b, SPEC, 1)
    native.statistics_open("benchmark", sampled_fraction)
    try:
        collecting = partial(native.matmul, a, b, SPEC, 1, "benchmark/node")
        check(plain(), collecting(), a, b)
        plain_seconds, collecting_seconds = measure([plain, collecting], effort)
    finally:
        native.statistics_close("benchmark")
    return {
        "shape": "x".join(map(str, shape)),
        "sampled_fraction": sampled_fraction,
        "times_plain": median_ratio(collecting_seconds, plain_seconds),
    }


def check(plain: np.ndarray, collecting: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Refuse to time what computes something else."""
    if not np.array_equal(plain, collecting):
        raise CheckFailed("the collecting product differs from the plain one")
    largest = (np.abs(a[0]).max(axis=0).astype(np.float64) * np.abs(b[0]).max(axis=1)).max()
    seen = native.statistics_read("benchmark/node")["product"].max_abs
    if seen != largest:
        raise CheckFailed(f"the largest product is {largest}, the statistics say {seen}")


def _add_options(parser: argparse.ArgumentParser) -> None:
    del parser  # none of its own


if __name__ == "__main__":
    main()
