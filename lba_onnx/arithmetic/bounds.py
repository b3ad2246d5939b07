"""What values a dot product can have, from a summary of its operands: what planners prove with."""

import math
from dataclasses import dataclass

_SUM_SLACK = 1 + 1e-12
_GROWTH_SLACK = 1 + 1e-9
"""What the bounds' own arithmetic may lose, as in custom_ops/arithmetic/chunked_float/short_cuts.h."""
_MOST_LOG2 = 900  # float64 holds the largest sums so many times


@dataclass(frozen=True)
class Bound:
    """What the values of one level are at most.

    Attributes:
        level: The level, as in `Accumulator.levels`.
        largest: No value of the level, unless it is NaN, is larger in magnitude.
        fits: Whether none of them overflows, or wraps, for sure.
    """

    level: str
    largest: float
    fits: bool

    @classmethod
    def held(cls, level: str, magnitude: float, limit: float) -> "Bound":
        """Return the bound of values that a format holds below a limit, at most."""
        return cls(level, min(magnitude, limit), magnitude < limit)


def check_summary(largest_x: float, largest_w: float, depth: int) -> None:
    """Check a summary of operands.

    Raises:
        ValueError: A magnitude is negative or not finite, or the depth is negative.
    """
    for name, value in (("largest_x", largest_x), ("largest_w", largest_w)):
        if not 0 <= value < math.inf:
            raise ValueError(f"expected {name} to be a finite magnitude, got {value}")
    if depth < 0:
        raise ValueError(f"expected a depth of at least 0, got {depth}")


def grown_sum(largest: float, products: int, roundings: int, product_growth: float, growth: float) -> float:
    """Return what a sum is at most, by the triangle inequality.

    Args:
        largest: No exact product is larger in magnitude.
        products: How many there are.
        roundings: How many sums, one in the other, the first product has been part of.
        product_growth: How many times larger rounding makes a product, at most.
        growth: Likewise a sum; 1 where rounding only shrinks.
    """
    plain = products * largest * _SUM_SLACK
    if growth == 1:
        return plain
    log2 = roundings * math.log2(growth)
    if log2 > _MOST_LOG2:
        return math.inf if plain else 0.0
    return plain * growth**roundings * product_growth * _GROWTH_SLACK
