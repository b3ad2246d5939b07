"""`arm-smlal16` beside the instructions that it is named for, which a program for aarch64 executes under qemu."""

import importlib.util
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import lba_onnx
from lba_onnx import reference
from tools.release.targets import write_compiler

SOURCE = Path(__file__).with_name("arm_smlal16.c")
SPEC, STEP = "arm-smlal16", 16
Instructions = Callable[[np.ndarray, np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def instructions(tmp_path_factory: pytest.TempPathFactory) -> Instructions:
    """Return what multiplies int8 matrices [rows, depth] and [depth, columns] by the instructions."""
    folder = tmp_path_factory.mktemp("arm")
    qemu, compiler = shutil.which("qemu-aarch64"), shutil.which("aarch64-linux-gnu-gcc")
    if compiler is None and importlib.util.find_spec("ziglang"):
        compiler = str(write_compiler("aarch64-linux-musl", folder, "cc"))
    if qemu is None or compiler is None:
        pytest.skip("needs qemu-aarch64, and aarch64-linux-gnu-gcc or the package ziglang")
    program = folder / "arm_smlal16"
    built = [compiler, "-O1", "-static", "-nostdlib", "-ffreestanding", "-o", str(program), str(SOURCE)]
    subprocess.run(built, check=True, capture_output=True, text=True)

    def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        filling = ((0, 0), (0, -a.shape[1] % STEP))
        x, w = np.pad(a, filling), np.pad(b.T, filling)
        pairs = (np.repeat(x, len(w), axis=0), np.tile(w, (len(x), 1)))
        head = np.array(pairs[0].shape, np.int32)
        given = b"".join(values.tobytes() for values in (head, *pairs))
        result = subprocess.run([qemu, str(program)], input=given, capture_output=True, check=True, timeout=60)
        return np.frombuffer(result.stdout, np.int32).reshape(len(x), len(w))

    return matmul


@pytest.mark.parametrize("depth", [1, 8, 9, 16, 23, 32, 77, 256])
def test_sums_are_those_of_the_instructions(instructions, depth):
    rng = np.random.default_rng(depth)
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((5, depth), (depth, 7)))
    a[:3] = np.array([[-128], [-127], [127]])
    b[:, :4] = rng.choice(np.array([-128, 127], np.int8), (depth, 4), p=(0.9, 0.1))
    b[:, 0] = -128
    expected = instructions(a, b)
    exact = a.astype(np.int32) @ b
    assert (expected != exact).any() == (depth > 8), "products 8 apart meet in 16 bits"
    np.testing.assert_array_equal(reference.matmul(a, b, SPEC), expected)
    np.testing.assert_array_equal(lba_onnx.matmul(a, b, SPEC), expected)


def test_uint8_codes_are_moved_to_int8(instructions):
    rng = np.random.default_rng(1)
    a, b = rng.choice(np.array([0, 1, 255], np.uint8), (4, 40)), rng.choice(np.array([-128, 127], np.int8), (40, 6))
    moved = instructions((a.astype(np.int32) - 128).astype(np.int8), b)
    expected = moved + 128 * b.sum(axis=0, dtype=np.int32)
    np.testing.assert_array_equal(reference.matmul(a, b, SPEC), expected)
    np.testing.assert_array_equal(lba_onnx.matmul(a, b, SPEC), expected)
