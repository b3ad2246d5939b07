"""What becomes of operands that are no ordinary numbers, by the definition of an accumulator."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

TINY = 2.0**-100
"""Its square underflows in every format."""


@dataclass(frozen=True)
class SpecialValues:
    """Dot products of one special operand and 1; of infinity and 0, too; and of a negative product that underflows.

    Attributes:
        nan: Of NaN.
        invalid: Of infinity and 0.
        infinity: Of infinity: NaN, infinity, or what it saturates at.
        keeps_negative_zero: Whether a negative sum that underflows is -0.
    """

    nan: float
    invalid: float
    infinity: float
    keeps_negative_zero: bool

    @classmethod
    def of(cls, dot: Callable[[Sequence[float], Sequence[float]], float]) -> "SpecialValues":
        """Return what a definition makes of them."""
        pairs = ((math.nan, 1.0), (math.inf, 0.0), (math.inf, 1.0), (-TINY, TINY))
        nan, invalid, infinity, zero = (dot((x,), (w,)) for x, w in pairs)
        return cls(nan, invalid, infinity, math.copysign(1.0, zero) < 0)

    @property
    def words(self) -> str:
        """The same in words."""
        zeros = "sums that underflow keep their sign" if self.keeps_negative_zero else "zeros are +0"
        if math.isnan(self.infinity):
            return f"NaN where an operand is NaN or infinite; {zeros}"
        infinities = "stay" if math.isinf(self.infinity) else f"saturate, one alone at {self.infinity:.6g}"
        return f"NaN where an operand is NaN, or infinity times 0; other infinities {infinities}; {zeros}"
