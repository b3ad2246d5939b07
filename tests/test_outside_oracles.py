"""What others make of the same arithmetic: NumPy's float16, the machine's own FMA, gfloat and APyTypes, to the bit.

Chains are compared, not sums: s = s + x * w from s = +0 on, each step by the other's operations.
"""

import ctypes
import ctypes.util
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import pytest
from processor import paths
from same_bits import assert_same_bits

from lba_onnx import kernels, reference
from lba_onnx.arithmetic import FloatFormat

Step = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
IEEE = ",chunk=none,range=infinity,subnormals=keep"


def gfloat() -> ModuleType:
    return pytest.importorskip("gfloat")


def gfloat_format(held: FloatFormat) -> Any:
    """Return a format of IEEE 754 as gfloat describes it."""
    return gfloat().FormatInfo(
        str(held),
        held.width_bits,
        held.mantissa_bits + 1,
        bias=held.exponent_bias,
        is_signed=True,
        domain=pytest.importorskip("gfloat.types").Domain.Extended,
        has_nz=True,
        num_high_nans=2**held.mantissa_bits - 1,
        has_subnormals=True,
        is_twos_complement=False,
    )


def drawn(rng: np.random.Generator, shape: tuple[int, ...], bits: int, exponents: tuple[int, int]) -> np.ndarray:
    """Return values of at most so many significant bits, half of them of few: their sums and products are often ties.

    Of one vector all are about as large, so that sums are; some are zeros of either sign.
    """
    kept = np.where(rng.random(shape) < 0.5, bits, rng.integers(1, 4, shape))
    significands = np.floor(rng.integers(1 << (bits - 1), 1 << bits, shape) / 2.0 ** (bits - kept)) * 2.0**-kept
    levels = rng.integers(*exponents, (shape[0], *(1 for _ in shape[1:]))) + rng.integers(-3, 4, shape)
    values = np.ldexp(significands, levels) * rng.choice([-1.0, 1.0], shape)
    return np.where(rng.random(shape) < 0.05, 0.0 * values, values)


