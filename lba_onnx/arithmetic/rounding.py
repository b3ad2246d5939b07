"""How a value becomes one with fewer bits: of an integer magnitude, and of float64 arrays."""

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FLOAT64_MANTISSA_BITS = 52

Draws = NDArray[np.int64]


class Rounding(Enum):
    """A rule of rounding; its value is its name in the text of a spec, behind `round=`.

    The exponent is taken as unbounded: what lies outside a format's range is decided on the rounded value.
    """

    TRUNCATE = "truncate"
    """Toward zero."""
    NEAREST = "nearest"
    """To the nearest value; of two that are equally near, to the one whose last bit is 0."""
    NEAREST_AWAY = "nearest-away"
    """To the nearest value; of two that are equally near, to the one that is farther from zero."""
    ODD = "odd"
    """Toward zero, and the last bit set where anything was dropped."""
    STOCHASTIC = "stochastic"
    """Cut to some bits more than are kept; a random integer of so many bits is added there, and the sum is cut."""

    def magnitude(self, magnitude: int, significant_bits: int) -> int:
        """Return an integer of at most `significant_bits` bits, times a power of two; not for STOCHASTIC.

        Args:
            magnitude: An exact value, not negative.
            significant_bits: Bits to keep, leading one included.
        """
        return self.without_last_bits(magnitude, max(magnitude.bit_length() - significant_bits, 0))

    def without_last_bits(self, magnitude: int, dropped_bits: int, draw: int = 0, random_bits: int = 0) -> int:
        """Return a multiple of 2^dropped_bits.

        Args:
            magnitude: An exact value, not negative.
            dropped_bits: Bits to drop, not negative.
            draw: For STOCHASTIC, an integer of `random_bits` bits.
            random_bits: How many bits behind the last one kept have a say.
        """
        kept = magnitude >> dropped_bits
        rest, unit = magnitude - (kept << dropped_bits), 1 << dropped_bits
        if self is Rounding.NEAREST:
            kept += 2 * rest > unit or (2 * rest == unit and kept & 1)
        elif self is Rounding.NEAREST_AWAY:
            kept += 2 * rest >= unit and rest > 0
        elif self is Rounding.ODD:
            kept |= rest > 0
        elif self is Rounding.STOCHASTIC:
            kept += (rest << random_bits) // unit + draw >= 1 << random_bits
        return kept << dropped_bits

    def float64(self, values: NDArray[np.float64], mantissa_bits: int) -> NDArray[np.float64]:
        """Return contiguous float64 values rounded to `mantissa_bits` bits; subnormal and NaN values are undefined.

        For TRUNCATE and NEAREST alone, of which it is the short form.
        """
        dropped_bits = _FLOAT64_MANTISSA_BITS - mantissa_bits
        bits = values.view(np.int64)
        if self is Rounding.NEAREST:
            # Without mantissa bits the last bit is the leading one, which is not stored.
            last_bit = (bits >> dropped_bits) & 1 if mantissa_bits else np.int64(1)
            bits = bits + (last_bit + ((1 << (dropped_bits - 1)) - 1))  # a carry into the exponent is right
        rounded: NDArray[np.float64] = (bits & np.int64(-1 << dropped_bits)).view(np.float64)
        return rounded

    def whole(
        self, values: NDArray[np.float64], draws: Draws | None = None, random_bits: int = 0
    ) -> NDArray[np.float64]:
        """Return float64 magnitudes rounded to whole numbers.

        Args:
            values: Not negative; exact, or rounded to odd with many more bits than are kept.
            draws: For STOCHASTIC, an integer of `random_bits` bits each.
            random_bits: How many bits behind the last one kept have a say.
        """
        kept = np.floor(values)
        rest = values - kept
        up: Any = False
        if self is Rounding.NEAREST:
            up = (rest > 0.5) | ((rest == 0.5) & (kept % 2 == 1))
        elif self is Rounding.NEAREST_AWAY:
            up = rest >= 0.5
        elif self is Rounding.ODD:
            up = (rest > 0) & (kept % 2 == 0)
        elif self is Rounding.STOCHASTIC:
            if draws is None:
                raise ValueError("expected draws beside stochastic rounding, got none")
            up = np.floor(np.ldexp(rest, random_bits)) + draws >= 1 << random_bits
        rounded: NDArray[np.float64] = kept + up
        return rounded
