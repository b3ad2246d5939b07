"""What becomes of operands that are no ordinary numbers, by the definition of an accumulator."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SpecialValues:
    """Dot products of one special operand and 1; of infinity and 0, too.

    Attributes:
        nan: Of NaN.
        invalid: Of infinity and 0.
        infinity: Of infinity: NaN, infinity, or what it saturates at.
        keeps_negative_zero: Whether that of -0 is -0.
    """

    nan: float
    invalid: float
    infinity: float
    keeps_negative_zero: bool

    @classmethod
    def of(cls, dot: Callable[[Sequence[float], Sequence[float]], float]) -> "SpecialValues":
        """Return what a definition makes of them."""
        pairs = ((math.nan, 1.0), (math.inf, 0.0), (math.inf, 1.0), (-0.0, 1.0))
        nan, invalid, infinity, zero = (dot((x,), (w,)) for x, w in pairs)
        return cls(nan, invalid, infinity, math.copysign(1.0, zero) < 0)

    @property
    def words(self) -> str:
        """The same in words."""
        zeros = "zeros keep their sign" if self.keeps_negative_zero else "zeros are +0"
        if math.isnan(self.infinity):
            return f"NaN where an operand is NaN or infinite; {zeros}"
        infinities = "stay" if math.isinf(self.infinity) else f"saturate, one alone at {self.infinity:.6g}"
        return f"NaN where an operand is NaN, or infinity times 0; other infinities {infinities}; {zeros}"
