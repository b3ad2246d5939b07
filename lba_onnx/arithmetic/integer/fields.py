"""What sums of integer codes are made of: registers, what becomes of a product, what is accumulated, in which order.

    product = round(x * w)                        its low bits dropped, where there are such
    sum     = overflow(sum + product)             innermost level, `terms` products from zero
    total   = overflow(total + sum)               the next level, if there is one

All is in units of one product of codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from lba_onnx.arithmetic.accumulator import Float64s, ProductOrder

LEAST_BITS, MOST_BITS = 4, 64
MOST_TERMS = 1 << 16
_FLOAT64_BITS = 53
INT32_BITS = 32
"""Results have so many bits, or 64 where the last level has more."""


class Overflow(Enum):
    """What becomes of a sum that its register cannot hold; its value is its name in the text of a spec."""

    WRAP = "wrap"
    """Its low bits are kept."""
    SATURATE = "saturate"
    """The nearest value that the register holds."""

    @property
    def event(self) -> str:
        """What happens to such a sum, as statistics and causes name it."""
        return "wrap" if self is Overflow.WRAP else "saturation"


@dataclass(frozen=True)
class IntegerLevel:
    """A register, in two's complement.

    Attributes:
        bits: How wide it is, 4 to 64.
        overflow: What becomes of a sum that it cannot hold.
        terms: How many items of the level below it adds, starting from zero; None for all there are.
    """

    bits: int
    overflow: Overflow
    terms: int | None = None

    @property
    def half(self) -> int:
        """The magnitude of the least value; the largest one is below it."""
        return 1 << (self.bits - 1)

    def held(self, value: int, dropped_bits: int = 0) -> int:
        """Return what an exact sum becomes; all are multiples of 2^dropped_bits."""
        if self.overflow is Overflow.WRAP:
            return (value + self.half) % (2 * self.half) - self.half
        return max(-self.half, min(value, self.half - (1 << dropped_bits)))

    def held_array(self, values: Float64s, dropped_bits: int = 0) -> Float64s:
        """Return the same of float64 integers of at most 53 bits."""
        if self.bits > _FLOAT64_BITS:
            return values  # none of them is beyond
        half = float(self.half)
        if self.overflow is Overflow.WRAP:
            return np.asarray(values - np.floor((values + half) / (2 * half)) * (2 * half))
        return np.clip(values, -half, half - (1 << dropped_bits))


@dataclass(frozen=True)
class ProductRounding:
    """How low bits of a product are dropped.

    Attributes:
        dropped_bits: How many.
        is_nearest: Whether to the nearest value, halves up, as AP_RND; else down, as AP_TRN.
    """

    dropped_bits: int = 0
    is_nearest: bool = False

    def rounded(self, product: Any) -> Any:
        """Return an integer, or float64 integers, as they are added: a multiple of 2^dropped_bits."""
        unit = 1 << self.dropped_bits
        return (product + (unit // 2 if self.is_nearest else 0)) // unit * unit


@dataclass(frozen=True)
class Kernel:
    """A shipping kernel whose instructions add pairs of products in 16 bits.

    It is exact where these instructions play no part: for uint8 weights, and in depthwise convolutions.

    Attributes:
        name: The text of its accumulator.
        x_type: The type that the instructions take; codes of the other one are moved there by their first bit.
        distance: How far apart the two products of a pair are.
        processors: Those that run it, and those whose own kernel is exact.
        order: The order of products.
    """

    name: str
    x_type: str
    distance: int
    processors: tuple[str, str]
    order: ProductOrder = ProductOrder.CHANNELS_LAST

    def x_shift(self, x_type: str) -> int:
        """Return what is added to codes of x before they are multiplied."""
        if x_type == self.x_type:
            return 0
        return 128 if self.x_type == "uint8" else -128

    @property
    def x_range(self) -> tuple[int, int]:
        """The least and the largest code of x, moved as they are."""
        return (0, 255) if self.x_type == "uint8" else (-128, 127)


def groups(depth: int, terms: int | None, distance: int) -> Iterator[range]:
    """Yield which products the innermost level adds together, in their order.

    Args:
        depth: How many products there are.
        terms: How many are added together; None for all.
        distance: How far apart these are.
    """
    if terms is None:
        yield range(depth)
        return
    for block in range(0, depth, terms * distance):
        for first in range(block, min(block + distance, depth)):
            yield range(first, min(block + terms * distance, depth), distance)
