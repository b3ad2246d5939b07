"""Families of formats, `M<mantissa_bits>E<exponent_bits>`: a format whose bias is still to be chosen."""

import math
import re
from dataclasses import dataclass

from lba_onnx.arithmetic.formats import MAX_EXPONENT, MAX_EXPONENT_BIAS, FloatFormat

_TEXT = re.compile(r"M(\d{1,4})E(\d{1,4})", re.ASCII)


@dataclass(frozen=True)
class FormatFamily:
    """All formats with the same bits and any exponent bias.

    Attributes:
        mantissa_bits: Bits after the leading one, 0 to 22.
        exponent_bits: Bits of the exponent field, 1 to 7.
        has_infinity: As of a `FloatFormat`.
        has_subnormals: Likewise. Not both, which are formats of IEEE 754: these have their bias.

    Raises:
        TypeError: A field is not an integer.
        ValueError: No format has these bits.
    """

    mantissa_bits: int
    exponent_bits: int
    has_infinity: bool = False
    has_subnormals: bool = False

    def __post_init__(self) -> None:
        """Check the fields by making the format with the smallest range."""
        if self.with_bias(MAX_EXPONENT_BIAS).is_ieee:
            bias = (1 << (self.exponent_bits - 1)) - 1
            raise ValueError(
                f"expected formats whose bias is free; with infinity and subnormals they are those of IEEE 754, which "
                f"gives them theirs: convert takes '{self}b{bias}' with these options as it is"
            )

    @classmethod
    def parse(cls, text: str, has_infinity: bool = False, has_subnormals: bool = False) -> "FormatFamily":
        """Read a family from its text form, such as `"M7E4"`; what its outer codes mean the text does not say.

        Raises:
            TypeError: `text` is not a string.
            ValueError: `text` has another form (a bias, for example), or no format has these bits.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a family of formats as text such as 'M7E4', got {type(text).__name__}")
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a family of formats such as 'M7E4', without a bias, got {text!r}")
        return cls(int(match[1]), int(match[2]), has_infinity, has_subnormals)

    @classmethod
    def of(cls, number_format: FloatFormat) -> "FormatFamily":
        """Return the family that a format belongs to."""
        codes = number_format.has_infinity, number_format.has_subnormals
        return cls(number_format.mantissa_bits, number_format.exponent_bits, *codes)

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        return f"M{self.mantissa_bits}E{self.exponent_bits}"

    def with_bias(self, exponent_bias: int) -> FloatFormat:
        """Return the format with this bias, or with the nearest legal one."""
        bias = min(max(exponent_bias, self.least_bias), MAX_EXPONENT_BIAS)
        return FloatFormat(self.mantissa_bits, self.exponent_bits, bias, self.has_infinity, self.has_subnormals)

    def with_max_exponent(self, exponent: int) -> FloatFormat:
        """Return the format whose largest values lie in the binade of 2^exponent, or the nearest legal one."""
        return self.with_bias(self._largest_field - exponent)

    @property
    def least_bias(self) -> int:
        """The smallest legal bias, with the widest range."""
        return self._largest_field - MAX_EXPONENT

    @property
    def _largest_field(self) -> int:
        """The exponent field of the largest finite values."""
        return (1 << self.exponent_bits) - 1 - self.has_infinity

    def exponent_above(self, magnitude: float) -> int:
        """Return the least exponent with which max_value exceeds a magnitude, legal or not.

        Args:
            magnitude: A positive, finite number.

        Raises:
            ValueError: It is zero, negative or not finite.
        """
        if not (magnitude > 0 and math.isfinite(magnitude)):
            raise ValueError(f"expected a positive, finite magnitude, got {magnitude}")
        fraction, exponent = math.frexp(magnitude)  # magnitude = 2 * fraction * 2^(exponent - 1)
        is_below = 2 * fraction < 2 - 2.0**-self.mantissa_bits
        return exponent - 1 if is_below else exponent

    def narrowest_above(self, magnitude: float) -> FloatFormat:
        """Return the format of the smallest range whose max_value exceeds a magnitude.

        Where even the least bias does not (or the largest bias is reached first), that one is returned.

        Args:
            magnitude: A positive, finite number.

        Raises:
            ValueError: It is zero, negative or not finite.
        """
        return self.with_max_exponent(self.exponent_above(magnitude))
