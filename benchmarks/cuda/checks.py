"""Counts of results on a CUDA device that equal the golden vectors and the CPU library's, bit for bit."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cuda.report import Column, Row

TILE_VARIABLE = "LBA_ONNX_CUDA_TILE"
TILES = (None, "large", "medium", "flat", "small", "thin")
GOLDEN_KINDS = ("dot", "matmul", "conv")
STATISTICS_KINDS = ("matmul", "batched", "conv")
COLUMNS = (
    Column("case", "results"),
    Column("compared", "compared", "d"),
    Column("equal", "equal", "d"),
    Column("first_difference", "first difference"),
    Column("note", "note"),
)
_TESTS = Path(__file__).parents[2] / "tests"  # the cases that the tests compare

Comparison = Callable[[], str | None]  # None, or what differs


def run_checks(cases: int, most_multiplies: int, deadline: float) -> list[Row]:
    """Compare golden vectors, random products and statistics.

    Args:
        cases: Random cases of each kind and element type.
        most_multiplies: Of one of them.
        deadline: When to stop, by time.monotonic(); the counts say how far it came.
    """
    if str(_TESTS) not in sys.path:
        sys.path.append(str(_TESTS))
    comparisons = {**_golden(), **_random(cases, most_multiplies), **_statistics(cases, most_multiplies)}
    return [_count(name, of_kind, deadline) for name, of_kind in comparisons.items()]


def _count(name: str, comparisons: Iterable[Comparison], deadline: float) -> Row:
    compared, differing, first, note = 0, 0, None, None
    for compare in comparisons:
        if time.monotonic() > deadline:
            note = "stopped: no time left"
            break
        difference = compare()
        compared += 1
        differing += difference is not None
        first = first or difference
    return {"case": name, "compared": compared, "equal": compared - differing, "first_difference": first, "note": note}


def _golden() -> dict[str, Iterator[Comparison]]:
    import gpu_cases

    def of_kind(kind: str) -> Iterator[Comparison]:
        for number, (case, expected) in enumerate(gpu_cases.golden_cases(kind)):
            yield partial(_compare, case, expected, TILES[number % len(TILES)], number % 2 == 0)

    return {f"golden {kind}": of_kind(kind) for kind in GOLDEN_KINDS}


def _random(cases: int, most_multiplies: int) -> dict[str, Iterator[Comparison]]:
    import gpu_cases

    def of_kind(kind: str, dtype: type) -> Iterator[Comparison]:
        for seed in range(cases):
            case = gpu_cases.DRAWS[kind](np.random.default_rng(seed), dtype, most_multiplies)
            yield partial(_compare, case, None, TILES[seed % len(TILES)], seed % 2 == 0)

    types = (np.float32, np.float16)
    return {f"{kind} {dtype.__name__}": of_kind(kind, dtype) for kind in gpu_cases.DRAWS for dtype in types}


def _statistics(cases: int, most_multiplies: int) -> dict[str, Iterator[Comparison]]:
    import gpu_cases
    from gpu_statistics import statistics_difference

    def of_kind(kind: str) -> Iterator[Comparison]:
        for seed in range(cases // 4):
            case = gpu_cases.DRAWS[kind](np.random.default_rng(seed), np.float32, most_multiplies // 16)
            yield partial(_told, partial(statistics_difference, case, seed % 3, 1 / (1 + seed % 9)), case)

    return {f"statistics of {kind}": of_kind(kind) for kind in STATISTICS_KINDS}


def _compare(case: Any, expected: Any, tile: str | None, packs: bool) -> str | None:
    """How the device's result differs, with the case in words."""
    from gpu_cases import first_difference

    def compute() -> str | None:
        with _forced_tile(tile), case.on_device(packs) as on_device:
            return first_difference(on_device.compute(), case.expected() if expected is None else expected)

    return _told(compute, case, f", {tile or 'automatic'} tiles, {'packed' if packs else 'not packed'}")


def _told(compare: Comparison, case: Any, more: str = "") -> str | None:
    """The difference, or what failed, with the case in words."""
    try:
        difference = compare()
    except (MemoryError, RuntimeError, ValueError) as error:
        difference = f"{type(error).__name__}: {error}"
    return difference and f"{case.what}, {case.spec}{more}: {difference}"


@contextmanager
def _forced_tile(tile: str | None) -> Iterator[None]:
    if tile is not None:
        os.environ[TILE_VARIABLE] = tile
    try:
        yield
    finally:
        os.environ.pop(TILE_VARIABLE, None)
