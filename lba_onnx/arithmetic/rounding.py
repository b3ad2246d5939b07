"""How a value becomes one with fewer bits: of an integer magnitude, and of float64 arrays."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray

_FLOAT64_MANTISSA_BITS = 52


class Rounding(Enum):
    """A rule of rounding; its value is its name in the text of a spec, behind `round=`.

    The exponent is taken as unbounded: what lies outside a format's range is decided on the rounded value.
    """

    TRUNCATE = "truncate"
    """Toward zero."""
    NEAREST = "nearest"
    """To the nearest value; of two that are equally near, to the one whose last bit is 0."""

    def magnitude(self, magnitude: int, significant_bits: int) -> int:
        """Return an integer of at most `significant_bits` bits, times a power of two.

        Args:
            magnitude: An exact value, not negative.
            significant_bits: Bits to keep, leading one included.
        """
        dropped_bits = max(magnitude.bit_length() - significant_bits, 0)
        kept = magnitude >> dropped_bits
        if self is Rounding.NEAREST and dropped_bits:
            rest, half = magnitude - (kept << dropped_bits), 1 << (dropped_bits - 1)
            kept += rest > half or (rest == half and kept & 1)
        return kept << dropped_bits

    def float64(self, values: NDArray[np.float64], mantissa_bits: int) -> NDArray[np.float64]:
        """Return contiguous float64 values rounded to `mantissa_bits` bits; subnormal and NaN values are undefined."""
        dropped_bits = _FLOAT64_MANTISSA_BITS - mantissa_bits
        bits = values.view(np.int64)
        if self is Rounding.NEAREST:
            # Without mantissa bits the last bit is the leading one, which is not stored.
            last_bit = (bits >> dropped_bits) & 1 if mantissa_bits else np.int64(1)
            bits = bits + (last_bit + ((1 << (dropped_bits - 1)) - 1))  # a carry into the exponent is right
        rounded: NDArray[np.float64] = (bits & np.int64(-1 << dropped_bits)).view(np.float64)
        return rounded