def operands(
    seed: int, dtype: type, bits: int, exponents: tuple[int, int], specials: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices [rows, depth] and [depth, columns] of values of a type, held in float32."""
    rng = np.random.default_rng(seed)
    a, b = drawn(rng, (24, 14), bits, exponents), drawn(rng, (20, 14), bits, exponents)
    if specials:
        a[3, 5], a[4, 6], a[5, 0], b[7, 6], b[8, 2] = np.inf, np.nan, -np.inf, 0.0, -np.inf
    with np.errstate(over="ignore"):
        return a.astype(dtype).astype(np.float32), b.astype(dtype).astype(np.float32).T


def chain(a: np.ndarray, b: np.ndarray, step: Step, dtype: type) -> np.ndarray:
    """Return the matrix product by another's steps."""
    total = np.zeros((a.shape[0], b.shape[1]), dtype)
    with np.errstate(all="ignore"):
        for k in range(a.shape[1]):
            total = step(np.broadcast_to(a[:, k, None], total.shape), np.broadcast_to(b[None, k], total.shape), total)
    return total.astype(np.float32)


def check(a: np.ndarray, b: np.ndarray, text: str, expected: np.ndarray) -> None:
    """Assert that the definition, its arrays and the library on every path give what another gave."""
    assert_same_bits(reference.matmul(a, b, text), expected)
    for path in paths():
        with mock.patch.dict(os.environ, LBA_ONNX_CPU_PATH=path):
            assert_same_bits(kernels.matmul(a, b, text), expected)
    for row, column in np.ndindex(4, 4):
        assert_same_bits(np.float32(reference.dot(a[row], b[:, column], text)), expected[row, column])


def half_mul_add(x: np.ndarray, w: np.ndarray, s: np.ndarray) -> np.ndarray:
    """NumPy rounds each float16 operation once, or as if once.

    It computes in float32 and rounds again. Products have 22 bits, which float32 holds. Sums, of numbers of 11 bits,
    are rounded to 24 bits first, which no tie of 11 bits survives unseen: 24 >= 2 * 11 + 2 (Figueroa, 1995).
    """
    return s + x.astype(np.float16) * w.astype(np.float16)


def half_fma(x: np.ndarray, w: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The float64 sum of s and an exact product, rounded to float16: one rounding, or as if one.

    The product p has 22 bits and s is a multiple of 2^-24. Where float64 does not hold s + p and the sum does not
    overflow, p has bits below 2^-24 and below 2^-52 of the sum, so |p| < 2^-30 |s|: too little to reach the middle
    between s and its neighbours, and both roundings give s.
    """
    return (s.astype(np.float64) + x.astype(np.float64) * w.astype(np.float64)).astype(np.float16)


def machine_fma() -> Step:
    """The C library's fmaf, by definition one rounding; the processor's instruction where there is one."""
    name = ctypes.util.find_library("m")
    if name is None:
        pytest.skip("needs the C library's fmaf")
    fmaf = ctypes.CDLL(name).fmaf
    fmaf.restype, fmaf.argtypes = ctypes.c_float, [ctypes.c_float] * 3
    return np.frompyfunc(fmaf, 3, 1)


def bfloat16_fma(x: np.ndarray, w: np.ndarray, s: np.ndarray) -> np.ndarray:
    """The float64 sum of s and an exact product, which must be exact, rounded to bfloat16 by gfloat."""
    product, sums = x.astype(np.float64) * w.astype(np.float64), s.astype(np.float64)
    exact = product + sums
    assert np.all((exact - product == sums) & (exact - sums == product)), "expected sums that float64 holds"
    bfloat16 = gfloat_format(FloatFormat.parse("M7E8b127", has_infinity=True, has_subnormals=True))
    return np.vectorize(lambda value: gfloat().round_float(bfloat16, value), otypes=[np.float64])(exact)


def test_numpy_rounds_float64_to_float16_at_once() -> None:
    """The oracle of fp16-fma rests on it: a tie after 24 bits that is none."""
    assert np.float64(1 + 2.0**-11 + 2.0**-40).astype(np.float16) == 1 + 2.0**-10
    assert np.float64(1 + 2.0**-11).astype(np.float16) == 1


HALF_EXPONENTS = [(-3, 3), (-14, -9), (-18, -12), (5, 11), (-22, 14)]


@pytest.mark.parametrize("exponents", HALF_EXPONENTS)
@pytest.mark.parametrize(("text", "step"), [("fp16-mul-add", half_mul_add), ("fp16-fma", half_fma)])
def test_float16_chains_are_those_of_numpy(text: str, step: Step, exponents: tuple[int, int]) -> None:
    for seed in range(6):
        a, b = operands(seed, np.float16, 11, exponents, specials=seed % 2 == 1)
        check(a, b, text, chain(a, b, step, np.float16))


@pytest.mark.parametrize("exponents", [(-3, 3), (-66, -60), (-75, -70), (58, 65), (-100, 100)])
def test_float32_chains_are_those_of_the_machine(exponents: tuple[int, int]) -> None:
    fmaf = machine_fma()
    for seed in range(3):
        a, b = operands(seed, np.float32, 24, exponents, specials=seed == 1)
        check(a, b, "fp32-fma", chain(a, b, lambda *xws: fmaf(*xws).astype(np.float32), np.float32))


@pytest.mark.parametrize("exponents", [(-3, 3), (-60, -56), (55, 60)])
def test_bfloat16_chains_are_those_of_gfloat(exponents: tuple[int, int]) -> None:
    for seed in range(3):
        a, b = (np.float32(values) for values in operands(seed, np.float64, 8, exponents, specials=False))
        check(a, b, "bf16-fma", chain(a, b, bfloat16_fma, np.float64))


def test_float32_and_then_one_bit_more_than_float16_is_two_roundings() -> None:
    """Just outside: at 12 bits float32 makes a tie of what is none."""
    x, w = np.float32([[1 + 2.0**-11, 2.0**-12 - 2.0**-24]]), np.ones((2, 1), np.float32)
    text = f"M11E8b127/M11E8b127{IEEE},round=nearest"
    check_one(x, w, text, 1 + 2.0**-11)
    held = FloatFormat.parse("M11E8b127", has_infinity=True, has_subnormals=True)
    assert held.quantize(x.sum(dtype=np.float32), rounding="nearest") == 1 + 2.0**-10


def check_one(x: np.ndarray, w: np.ndarray, text: str, expected: float) -> None:
    """Assert what the one output of a product is."""
    for result in (reference.matmul(x, w, text), kernels.matmul(x, w, text), reference.dot(x[0], w[:, 0], text)):
        assert np.all(result == expected)


def test_fused_and_separate_chains_differ() -> None:
    """Else the tests above could take one for the other."""
    a, b = operands(0, np.float16, 11, (-3, 3), specials=False)
    assert np.mean(reference.matmul(a, b, "fp16-fma") != reference.matmul(a, b, "fp16-mul-add")) > 0.1


def ties(rng: np.random.Generator, held: FloatFormat) -> np.ndarray:
    """Return values halfway between two of a format, the next float64 numbers on both sides, and any others."""
    low, high = held.min_exponent - held.mantissa_bits - 2, held.max_exponent + 1
    exponents = rng.integers(low, high, 300)
    last_bits = np.maximum(exponents, held.min_exponent) - held.mantissa_bits
    middles = np.ldexp(rng.integers(0, 2 << held.mantissa_bits, 300) + 0.5, last_bits)
    values = [middles, np.nextafter(middles, 0), np.nextafter(middles, np.inf), np.ldexp(rng.random(300), exponents)]
    return np.concatenate(values) * rng.choice([-1.0, 1.0], 1200)


GFLOAT_NAMES = {
    "truncate": "TowardZero",
    "nearest": "TiesToEven",
    "nearest-away": "TiesToAway",
    "stochastic": "StochasticFastest",
}
"""Stochastic: a random integer is added behind the last bit, and the sum is cut."""


@pytest.mark.parametrize("rounding", GFLOAT_NAMES)
@pytest.mark.parametrize("text", ["M10E5b15", "M7E8b127", "M23E8b127", "M3E4b7", "M2E5b15"])
def test_single_values_round_as_those_of_gfloat(text: str, rounding: str) -> None:
    held = FloatFormat.parse(text, has_infinity=True, has_subnormals=True)
    rng = np.random.default_rng(4)
    values = ties(rng, held)
    if rounding == "truncate":  # there, as IEEE 754 has it, no number becomes infinite that way
        values = values[np.abs(values) < 2.0 ** (held.max_exponent + 1)]
    if rounding == "nearest-away":  # gfloat adds 1/2 in float64, which takes what is next below 1/2 to 1
        values = values[np.abs(values) >= held.smallest_kept() / 2]
    random_bits = 7 if rounding == "stochastic" else 0
    draws = rng.integers(0, 2**random_bits, values.size)
    other, mode = gfloat_format(held), getattr(gfloat().RoundMode, GFLOAT_NAMES[rounding])
    expected = [
        gfloat().round_float(other, value, mode, False, draw, random_bits)
        for value, draw in zip(values.tolist(), draws.tolist(), strict=True)
    ]
    assert_same_bits(held.quantize(values, True, rounding, draws, random_bits), np.float32(expected))
    for value, draw, wanted in zip(values.tolist(), draws.tolist(), expected, strict=True):
        assert_same_bits(np.float32(reference.quantize(value, held, True, rounding, draw, random_bits)), wanted)


@pytest.mark.parametrize("exponents", HALF_EXPONENTS)
@pytest.mark.parametrize(
    ("rounding", "mode"),
    [("truncate", "TO_ZERO"), ("nearest", "TIES_EVEN"), ("nearest-away", "TIES_AWAY"), ("odd", "JAM_UNBIASED")],
)
@pytest.mark.parametrize("bits", ["M10E5b15", "M6E5b15"])
def test_accumulators_are_those_of_apytypes(bits: str, rounding: str, mode: str, exponents: tuple[int, int]) -> None:
    """A product is rounded to the accumulator's format there too, and each sum again; operands are float32."""
    apytypes = pytest.importorskip("apytypes")
    held = FloatFormat.parse(bits)
    for seed in range(4):
        a, b = operands(seed, np.float32, 24, exponents, specials=seed == 3)
        x, w = (apytypes.APyFloatArray.from_float(values, 8, 23) for values in (a, b))
        with (
            apytypes.APyFloatAccumulatorContext(
                held.exponent_bits, held.mantissa_bits, held.exponent_bias, getattr(apytypes.QuantizationMode, mode)
            ),
            np.errstate(invalid="ignore"),
        ):  # a signalling NaN is as good as any other
            expected = (x @ w).to_numpy().astype(np.float32)
        text = f"{bits}/{bits}{IEEE},round={rounding}"
        if "nearest" not in rounding:  # there, as IEEE 754 has it, no number becomes infinite that way
            expected = np.where(np.isfinite(reference.matmul(a, b, text)), expected, reference.matmul(a, b, text))
        check(a, b, text, expected)
