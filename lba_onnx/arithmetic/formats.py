"""The number formats in which products and sums are held: `M<mantissa_bits>E<exponent_bits>b<exponent_bias>`."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lba_onnx.arithmetic.rounding import Draws, Rounding
from lba_onnx.integers import as_integer

FLOAT32_MIN_NORMAL = 2.0**-126
"""The smallest magnitude a quantized value may have, whatever the format: float32's smallest normal number."""

MAX_MANTISSA_BITS = 22
MAX_EXPONENT_BITS = 7  # 8 bits would need a bias above 126
MAX_EXPONENT_BIAS = 126
MAX_EXPONENT = 127

_TEXT = re.compile(r"M(\d{1,4})E(\d{1,4})(?:b(-?\d{1,4}))?", re.ASCII)


@dataclass(frozen=True)
class FloatFormat:
    """A floating-point format: codes for an exponent i and a mantissa j, which stand for powers of two and fractions.

    Its values are zero and ±2^(i - exponent_bias) · (1 + j / 2^mantissa_bits)
    for 0 <= i < 2^exponent_bits and 0 <= j < 2^mantissa_bits, but for the codes that IEEE 754 gives another meaning:

    Attributes:
        mantissa_bits: Bits after the leading one, 0 to 22; 23 where a code has the meaning of IEEE 754.
        exponent_bits: Bits of the exponent field, 1 to 7; 8 where both codes have. The largest exponent may not exceed
            127.
        exponent_bias: Subtracted from the exponent field; any integer up to 126 (127 with subnormals), negative ones
            included.
        has_infinity: Whether the largest i stands for infinity and NaN, so that larger magnitudes become infinite.
        has_subnormals: Whether i = 0 stands for ±2^(1 - exponent_bias) · j / 2^mantissa_bits.
        has_dlfloat_codes: Whether, as in DLFloat, the code of the largest magnitude stands for NaN and infinity, so
            that larger magnitudes become NaN, and that of the smallest for zero; without either of the other codes.

    Raises:
        TypeError: A field is not an integer.
        ValueError: The format does not fit into float32.
    """

    mantissa_bits: int
    exponent_bits: int
    exponent_bias: int
    has_infinity: bool = False
    has_subnormals: bool = False
    has_dlfloat_codes: bool = False

    def __post_init__(self) -> None:
        """Check the fields and store them as plain ints."""
        for name in ("mantissa_bits", "exponent_bits", "exponent_bias"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        most_mantissa_bits = MAX_MANTISSA_BITS + (self.has_infinity or self.has_subnormals)
        if not 0 <= self.mantissa_bits <= most_mantissa_bits:
            raise ValueError(f"expected mantissa_bits from 0 to {most_mantissa_bits}, got {self.mantissa_bits}")
        most_exponent_bits = MAX_EXPONENT_BITS + (self.has_infinity and self.has_subnormals)
        least_exponent_bits = 1 + (self.has_infinity or self.has_subnormals)
        if not least_exponent_bits <= self.exponent_bits <= most_exponent_bits:
            expected = f"from {least_exponent_bits} to {most_exponent_bits}"
            raise ValueError(f"expected exponent_bits {expected}, got {self.exponent_bits}")
        if self.has_dlfloat_codes and (self.mantissa_bits == 0 or self.has_infinity or self.has_subnormals):
            raise ValueError(
                "expected a mantissa bit, and neither infinity nor subnormals, beside the codes of DLFloat"
            )
        most_bias = MAX_EXPONENT_BIAS + self.has_subnormals
        if self.exponent_bias > most_bias:
            raise ValueError(f"expected an exponent_bias of at most {most_bias}, got {self.exponent_bias}")
        if self.max_exponent > MAX_EXPONENT:
            least = self.exponent_bias + self.max_exponent - MAX_EXPONENT
            raise ValueError(
                f"expected a largest exponent of at most {MAX_EXPONENT}, got {self.max_exponent} for {self}: "
                f"with {self.exponent_bits} exponent bits the bias is at least {least}"
            )

    @classmethod
    def parse(
        cls, text: str, has_infinity: bool = False, has_subnormals: bool = False, has_dlfloat_codes: bool = False
    ) -> "FloatFormat":
        """Read a format from its text form, such as `"M7E4b10"`; what its outer codes mean the text does not say.

        Raises:
            TypeError: `text` is not a string.
            ValueError: `text` has another form, lacks the bias, or names a format out of range.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a format as text such as 'M7E4b10', got {type(text).__name__}")
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a format such as 'M7E4b10', got {text!r}")
        if match[3] is None:
            raise ValueError(f"expected a format with an exponent bias such as '{text}b10', got the family {text!r}")
        return cls(int(match[1]), int(match[2]), int(match[3]), has_infinity, has_subnormals, has_dlfloat_codes)

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        return f"M{self.mantissa_bits}E{self.exponent_bits}b{self.exponent_bias}"

    @property
    def is_ieee(self) -> bool:
        """Whether its outer codes mean what IEEE 754 says."""
        return self.has_infinity and self.has_subnormals

    @property
    def max_exponent(self) -> int:
        """The exponent of the largest finite value."""
        return (1 << self.exponent_bits) - 1 - self.exponent_bias - self.has_infinity

    @property
    def max_value(self) -> float:
        """The largest finite value; results of at least this magnitude saturate to it, or larger ones are infinite."""
        last_bit = 2.0**-self.mantissa_bits
        return math.ldexp(2.0 - (2 * last_bit if self.has_dlfloat_codes else last_bit), self.max_exponent)

    @property
    def min_exponent(self) -> int:
        """The smallest exponent of a value with a leading one."""
        return self.has_subnormals - self.exponent_bias

    @property
    def min_value(self) -> float:
        """The smallest positive value with a leading one; without subnormals, what is smaller underflows to zero."""
        return math.ldexp(1.0 + (2.0**-self.mantissa_bits if self.has_dlfloat_codes else 0.0), self.min_exponent)

    @property
    def overflow_value(self) -> float:
        """What larger magnitudes become, but for their sign."""
        if self.has_dlfloat_codes:
            return math.nan
        return math.inf if self.has_infinity else self.max_value

    def overflows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return where values of the format have overflowed: saturated, become infinite, or NaN."""
        found: NDArray[np.bool_] = np.isnan(values) if self.has_dlfloat_codes else np.abs(values) == self.overflow_value
        return found

    @property
    def width_bits(self) -> int:
        """Bits of one value: sign, mantissa and exponent."""
        return 1 + self.mantissa_bits + self.exponent_bits

    def smallest_kept(self, underflow: bool = True) -> float:
        """Return the smallest magnitude that does not become zero, with underflow on or off."""
        if self.has_subnormals:
            return math.ldexp(1.0, self.min_exponent - self.mantissa_bits)
        return self.min_value if underflow else FLOAT32_MIN_NORMAL

    def quantize(
        self,
        x: ArrayLike,
        underflow: bool = True,
        rounding: Rounding | str = Rounding.TRUNCATE,
        draws: Draws | None = None,
        random_bits: int = 0,
    ) -> NDArray[np.float32]:
        """Quantize values to this format: round them, then underflow to zero, saturate or become infinite.

        Each value is rounded once, from its exact value: float64 input is not rounded to float32 first.

        Args:
            x: float16, float32 or float64 values of any shape; NaN stays NaN, infinities saturate where there are none.
            underflow: Whether magnitudes below `min_value` become zero. When off, they keep
                `mantissa_bits` bits, and only those below 2^-126 become zero. With subnormals it means nothing.
            rounding: A `Rounding` or its name; the limits are applied to the rounded value.
            draws: int64 values that broadcast to x, for "stochastic": from 0 to 2^random_bits - 1.
            random_bits: How many bits behind the last one kept have a say, for "stochastic".

        Returns:
            float32 array of the shape of `x`; zeros are +0, or keep their sign in a format with infinity.

        Raises:
            TypeError: `x` is not made of floats.
            ValueError: There is no such rounding, or no draws for it.
        """
        values = np.asarray(x)
        if values.dtype.kind != "f" or values.dtype.itemsize > 8:
            raise TypeError(f"expected float16, float32 or float64 values, got {values.dtype}")
        with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any other
            exact = np.ascontiguousarray(values.reshape(-1), dtype=np.float64)
        rule = Rounding(rounding)
        has_codes = self.has_infinity or self.has_subnormals or self.has_dlfloat_codes
        is_plain = rule in (Rounding.TRUNCATE, Rounding.NEAREST) and not has_codes
        if is_plain:
            result = rule.float64(exact, self.mantissa_bits)
        else:
            flat = None if draws is None else np.broadcast_to(draws, values.shape).reshape(-1)
            result = self._rounded(exact, rule, flat, random_bits)
        magnitudes = np.abs(result)
        result[magnitudes < self.smallest_kept(underflow)] *= 0.0
        if self.has_infinity:
            with np.errstate(invalid="ignore"):
                result[magnitudes > self.max_value] *= np.inf
        else:
            is_larger = magnitudes > self.max_value
            result[is_larger] = np.copysign(self.overflow_value, result[is_larger])
            result += 0.0
        result[np.isnan(exact)] = np.nan  # the mask may have made an infinity of it
        quantized: NDArray[np.float32] = result.astype(np.float32).reshape(values.shape)
        return quantized

    def _rounded(
        self, exact: NDArray[np.float64], rounding: Rounding, draws: Draws | None, random_bits: int
    ) -> NDArray[np.float64]:
        """Return values rounded to the bits that their magnitude has, any large magnitude included."""
        with np.errstate(invalid="ignore"):
            exponents = np.frexp(exact)[1] - 1
            if self.has_subnormals:
                exponents = np.maximum(exponents, self.min_exponent)
            last_bits = np.where(np.isfinite(exact), exponents - self.mantissa_bits, 0)
            whole = rounding.whole(np.ldexp(np.abs(exact), -last_bits), draws, random_bits)
            result: NDArray[np.float64] = np.copysign(np.ldexp(whole, last_bits), exact)
        return result


def nearest_format(text: str) -> FloatFormat | None:
    """Return the legal format whose fields come nearest to those of a text; None where it has not the form of one."""
    match = _TEXT.fullmatch(text)
    if match is None or match[3] is None:
        return None
    mantissa_bits = min(int(match[1]), MAX_MANTISSA_BITS)
    exponent_bits = min(max(int(match[2]), 1), MAX_EXPONENT_BITS)
    least_bias = (1 << exponent_bits) - 1 - MAX_EXPONENT
    return FloatFormat(mantissa_bits, exponent_bits, min(max(int(match[3]), least_bias), MAX_EXPONENT_BIAS))
