"""Number formats: what is legal, their text form, and quantizing against exact rationals."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import formats

from lba_onnx import reference
from lba_onnx.arithmetic import FloatFormat


def exact_quantize(value: Fraction, number_format: FloatFormat, underflow: bool) -> Fraction:
    """Quantize by searching for the value's binade."""
    magnitude = abs(value)
    sign = 1 if value >= 0 else -1
    if magnitude >= Fraction(number_format.max_value):
        return sign * Fraction(number_format.max_value)
    if magnitude < (Fraction(number_format.min_value) if underflow else Fraction(1, 2**126)):
        return Fraction(0)
    binade = Fraction(2) ** 128
    while binade > magnitude:
        binade /= 2
    step = binade / 2**number_format.mantissa_bits
    return sign * (magnitude // step) * step


def values_of(number_format: FloatFormat) -> list[float]:
    """Every positive value of a small format, in order."""
    m, b = number_format.mantissa_bits, number_format.exponent_bias
    return [2.0 ** (i - b) * (1 + j / 2**m) for i in range(2**number_format.exponent_bits) for j in range(2**m)]


@pytest.mark.parametrize(
    ("text", "max_value", "min_value", "width_bits"),
    [
        ("M7E4b10", 2.0**5 * (2 - 2.0**-7), 2.0**-10, 12),
        ("M7E4b12", 2.0**3 * (2 - 2.0**-7), 2.0**-12, 12),
        ("M4E3b4", 2.0**3 * (2 - 2.0**-4), 2.0**-4, 8),
        ("M10E5b15", 2.0**16 * (2 - 2.0**-10), 2.0**-15, 16),
        ("M0E1b0", 2.0, 1.0, 2),
        ("M22E7b0", 2.0**127 * (2 - 2.0**-22), 1.0, 30),
        ("M22E7b126", 2.0 * (2 - 2.0**-22), 2.0**-126, 30),
        ("M3E2b-3", 2.0**6 * (2 - 2.0**-3), 8.0, 6),
        ("M5E1b-126", 2.0**127 * (2 - 2.0**-5), 2.0**126, 7),
    ],
)
def test_parse_gives_the_range_and_width(text: str, max_value: float, min_value: float, width_bits: int) -> None:
    number_format = FloatFormat.parse(text)
    assert str(number_format) == text
    assert (number_format.max_value, number_format.min_value) == (max_value, min_value)
    assert number_format.width_bits == width_bits


@given(formats())
def test_str_and_parse_are_inverse(number_format: FloatFormat) -> None:
    assert FloatFormat.parse(str(number_format)) == number_format


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ((-1, 4, 10), "mantissa_bits from 0 to 22, got -1"),
        ((23, 4, 10), "mantissa_bits from 0 to 22, got 23"),
        ((7, 0, 10), "exponent_bits from 1 to 7, got 0"),
        ((7, 8, 126), "exponent_bits from 1 to 7, got 8"),
        ((7, 10**9, 10), "exponent_bits from 1 to 7"),
        ((7, 4, 127), "exponent_bias of at most 126, got 127"),
        ((7, 7, -1), "largest exponent of at most 127, got 128"),
        ((7, 1, -127), "largest exponent of at most 127, got 128"),
    ],
)
def test_illegal_format_is_refused(fields: tuple[int, int, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        FloatFormat(*fields)


@pytest.mark.parametrize("bad", [7.0, True, np.float32(7), "7", None, np.bool_(True)])
@pytest.mark.parametrize("field", ["mantissa_bits", "exponent_bits", "exponent_bias"])
def test_field_that_is_no_integer_is_refused(field: str, bad: object) -> None:
    fields = {"mantissa_bits": 7, "exponent_bits": 4, "exponent_bias": 10, field: bad}
    with pytest.raises(TypeError, match=f"expected {field} to be an integer, got"):
        FloatFormat(**fields)  # type: ignore[arg-type]


def test_numpy_integers_become_plain_ints() -> None:
    number_format = FloatFormat(np.int64(7), np.uint8(4), np.int16(10))  # type: ignore[arg-type]
    assert number_format == FloatFormat(7, 4, 10)
    assert type(number_format.mantissa_bits) is int


@pytest.mark.parametrize(
    "text", ["", "M7", "M7E4b", "m7e4b10", " M7E4b10", "M7E4b10\n", "M7E4b1.5", "M-1E4b10", "M\u0667E4b10"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a format such as 'M7E4b10', got"):
        FloatFormat.parse(text)


def test_family_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match="exponent bias such as 'M7E4b10', got the family 'M7E4'"):
        FloatFormat.parse("M7E4")


def test_parse_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="got bytes"):
        FloatFormat.parse(b"M7E4b10")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["M0E1b0", "M2E3b3", "M3E4b10", "M4E3b-5"])
def test_quantize_keeps_the_values_and_truncates_between_them(text: str) -> None:
    number_format = FloatFormat.parse(text)
    values = np.array(values_of(number_format))
    assert (values[0], values[-1]) == (number_format.min_value, number_format.max_value)
    np.testing.assert_array_equal(number_format.quantize(values), values)
    np.testing.assert_array_equal(number_format.quantize(-values), -values)
    np.testing.assert_array_equal(number_format.quantize(np.nextafter(values[1:], 0.0)), values[:-1])


@given(
    formats(),
    st.lists(st.floats(width=32) | st.floats(width=64), min_size=1, max_size=20),
    st.booleans(),
)
def test_quantize_equals_exact_rationals(number_format: FloatFormat, values: list[float], underflow: bool) -> None:
    result = number_format.quantize(np.array(values), underflow)
    assert result.dtype == np.float32
    for value, quantized in zip(values, result.tolist(), strict=True):
        assert np.array_equal(quantized, reference.quantize(value, number_format, underflow), equal_nan=True)
        if math.isfinite(value):
            assert Fraction(quantized) == exact_quantize(Fraction(value), number_format, underflow)


@given(formats(), st.data())
def test_quantize_is_exact_near_the_edges(number_format: FloatFormat, data: st.DataObject) -> None:
    edge = data.draw(st.sampled_from([number_format.max_value, number_format.min_value, 2.0**-126]))
    factor = data.draw(st.sampled_from([1 - 2.0**-53, 1.0, 1 + 2.0**-52, 0.5, 1 - 2.0**-24, -1.0, -1.75]))
    for underflow in (True, False):
        expected = exact_quantize(Fraction(edge * factor), number_format, underflow)
        assert Fraction(float(number_format.quantize(edge * factor, underflow))) == expected


def test_float64_is_truncated_once() -> None:
    just_below = np.nextafter(2.0, 0.0)  # rounding to float32 first would give 2
    assert FloatFormat.parse("M7E4b10").quantize(just_below) == 2 - 2.0**-7


def test_nan_stays_nan_and_infinity_saturates() -> None:
    number_format = FloatFormat.parse("M0E4b10")
    low_payload = np.array([0x7F800001, 0xFFC00000], dtype=np.uint32).view(
        np.float32
    )  # NaNs that a bit mask would lose
    assert np.isnan(number_format.quantize(low_payload)).all()
    np.testing.assert_array_equal(number_format.quantize([math.inf, -math.inf]), [32.0, -32.0])


def test_float32_subnormals_become_zero_even_without_underflow() -> None:
    number_format = FloatFormat.parse("M22E7b126")
    values = np.array([2.0**-149, -(2.0**-127), 2.0**-126], dtype=np.float32)
    np.testing.assert_array_equal(number_format.quantize(values, underflow=False), [0, 0, 2.0**-126])


def test_underflow_off_keeps_small_values() -> None:
    number_format = FloatFormat.parse("M2E4b10")
    np.testing.assert_array_equal(number_format.quantize([1.3e-30, 2.0**-11]), [0, 0])
    kept = number_format.quantize([1.3e-30, 2.0**-11], underflow=False)
    np.testing.assert_array_equal(kept, [2.0**-100 * 1.5, 2.0**-11])


def test_zeros_are_positive() -> None:
    assert not np.signbit(FloatFormat.parse("M7E4b10").quantize([-0.0, -1e-9, -5e-324])).any()


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantize_keeps_the_shape_and_the_input(shape: tuple[int, ...], dtype: type[np.floating]) -> None:
    values = np.full(shape, 1.2345, dtype=dtype)
    result = FloatFormat.parse("M1E4b10").quantize(values)
    assert isinstance(result, np.ndarray)
    assert (result.shape, result.dtype) == (shape, np.float32)
    np.testing.assert_array_equal(result, np.ones(shape))
    np.testing.assert_array_equal(values, np.full(shape, 1.2345, dtype=dtype))


def test_quantize_reads_any_memory_layout() -> None:
    values = np.arange(24, dtype=">f8").reshape(4, 6)[::-2, ::3].T
    np.testing.assert_array_equal(FloatFormat.parse("M22E7b63").quantize(values), values)


@pytest.mark.parametrize("bad", [[1, 2], [True], ["1.5"], [1j], [None]])
def test_quantize_of_other_types_is_refused(bad: list[object]) -> None:
    with pytest.raises(TypeError, match="expected float16, float32 or float64 values, got"):
        FloatFormat.parse("M7E4b10").quantize(bad)  # type: ignore[arg-type]


def test_dlfloat_has_one_code_for_nan_and_infinity_and_none_for_its_smallest_power_of_two() -> None:
    """The limits are those that fms-model-optimizer clamps to: 8581545984, and 4.6657e-10 from below."""
    held = FloatFormat(9, 6, 31, has_dlfloat_codes=True)
    largest = 2.0**33 - 2.0**24
    assert (held.max_value, held.min_value) == (largest, 2.0**-31 * (1 + 2.0**-9)) and held.width_bits == 16
    below = np.nextafter(2.0**33 - 3 * 2.0**22, 0)  # the tie between the largest value and the code behind it
    values = [below, 2.0**33 - 3 * 2.0**22, 8581545984.0, np.inf, -np.inf, 2.0**-31, 2.0**-31 * (1 + 2.0**-10)]
    expected = [largest, np.nan, np.nan, np.nan, np.nan, 0.0, held.min_value]
    np.testing.assert_array_equal(held.quantize(values, rounding="nearest-away"), np.float32(expected))
    one_by_one = [reference.quantize(value, held, rounding="nearest-away") for value in values]
    np.testing.assert_array_equal(one_by_one, expected)
    assert not np.signbit(held.quantize([-(2.0**-32)])).any()


@pytest.mark.parametrize("codes", [{"has_infinity": True}, {"has_subnormals": True}, {"mantissa_bits": 0}])
def test_the_codes_of_dlfloat_go_with_no_others(codes: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="expected a mantissa bit, and neither infinity nor subnormals, beside"):
        FloatFormat(**{"mantissa_bits": 9, "exponent_bits": 6, "exponent_bias": 31, "has_dlfloat_codes": True, **codes})
