"""What one rounding takes from a value, in the mean, as a share of it; derived in docs/error_theory.md.

A value is 2^e * x, its mantissa x spread like 1/x over [1, 2) (Benford's law). What is dropped is spread evenly over
the last bit kept, 2^(e-m): as a share of the value it is 2^-m / x times what is dropped, in last bits.
"""

import math
from dataclasses import dataclass

from lba_onnx.arithmetic.rounding import Rounding

_MEAN_INVERSE = 1 / (2 * math.log(2))  # of x: of 1 / x
_MEAN_INVERSE_SQUARE = 3 / (8 * math.log(2))

_MOMENTS = {
    Rounding.TRUNCATE: (1 / 2, 1 / 3),
    Rounding.NEAREST: (0.0, 1 / 12),
    Rounding.NEAREST_AWAY: (0.0, 1 / 12),
    Rounding.ODD: (0.0, 1 / 3),
    Rounding.STOCHASTIC: (0.0, 1 / 6),
}
"""Mean loss of magnitude in last bits, and mean square of the error; the draws of STOCHASTIC having all bits."""


@dataclass(frozen=True)
class OneRounding:
    """The moments of one rounding's relative error.

    Attributes:
        shrink: By which share a magnitude shrinks in the mean.
        noise: The variance around that, as a share of the value's square.
    """

    shrink: float
    noise: float

    @classmethod
    def of(cls, mantissa_bits: int, rule: Rounding, random_bits: int = 0) -> "OneRounding":
        """Return the moments of a rounding.

        Args:
            mantissa_bits: What is kept behind the leading one.
            rule: How the rest is dropped.
            random_bits: Of STOCHASTIC, how many bits a draw has: what lies below them is cut.
        """
        last_bit = 2.0**-mantissa_bits
        loss, square = _MOMENTS[rule]
        if rule is Rounding.STOCHASTIC:
            loss = 2.0**-random_bits / 2
        shrink = loss * last_bit * _MEAN_INVERSE
        return cls(shrink, square * last_bit**2 * _MEAN_INVERSE_SQUARE - shrink**2)
