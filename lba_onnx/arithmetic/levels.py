"""The levels of an accumulator, by name: whose values are counted and ranged, and what may happen to one of them.

    M7E4b12/M7E4b10,chunk=16     product       of two operands
                                 partial_sum   of a chunk
                                 total         of the chunks' sums

Innermost first. Sums of sums in a chunk are a partial_sum_2, those of these a partial_sum_3, and so on; an accumulator
without chunks has no partial sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """The values of one rounding point.

    Attributes:
        name: Its name.
        events: What may happen to one of its values, such as "overflow".
    """

    name: str
    events: tuple[str, ...]


def named_levels(partial_sums: int, product_events: Sequence[str], sum_events: Sequence[str]) -> tuple[Level, ...]:
    """Return the levels of products, of so many partial sums one within the other, and of the total.

    Args:
        partial_sums: How many.
        product_events: What may happen to a product.
        sum_events: What may happen to a sum.
    """
    numbers = ("" if n == 1 else f"_{n}" for n in range(1, partial_sums + 1))
    sums = (*(f"partial_sum{number}" for number in numbers), "total")
    return (Level("product", tuple(product_events)), *(Level(name, tuple(sum_events)) for name in sums))
