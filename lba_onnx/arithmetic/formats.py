"""The number formats in which products and sums are held: `M<mantissa_bits>E<exponent_bits>b<exponent_bias>`."""

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lba_onnx.arithmetic.rounding import Rounding
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
    """A floating-point format without subnormals, infinities and NaN codes.

    Its values are zero and ±2^(i - exponent_bias) · (1 + j / 2^mantissa_bits)
    for 0 <= i < 2^exponent_bits and 0 <= j < 2^mantissa_bits.

    Attributes:
        mantissa_bits: Bits after the leading one, 0 to 22.
        exponent_bits: Bits of the exponent field, at least 1; the largest exponent,
            2^exponent_bits - 1 - exponent_bias, may not exceed 127.
        exponent_bias: Subtracted from the exponent field; any integer up to 126, negative ones included.

    Raises:
        TypeError: A field is not an integer.
        ValueError: The format does not fit into float32.
    """

    mantissa_bits: int
    exponent_bits: int
    exponent_bias: int

    def __post_init__(self) -> None:
        """Check the fields and store them as plain ints."""
        for name in ("mantissa_bits", "exponent_bits", "exponent_bias"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        if not 0 <= self.mantissa_bits <= MAX_MANTISSA_BITS:
            raise ValueError(f"expected mantissa_bits from 0 to {MAX_MANTISSA_BITS}, got {self.mantissa_bits}")
        if not 1 <= self.exponent_bits <= MAX_EXPONENT_BITS:
            raise ValueError(f"expected exponent_bits from 1 to {MAX_EXPONENT_BITS}, got {self.exponent_bits}")
        if self.exponent_bias > MAX_EXPONENT_BIAS:
            raise ValueError(f"expected an exponent_bias of at most {MAX_EXPONENT_BIAS}, got {self.exponent_bias}")
        if self._max_exponent > MAX_EXPONENT:
            least = (1 << self.exponent_bits) - 1 - MAX_EXPONENT
            raise ValueError(
                f"expected a largest exponent of at most {MAX_EXPONENT}, got {self._max_exponent} for {self}: "
                f"with {self.exponent_bits} exponent bits the bias is at least {least}"
            )

    @classmethod
    def parse(cls, text: str) -> "FloatFormat":
        """Read a format from its text form, such as `"M7E4b10"`.

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
        return cls(int(match[1]), int(match[2]), int(match[3]))

    def __str__(self) -> str:
        """Return the text form that `parse` reads."""
        return f"M{self.mantissa_bits}E{self.exponent_bits}b{self.exponent_bias}"

    @property
    def _max_exponent(self) -> int:
        return (1 << self.exponent_bits) - 1 - self.exponent_bias

    @property
    def max_value(self) -> float:
        """The largest value; results of at least this magnitude saturate to it."""
        return math.ldexp(2.0 - 2.0**-self.mantissa_bits, self._max_exponent)

    @property
    def min_value(self) -> float:
        """The smallest positive value; results of a smaller magnitude underflow to zero."""
        return math.ldexp(1.0, -self.exponent_bias)

    @property
    def width_bits(self) -> int:
        """Bits of one value: sign, mantissa and exponent."""
        return 1 + self.mantissa_bits + self.exponent_bits

    def smallest_kept(self, underflow: bool = True) -> float:
        """Return the smallest magnitude that does not become zero, with underflow on or off."""
        return self.min_value if underflow else FLOAT32_MIN_NORMAL

    def quantize(
        self, x: ArrayLike, underflow: bool = True, rounding: Rounding | str = Rounding.TRUNCATE
    ) -> NDArray[np.float32]:
        """Quantize values to this format: round them, then underflow to zero or saturate.

        Each value is rounded once, from its exact value: float64 input is not rounded to float32 first.

        Args:
            x: float16, float32 or float64 values of any shape; NaN stays NaN, infinities saturate.
            underflow: Whether magnitudes below `min_value` become zero. When off, they keep
                `mantissa_bits` bits, and only those below 2^-126 become zero.
            rounding: "truncate" or "nearest" (ties to even); the limits are applied to the rounded value.

        Returns:
            float32 array of the shape of `x`; zeros are +0.

        Raises:
            TypeError: `x` is not made of floats.
            ValueError: There is no such rounding.
        """
        values = np.asarray(x)
        if values.dtype.kind != "f" or values.dtype.itemsize > 8:
            raise TypeError(f"expected float16, float32 or float64 values, got {values.dtype}")
        with np.errstate(invalid="ignore"):  # a signalling NaN is as good as any other
            exact = np.ascontiguousarray(values.reshape(-1), dtype=np.float64)
        result = Rounding(rounding).float64(exact, self.mantissa_bits)
        result[np.abs(result) < self.smallest_kept(underflow)] = 0.0
        np.clip(result, -self.max_value, self.max_value, out=result)
        result[np.isnan(exact)] = np.nan  # the mask may have made an infinity of it
        quantized: NDArray[np.float32] = result.astype(np.float32).reshape(values.shape)
        return quantized


def nearest_format(text: str) -> FloatFormat | None:
    """Return the legal format whose fields come nearest to those of a text; None where it has not the form of one."""
    match = _TEXT.fullmatch(text)
    if match is None or match[3] is None:
        return None
    mantissa_bits = min(int(match[1]), MAX_MANTISSA_BITS)
    exponent_bits = min(max(int(match[2]), 1), MAX_EXPONENT_BITS)
    least_bias = (1 << exponent_bits) - 1 - MAX_EXPONENT
    return FloatFormat(mantissa_bits, exponent_bits, min(max(int(match[3]), least_bias), MAX_EXPONENT_BIAS))
