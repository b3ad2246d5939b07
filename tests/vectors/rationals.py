"""The arithmetic in exact rationals: the second opinion that the golden vectors are made from."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

NAN_BITS = "7fc00000"


@dataclass(frozen=True)
class Format:
    """A number format, read from its text form."""

    text: str
    mantissa_bits: int
    min_exponent: int
    max_exponent: int

    @classmethod
    def parse(cls, text: str) -> "Format":
        """Read `M7E4b10`."""
        mantissa, _, rest = text.removeprefix("M").partition("E")
        exponent, _, bias = rest.partition("b")
        return cls(text, int(mantissa), -int(bias), 2 ** int(exponent) - 1 - int(bias))

    @property
    def max_value(self) -> Fraction:
        """The largest value."""
        return power(self.max_exponent) * (2 - power(-self.mantissa_bits))


@dataclass(frozen=True)
class Spec:
    """Both formats, the chunk size (0 for the whole depth), whether small values underflow, and how values round."""

    product: Format
    accumulator: Format
    chunk_size: int
    underflow: bool
    rounds_to_nearest: bool = False

    def __str__(self) -> str:
        """Return the four tokens of the file format; the folder of a file says how values round."""
        return f"{self.product.text} {self.accumulator.text} {self.chunk_size} {int(self.underflow)}"


def power(exponent: int) -> Fraction:
    """Return 2 to an integer power, exactly."""
    return Fraction(2) ** exponent


def floor_log2(magnitude: Fraction) -> int:
    """Return the exponent of the largest power of two that is not above a positive magnitude."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if power(guess) <= magnitude else guess - 1


def rounded(magnitude: Fraction, mantissa_bits: int, to_nearest: bool) -> Fraction:
    """Return a positive magnitude with so many mantissa bits, truncated or to nearest, ties to even."""
    step = power(floor_log2(magnitude) - mantissa_bits)
    return (round(magnitude / step) if to_nearest else magnitude // step) * step


def quantize(value: Fraction, number_format: Format, underflow: bool, to_nearest: bool = False) -> Fraction:
    """Return the value rounded, then underflowed or saturated."""
    if value == 0:
        return value
    magnitude = rounded(abs(value), number_format.mantissa_bits, to_nearest)
    if magnitude < power(number_format.min_exponent if underflow else -126):
        magnitude = Fraction(0)
    magnitude = min(magnitude, number_format.max_value)
    return -magnitude if value < 0 else magnitude


def quantized_product(x: float, w: float, spec: Spec) -> Fraction | None:
    """Return the quantized product of two float32 values, None for NaN."""
    product = x * w
    if math.isnan(product):
        return None
    if math.isinf(product):
        return spec.product.max_value * (1 if product > 0 else -1)
    return quantize(Fraction(x) * Fraction(w), spec.product, spec.underflow, spec.rounds_to_nearest)


def quantize_sum(value: Fraction, spec: Spec) -> Fraction:
    """Return a sum in the accumulator's format."""
    return quantize(value, spec.accumulator, spec.underflow, spec.rounds_to_nearest)


def chunked_sum(products: Sequence[Fraction | None], spec: Spec) -> Fraction | None:
    """Return the sum of quantized products, chunk by chunk; None for NaN."""
    present = [product for product in products if product is not None]
    if len(present) < len(products):
        return None
    total = Fraction(0)
    size = spec.chunk_size or len(present) or 1
    for start in range(0, len(present), size):
        partial_sum = Fraction(0)
        for product in present[start : start + size]:
            partial_sum = quantize_sum(product + partial_sum, spec)
        total = quantize_sum(total + partial_sum, spec)
    return total


def dot(x: Sequence[float], w: Sequence[float], spec: Spec) -> Fraction | None:
    """Return the dot product; None for NaN."""
    return chunked_sum([quantized_product(a, b, spec) for a, b in zip(x, w, strict=True)], spec)


def float32_bits(value: float) -> str:
    """Return the bits of a float32 value; every NaN gives the same ones."""
    return NAN_BITS if math.isnan(value) else struct.pack(">f", value).hex()


def float64_bits(value: float) -> str:
    """Return the bits of a float64 value."""
    return struct.pack(">d", value).hex()


def result_bits(value: Fraction | None) -> str:
    """Return the float32 bits of a result, which float32 must hold exactly."""
    if value is None:
        return NAN_BITS
    if Fraction(struct.unpack(">f", struct.pack(">f", float(value)))[0]) != value:
        raise AssertionError(f"{value} is no float32 value")
    return float32_bits(float(value))


def bits(values: Sequence[float]) -> str:
    """Return float32 values as tokens."""
    return " ".join(map(float32_bits, values))


def line(*tokens: object) -> str:
    """Join what is not empty with single spaces."""
    return " ".join(text for text in map(str, tokens) if text)
