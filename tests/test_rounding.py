"""Rounding to nearest: ties, just-off ties and both limits, against the nearest value among rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import formats

from lba_onnx import reference
from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.rounding import Rounding

M7E4 = FloatFormat(7, 4, 10)


def nearest_even(value: Fraction, mantissa_bits: int) -> Fraction:
    """Return the nearest value with so many mantissa bits, of two the one that is an even multiple of its last bit."""
    if value == 0:
        return value
    exponent = math.floor(math.log2(abs(value)))
    while Fraction(2) ** exponent > abs(value):
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= abs(value):
        exponent += 1
    step = Fraction(2) ** (exponent - mantissa_bits)
    below = math.floor(value / step)
    candidates = sorted((below, below + 1), key=lambda n: (abs(n * step - value), n % 2))
    return candidates[0] * step


def expected(value: Fraction, number_format: FloatFormat, underflow: bool) -> Fraction:
    """Return the definition: round, then what is too small becomes 0, then what is too large saturates."""
    rounded = nearest_even(value, number_format.mantissa_bits)
    if abs(rounded) < Fraction(number_format.smallest_kept(underflow)):
        return Fraction(0)
    largest = Fraction(number_format.max_value)
    return max(min(rounded, largest), -largest)


@st.composite
def hard_values(draw: st.DrawFn, number_format: FloatFormat) -> Fraction:
    """Values on and beside the middle between two neighbours, anywhere and at both ends of the range."""
    middle = draw(st.integers(1 << number_format.mantissa_bits, (2 << number_format.mantissa_bits) - 1)) + Fraction(
        1, 2
    )
    top = math.frexp(number_format.max_value)[1] - 1
    exponent = draw(
        st.sampled_from([top, top + 1, -number_format.exponent_bias - 1, -number_format.exponent_bias, -127])
    )
    off = draw(st.sampled_from([0, 1, -1])) * Fraction(1, 1 << draw(st.sampled_from([8, 20, 28])))
    value = (middle + off) * Fraction(2) ** (exponent - number_format.mantissa_bits)
    return value * draw(st.sampled_from([1, -1]))


@given(st.data(), formats(), st.booleans())
def test_quantize_gives_the_nearest_value(data: st.DataObject, number_format: FloatFormat, underflow: bool) -> None:
    value = data.draw(hard_values(number_format))
    wanted = expected(value, number_format, underflow)
    assert Fraction(reference.quantize(value, number_format, underflow, "nearest")) == wanted
    if Fraction(float(value)) == value:
        array = number_format.quantize(np.array([float(value)]), underflow, "nearest")
        assert Fraction(float(array[0])) == wanted


@pytest.mark.parametrize(
    ("value", "truncated", "nearest"),
    [
        (1 + 2.0**-8, 1.0, 1.0),  # a tie, to the even neighbour below
        (1 + 3 * 2.0**-8, 1 + 2.0**-7, 1 + 2.0**-6),  # a tie, to the even neighbour above
        (1 + 2.0**-8 + 2.0**-30, 1.0, 1 + 2.0**-7),
        (M7E4.min_value * (1 - 2.0**-9), 0.0, M7E4.min_value),  # the tie just below min_value
        (M7E4.min_value * (1 - 2.0**-9 - 2.0**-30), 0.0, 0.0),
        (M7E4.max_value * (1 - 2.0**-12), M7E4.max_value - 2.0**-2, M7E4.max_value),
        (math.inf, M7E4.max_value, M7E4.max_value),
    ],
)
def test_both_roundings_of_hand_made_values(value: float, truncated: float, nearest: float) -> None:
    assert reference.quantize(value, M7E4) == float(M7E4.quantize(value)) == truncated
    assert (
        reference.quantize(value, M7E4, rounding="nearest")
        == float(M7E4.quantize(value, rounding="nearest"))
        == nearest
    )


def test_another_rounding_is_refused() -> None:
    with pytest.raises(ValueError, match="'up' is not a valid Rounding"):
        M7E4.quantize(1.0, rounding="up")
    with pytest.raises(ValueError, match="'up' is not a valid Rounding"):
        AccumulatorSpec(M7E4, M7E4, rounding="up")  # type: ignore[arg-type]


@given(st.integers(0, 2**80), st.integers(1, 30))
def test_magnitudes_round_like_rationals(magnitude: int, bits: int) -> None:
    assert Rounding.NEAREST.magnitude(magnitude, bits) == nearest_even(Fraction(magnitude), bits - 1)
    truncated = Rounding.TRUNCATE.magnitude(magnitude, bits)
    assert truncated <= magnitude and (magnitude - truncated) < max(1, 1 << max(magnitude.bit_length() - bits, 0))


@pytest.mark.parametrize(("text", "stuck"), [("M3E4b5", 16), ("M3E4b5/M3E4b5,round=nearest", 16), ("M7E4b10", 63.75)])
def test_what_explain_says_of_ones_is_what_happens(text: str, stuck: float) -> None:
    spec = AccumulatorSpec.parse(text)
    partial_sum = 0.0
    for _ in range(200):
        partial_sum = reference.fmaq(1.0, 1.0, partial_sum, spec)
    assert partial_sum == stuck
    assert dict(spec.explained())["adding 1"].endswith(f" {stuck:g}")
