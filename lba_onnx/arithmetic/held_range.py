"""What one rounding point holds: the smallest and the largest of its magnitudes."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldRange:
    """The magnitudes that one rounding point holds.

    Attributes:
        place: Which point, such as "product".
        text: The format, as text.
        min_value: The smallest magnitude that does not become zero.
        max_value: The largest magnitude.
    """

    place: str
    text: str
    min_value: float
    max_value: float

    @property
    def min_exponent(self) -> int:
        """The exponent of the smallest magnitude, floor(log2)."""
        return math.frexp(self.min_value)[1] - 1

    @property
    def max_exponent(self) -> int:
        """The exponent of the largest magnitude, floor(log2)."""
        return math.frexp(self.max_value)[1] - 1
