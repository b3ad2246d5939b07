"""Accumulators that have kernels of their own against onnxruntime's float32 MatMul, or against chains of 16.

Each has operands as its users have them. Bits are compared with lba_onnx.reference before anything is timed.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.checks import check_bits, check_matmul
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.nodes import make_model, make_runner, open_session
from benchmarks.variants import Floats, draw_normal, draw_short_in_range
from lba_onnx.arithmetic import AccumulatorSpec

Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

_BFLOAT16_BITS, _FP8_BITS = 0xFFFF0000, 0xFFE00000  # that float32 keeps
_LEAST_FP8 = 2.0**-14  # the smallest normal value of E5M2
CHAINS_OF_16 = "M7E4b8/M7E4b8"
SHAPES = ((512, 512, 512), (3136, 576, 64))  # rows, depth, columns
THREADS = (1, 2)


def draw_float16(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values rounded to float16."""
    values: Floats = draw_normal(rng, shape).astype(np.float16).astype(np.float32)
    return values


def draw_bfloat16(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values cut to bfloat16."""
    return _cut(draw_normal(rng, shape), _BFLOAT16_BITS)


def draw_fp8(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values cut to E5M2, smaller ones than its normal values zero."""
    values = _cut(draw_normal(rng, shape), _FP8_BITS)
    values[np.abs(values) < _LEAST_FP8] = 0
    return values


def _cut(values: Floats, kept_bits: int) -> Floats:
    bits: NDArray[np.uint32] = values.view(np.uint32)
    bits &= np.uint32(kept_bits)
    return values


OPERANDS: dict[str, Draw] = {
    "float32": draw_normal,
    "float16": draw_float16,
    "bfloat16": draw_bfloat16,
    "E5M2": draw_fp8,
    "4 bits, 1/8 to 4": draw_short_in_range,
}


@dataclass(frozen=True)
class Kind:
    """One measurement.

    Attributes:
        text: The accumulator.
        target: Most times that it may take what it is compared with takes, with AVX-512.
        operands: One of OPERANDS.
        base: The accumulator that it is compared with; None for onnxruntime's float32.
    """

    text: str
    target: float
    operands: str = "float32"
    base: str | None = None

    def __str__(self) -> str:
        return f"{self.text} of {self.operands}"


KINDS = (
    Kind("fp32-fma", 1.2),
    Kind("fp16-fma", 5.3, "float16"),
    Kind("fp16-mul-add", 6.2, "float16"),
    Kind("bf16-fma", 4.0, "bfloat16"),
    Kind("M7E4b8,product=exact", 1.3),
    Kind("M7E4b8/M7E4b8,round=nearest", 4.7),
    Kind("M7E4b8/M7E4b8,round=nearest", 3.7, "bfloat16"),
    Kind("M7E4b8/M7E4b8,round=nearest", 2.7, "4 bits, 1/8 to 4"),
    Kind("M7E4b8,round=nearest,product=exact", 2.7),
    Kind("wang2018", 2.7, "E5M2"),
    Kind("wang2018,chunk=16", 6.2),
    Kind("fp12-sr", 4.5, "E5M2"),
    Kind("fp12-sr", 4.5),
    Kind("M7E4b8/M7E4b8,round=stochastic8", 8.0),
    Kind("M7E4b8/M7E4b8,tree=16", 3.2),
    Kind(f"{CHAINS_OF_16},chunk=16x8", 1.05, base=CHAINS_OF_16),
    Kind(f"{CHAINS_OF_16},chunk=8", 1.25, base=CHAINS_OF_16),
)


def _name(shape: tuple[int, int, int], threads: int) -> str:
    return f"{'x'.join(map(str, shape))}, {threads}"


COLUMNS = (
    Column("accumulator", "accumulator"),
    Column("operands", "operands"),
    Column("base", "times"),
    Column("target", "target", ".2f"),
    *(Column(_name(shape, threads), _name(shape, threads), ".2f") for shape in SHAPES for threads in THREADS),
)


def main() -> None:
    """Measure what the command line asks for: all, or the accumulators that begin with a text."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    kinds = [kind for kind in KINDS if kind.text.startswith(arguments.accumulator)]
    rows = [run_kind(kind, SHAPES, effort, arguments.seed) for kind in progress(kinds)]
    report("kinds", arguments, rows, COLUMNS)


def run_kind(kind: Kind, shapes: tuple[tuple[int, int, int], ...], effort: Effort, seed: int) -> Row:
    """Check and time one kind: of one thread its own time, of more the clock's."""
    row: Row = {
        "accumulator": kind.text,
        "operands": kind.operands,
        "base": kind.base or "float32",
        "target": kind.target,
    }
    for shape in shapes:
        rows, depth, columns = shape
        rng, draw = np.random.default_rng(seed), OPERANDS[kind.operands]
        a, b = draw(rng, (rows, depth)), draw(rng, (depth, columns))
        checked: Floats | None = None
        for threads in THREADS:
            base, lba = (_runner(a, b, text, threads) for text in (kind.base, kind.text))
            if checked is None:
                checked = lba().copy()
                check_matmul(checked, a, b, AccumulatorSpec.parse(kind.text), f"{kind} (seed {seed})")
            check_bits(lba(), checked, f"{kind} on {threads} threads (seed {seed})")
            seconds = measure([base, lba], effort, time.thread_time if threads == 1 else time.perf_counter)
            row[_name(shape, threads)] = median_ratio(seconds[1], seconds[0])
    return row


def _runner(a: Floats, b: Floats, text: str | None, threads: int) -> Callable[[], Floats]:
    spec = None if text is None else AccumulatorSpec.parse(text)
    session = open_session(make_model("MatMul", {"a": a}, {"b": b}, spec), threads, spins_between_runs=False)
    return make_runner(session, {"a": a})


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accumulator", default="", help="the first letters of those that are measured")
    parser.add_argument("--seed", type=int, default=0, help="of the operands")


if __name__ == "__main__":
    main()
