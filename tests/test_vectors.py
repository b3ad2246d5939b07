"""The golden vectors: made the same way each time, from nothing of ours, and met by everything to the bit."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from same_bits import assert_same_bits
from vector_files import (
    FOLDER,
    KINDS,
    STARTS,
    Case,
    ConvCase,
    DotCase,
    MatMulCase,
    QuantizeCase,
    StartsCase,
    read_cases,
)

from lba_onnx import kernels, reference
from lba_onnx.arithmetic.rounding import Rounding

FOLDERS = ("", "nearest/", "rules/", "sums/")
NAMES = [
    *(f"{folder}{name}" for folder in FOLDERS for name in KINDS if (FOLDER / folder / name).exists()),
    f"rules/{STARTS}",
    f"sums/{STARTS}",
]


def reference_results(case: Case) -> list[np.ndarray | float]:
    """Return what each form of the reference makes of a case."""
    match case:
        case QuantizeCase(spec, draw, value):
            held = spec.accumulator_format
            rules = (spec.underflow, spec.rounding, draw, spec.random_bits)
            return [held.quantize(value, *rules), np.float32(reference.quantize(value, held, *rules))]
        case DotCase(spec, x, w):
            return [np.float32(reference.dot(x, w, spec)), reference.matmul(x, w, spec)]
        case MatMulCase(spec, a, b):
            return [reference.matmul(a, b, spec), dots(case)]
        case StartsCase(spec, a, b, initial):
            return [reference.matmul(a, b, spec, initial), dots(case)]
        case ConvCase(spec, x, w, strides, pads, dilations, group):
            return [reference.conv(x, w, spec, strides, pads, dilations, group)]


def dots(case: MatMulCase | StartsCase) -> np.ndarray:
    """Return a matrix product one value at a time."""
    y = np.empty(case.expected.shape, np.float32)
    for place in np.ndindex(y.shape):
        start = float(case.initial[place]) if isinstance(case, StartsCase) else 0.0
        y[place] = reference.dot(case.a[place[0]], case.b[:, place[1]], case.spec, start, place)
    return y


def native_results(case: DotCase | MatMulCase | StartsCase | ConvCase) -> Iterator[np.ndarray]:
    """Yield what the library makes of a case, with one thread and with two."""
    for threads in (1, 2):
        match case:
            case DotCase(spec, x, w):
                yield kernels.matmul(x, w, spec, threads=threads)
            case MatMulCase(spec, a, b):
                yield kernels.matmul(a, b, spec, threads=threads)
            case StartsCase(spec, a, b, initial):
                yield kernels.matmul(a, b, spec, initial=initial, threads=threads)
            case ConvCase(spec, x, w, strides, pads, dilations, group):
                yield kernels.conv(x, w, spec, strides, pads, dilations, group, threads=threads)


@pytest.mark.parametrize("name", NAMES)
def test_reference_meets_every_vector(name: str) -> None:
    checked = 0
    for case in read_cases(name):
        for result in reference_results(case):
            check(result, case)
        checked += 1
    assert checked >= 20


@pytest.mark.parametrize("name", [name for name in NAMES if "quantize" not in name])
def test_every_path_meets_every_vector(forced_path: str, name: str) -> None:
    for case in read_cases(name):
        for result in native_results(case):
            check(result, case)


def check(result: np.ndarray | float, case: Case) -> None:
    """Assert that bits are the same; where formats have no infinity, zeros are positive."""
    try:
        assert_same_bits(np.asarray(result), case.expected)
    except AssertionError as error:
        raise AssertionError(f"{case}: {error}") from None


@pytest.mark.parametrize("rounding", Rounding)
def test_vectors_tell_roundings_apart(rounding: Rounding, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rounding done as any other one fails, in dot products and in single values."""
    right, doubles = Rounding.without_last_bits, {rounding: rounding}
    monkeypatch.setattr(Rounding, "without_last_bits", lambda self, *given: right(doubles.get(self, self), *given))
    for name in ("rules/dot.txt", "rules/quantize.txt"):
        cases = [case for case in read_cases(name) if case.spec.rounding is rounding]
        for other in Rounding:
            doubles[rounding] = other
            # without draws, which only stochastic rounding has, it truncates
            is_same = other is rounding or (rounding, other) == (Rounding.TRUNCATE, Rounding.STOCHASTIC)
            assert all(map(is_met, cases)) == is_same, f"{name}: {rounding.value} as {other.value}"


def is_met(case: Case) -> bool:
    """Tell whether the definition, one value at a time, meets a case."""
    match case:
        case QuantizeCase(spec, draw, value):
            held = spec.accumulator_format
            result = reference.quantize(value, held, spec.underflow, spec.rounding, draw, spec.random_bits)
        case DotCase(spec, x, w):
            result = reference.dot(x, w, spec)
    return bool(np.array_equal(result, case.expected, equal_nan=True))


def test_regeneration_gives_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "generate.py", "--output", tmp_path], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {*KINDS, "nearest", "rules", "sums", "codes"}
    for name in (*NAMES, "codes/matmul.txt", "codes/conv.txt"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_generator_imports_nothing_of_the_package() -> None:
    allowed = set(sys.stdlib_module_names) | {path.stem for path in FOLDER.glob("*.py")}
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] in allowed, path


def test_vectors_stay_small_enough_to_commit() -> None:
    for folder in FOLDERS:
        assert sum((FOLDER / name).stat().st_size for name in NAMES if name.rpartition("/")[0] == folder[:-1]) < 600_000
