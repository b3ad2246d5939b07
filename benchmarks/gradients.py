"""Gradients of a product by each estimator, in every order of sums and rounding, against those of plain truncation.

Plain truncation, in chunks of 16, is computed on vectors; what has no such kernels is followed by its definition, one
value at a time. Before anything is timed, gradients of a small product are compared with the reference, bit for bit.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.checks import check_bits
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from lba_onnx import native
from lba_onnx.arithmetic import as_spec
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference import gradients

PLAIN = "M7E4b12/M7E4b10"
STARTED = "starts"
CASES = {
    "chunks": PLAIN,
    "levels": f"{PLAIN},chunk=16x8",
    "nearest": f"{PLAIN},round=nearest",
    STARTED: PLAIN,
    "tree": f"{PLAIN},tree=16",
    "lanes": f"{PLAIN},lanes=4",
    "odd": f"{PLAIN},round=odd",
    "stochastic": f"{PLAIN},round=stochastic8",
    "exact products": "M7E4b10,product=exact",
    "IEEE chain": "fp16-fma",
    "exact sum": "kulisch(M7E4b10)",
    "slices": f"splitk4({PLAIN})",
}
"""Names of orders and rules to accumulators; sums of the one called STARTED start from a value."""

SHAPE = (128, 256, 128)
CHECKED_SHAPE = (5, 37, 7)
COLUMNS = (
    Column("case", "case"),
    Column("accumulator", "accumulator"),
    Column("estimator", "estimator"),
    Column("ns_per_product", "ns a product", ".3g"),
    Column("ratio", "times plain truncation", ".3g"),
)


def main() -> None:
    """Measure and report."""
    arguments = parse_arguments(__doc__, _add_options, rounds=5)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    gating = [name for name, estimator in ESTIMATORS.items() if estimator.gating]
    rows = [row for estimator in progress(gating) for row in _rows(estimator, effort)]
    report("gradients", arguments, rows, COLUMNS)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the cases are those of this module."""


def _rows(estimator: str, effort: Effort) -> list[Row]:
    for name, text in CASES.items():
        _check(name, text, estimator)
    calls = [
        _call(name, text, estimator, SHAPE, np.random.default_rng(0).standard_normal) for name, text in CASES.items()
    ]
    seconds = measure(calls, effort, time.process_time)
    return [
        {
            "case": name,
            "accumulator": text,
            "estimator": estimator,
            "ns_per_product": 1e9 * median(taken) / np.prod(SHAPE),
            "ratio": median_ratio(taken, seconds[0]),
        }
        for (name, text), taken in zip(CASES.items(), seconds, strict=True)
    ]


def _call(
    name: str, text: str, estimator: str, shape: tuple[int, int, int], draw: Callable[..., Any]
) -> "partial[native.Gradients]":
    """Return what computes the gradients of a product of values that are drawn, on one thread."""
    rows, depth, columns = shape
    grad, a, b = (np.float32(draw(size=(1, *sizes))) for sizes in ((rows, columns), (rows, depth), (depth, columns)))
    gating = ESTIMATORS[estimator].gating
    assert gating is not None
    initial = np.ones((1, rows, columns), np.float32) if name == STARTED else None
    return partial(native.matmul_gradients, grad, a, b, as_spec(text), gating.code, 1, initial=initial)


def _check(name: str, text: str, estimator: str) -> None:
    """Compare gradients of small integers, whose sums are exact, with the reference."""
    call = _call(name, text, estimator, CHECKED_SHAPE, partial(np.random.default_rng(0).integers, -9, 10))
    grad, a, b = call.args[:3]
    found = call()
    first, second, *_ = gradients.matmul_gradients(grad, a, b, text, estimator, call.keywords["initial"])
    assert found.first is not None and found.second is not None
    check_bits(found.first, first, f"gradient of a by {estimator}, {name}")
    check_bits(np.swapaxes(found.second, -1, -2), second, f"gradient of b by {estimator}, {name}")


if __name__ == "__main__":
    main()
