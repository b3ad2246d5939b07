"""The golden vectors: made the same way each time, from nothing of ours, and met by the reference to the bit."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from vector_files import FOLDER, KINDS, Case, ConvCase, DotCase, MatMulCase, QuantizeCase, read_cases

from lba_onnx import reference


def reference_results(case: Case) -> list[np.ndarray | float]:
    """Return what each form of the reference makes of a case."""
    match case:
        case QuantizeCase(number_format, underflow, value):
            return [number_format.quantize(value, underflow), reference.quantize(value, number_format, underflow)]
        case DotCase(spec, x, w):
            return [reference.dot(x, w, spec), reference.matmul(x, w, spec)]
        case MatMulCase(spec, a, b):
            return [reference.matmul(a, b, spec)]
        case ConvCase(spec, x, w, strides, pads, dilations, group):
            return [reference.conv(x, w, spec, strides, pads, dilations, group)]


@pytest.mark.parametrize("name", KINDS)
def test_reference_meets_every_vector(name: str) -> None:
    checked = 0
    for case in read_cases(name):
        for result in reference_results(case):
            np.testing.assert_array_equal(result, case.expected, err_msg=str(case))
        checked += 1
    assert checked >= 40


def test_regeneration_gives_the_same_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, FOLDER / "generate.py", "--output", tmp_path], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {*KINDS, "nearest"}
    for name in (*KINDS, *(f"nearest/{name}" for name in KINDS)):
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
    for folder in (FOLDER, FOLDER / "nearest"):
        assert sum((folder / name).stat().st_size for name in KINDS) < 600_000
