"""Sums to nearest of exact products, on every path: ties that the product's last bit tips, and both ends of formats."""

import itertools

import numpy as np
import pytest

from lba_onnx import kernels, native, reference
from lba_onnx.arithmetic import AccumulatorSpec

EXACT = "round=nearest,product=exact"
FORMATS = ("M7E4b8", "M9E6b31", "M0E4b9", "M10E5b15", "M21E5b8")
ROWS, COLUMNS, DEPTH = 9, 40, 37


def matmul_on(path: str, a: np.ndarray, b: np.ndarray, text: str) -> np.ndarray:
    """Return the product, all of whose tiles this path computes."""
    before = native.path_counts()
    result: np.ndarray = kernels.matmul(a, b, text)
    assert {name for name, count in native.path_counts().items() if count > before[name]} == {path}
    return result


def about_a_tie(power: float) -> tuple[np.ndarray, np.ndarray]:
    """Operands whose products are a power of two, or differ from it in any of their 48 bits."""
    beside = 1 + np.array([0, 2.0**-23, -(2.0**-23), 2.0**-12, -(2.0**-12), 2.0**-9, -(2.0**-24)])
    return beside * power, np.concatenate([beside, -beside])


@pytest.mark.parametrize("underflow", ["", ",underflow=off"])
@pytest.mark.parametrize("text", [*FORMATS, "M22E5b8"])
def test_the_last_bit_of_a_product_tips_a_tie(forced_path: str, text: str, underflow: str) -> None:
    """A first product makes the sum: zero, about the smallest value, about one, or about the largest."""
    spec = AccumulatorSpec.parse(f"{text},{EXACT}{underflow}")
    sums, last = spec.accumulator_format, 2.0**-spec.accumulator_format.mantissa_bits
    starts = [k * value for value in (sums.min_value, 1) for k in (1, 1 + last, 1 + 2 * last, 2 - last)]
    for start in (0.0, *starts, sums.max_value, sums.max_value * (1 - last)):
        unit = 2.0 ** np.floor(np.log2(start or sums.min_value)) * last
        for power in (unit / 2, unit, unit / 4, unit / last, unit / last / 2):
            x, w = about_a_tie(power)
            a = np.stack([np.full_like(x, start), x], axis=1).astype(np.float32)
            b = np.stack([np.ones_like(w), w]).astype(np.float32)
            path = "portable" if "M22" in text and forced_path != "exact" else forced_path
            result = matmul_on(path, a, b, str(spec))
            np.testing.assert_array_equal(result, reference.matmul(a, b, spec))


def operands(scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((ROWS, DEPTH), (DEPTH, COLUMNS)))
    a[:, ::5], b[::7] = 0, -0.0
    return a * np.float32(scale), b


@pytest.mark.parametrize("scale", [1, 100])
@pytest.mark.parametrize(
    "text", [*(f"{text},{EXACT}" for text in FORMATS), f"M7E4b8,{EXACT},underflow=off", "fp16-fma", "bf16-fma"]
)
def test_every_tile_chunk_and_thread_has_the_references_bits(forced_path: str, text: str, scale: float) -> None:
    a, b = operands(scale)
    for chunk in ("none", "16", "3x4"):
        expected = reference.matmul(a, b, f"{text},chunk={chunk}")
        np.testing.assert_array_equal(matmul_on(forced_path, a, b, f"{text},chunk={chunk}"), expected)
        for rows, columns in itertools.product((1, 2, 3, 4, 7), (1, 9, 33)):
            result = kernels.matmul(a[:rows], b[:, :columns], f"{text},chunk={chunk}", threads=rows % 2 + 1)
            np.testing.assert_array_equal(result, expected[:rows, :columns])


@pytest.mark.parametrize("text", [f"M7E4b8,{EXACT}", f"M9E6b31,{EXACT},chunk=4", "fp16-fma", "bf16-fma"])
def test_depthwise_convolutions_have_the_references_bits(forced_path: str, text: str) -> None:
    rng = np.random.default_rng(6)
    for size in (3, 9, 21):
        x = rng.standard_normal((1, 2, size, size)).astype(np.float32)
        w = rng.standard_normal((2, 1, 3, 3)).astype(np.float32)
        options = {"group": 2, "pads": [1, 1, 1, 1]}
        np.testing.assert_array_equal(kernels.conv(x, w, text, **options), reference.conv(x, w, text, **options))
