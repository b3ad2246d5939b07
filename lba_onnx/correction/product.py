"""The correction of a product of two computed operands, as attention has them: one factor for all that it gives.

    y, the float32 product of the operands that it meets     q, what it gives in its accumulator
    factor = <q, y> / <q, q>                                 least squares through the origin, within 1/2 ... 2

There are no weights to move, and rows and columns are positions, whose number changes from sample to sample. Truncation
takes about the same share of all heads and channels: a factor for each brings nothing more (docs/correction.md).
"""

from collections.abc import Iterable
from functools import reduce
from itertools import starmap
from operator import add

import numpy as np
from numpy.typing import NDArray

from lba_onnx.correction.estimators import SCALE
from lba_onnx.correction.moments import PairedSums

Floats = NDArray[np.float32]


def product_factor(pairs: Iterable[tuple[Floats, Floats]]) -> Floats:
    """Return the factor that brings a product closest to float32, float32 [1].

    Args:
        pairs: At least one: what it gives, and what it should, as `product_sums` takes them.
    """
    return factor_of(reduce(add, starmap(product_sums, pairs)))


def product_sums(q: Floats, y: Floats) -> PairedSums:
    """Return the sums that a factor follows from; those of several calls add up.

    Args:
        q: What a product gives.
        y: What it should, of the same shape. Infinite values and NaN count as zero.
    """
    return PairedSums.of(q.reshape(1, -1), y.reshape(1, -1), 0)


def factor_of(sums: PairedSums) -> Floats:
    """Return the factor that follows from such sums, float32 [1]."""
    return SCALE.scale(sums, False)
