"""Where a dot product is rounded, and how often each product's share of the sum goes through it.

    M7E4b12/M7E4b10,chunk=4, depth 8     product        1 1 1 1 1 1 1 1
                                         partial_sum    3 3 2 1 3 3 2 1
                                         total          1 1 1 1 1 1 1 1

What joins a zero is exact, so the first two products of a chain go through equally many roundings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.rounding import Rounding


@dataclass(frozen=True, eq=False)
class RoundingPoint:
    """One place where values are rounded.

    Attributes:
        level: The level of its values, as in `Accumulator.levels`.
        mantissa_bits: What is kept behind the leading one.
        rule: How the rest is dropped.
        random_bits: Of a stochastic rule, how many bits a draw has; else 0.
        times: int64 [depth], how many of its roundings each product's share still goes through.
    """

    level: str
    mantissa_bits: int
    rule: Rounding
    random_bits: int
    times: NDArray[np.int64]
