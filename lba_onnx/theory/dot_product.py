"""What the roundings of an accumulator make of a dot product, without data: its shrink and its error.

Each product's share of the sum goes through so many roundings of each point (`Accumulator.rounding_points`), and each
takes the share `shrink` of what is in the sum and adds noise to it (`one_rounding`):

    left[k]   = product over points of (1 - shrink)^times[k]        of the k-th product
    shrink    = mean of 1 - left[k]
    error     = mean of (1 - left[k])^2, and over points of noise * mean of times[k] * left[k]^2

relative to the sum, and to the energy of sums of independent products. Overflow and underflow have no part in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.rounding_points import RoundingPoint
from lba_onnx.theory.one_rounding import OneRounding


@dataclass(frozen=True)
class ExpectedError:
    """What roundings are expected to do to dot products.

    Attributes:
        depth: Products per dot product.
        shrink: By which share results are smaller in the mean.
        bias: Mean square of what shrinks away, over the energy of the results.
        noise: That of what scatters around it.
    """

    depth: int
    shrink: float
    bias: float
    noise: float

    @property
    def error(self) -> float:
        """Energy of the error over that of the results."""
        return self.bias + self.noise

    @property
    def sqnr_db(self) -> float | None:
        """The same in decibels, as an SQNR; None where nothing is lost."""
        return -10 * math.log10(self.error) if self.error > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a JSON object."""
        return {**vars(self), "error": self.error, "sqnr_db": self.sqnr_db}


def expected_error(spec: Accumulator, depth: int, nonzero: float = 1.0) -> ExpectedError | None:
    """Return what an accumulator's roundings are expected to do; None where its kind does not tell them.

    Args:
        spec: The accumulator.
        depth: Products per dot product, at least 1.
        nonzero: The share of products that are not zero: adding a zero rounds nothing.

    Raises:
        ValueError: The depth is less, or the share is none.
    """
    if depth < 1:
        raise ValueError(f"depth: expected at least 1, got {depth}")
    if not 0 <= nonzero <= 1:
        raise ValueError(f"nonzero: expected a share from 0 to 1, got {nonzero}")
    points = spec.rounding_points(depth)
    if points is None:
        return None
    each = [OneRounding.of(point.mantissa_bits, point.rule, point.random_bits) for point in points]
    times = _times(points, nonzero)
    logs = [count * math.log1p(-one.shrink) for one, count in zip(each, times, strict=True)]
    left = np.exp(np.sum(logs, axis=0)) if logs else np.ones(depth)
    noise = sum(one.noise * np.mean(count * left**2) for one, count in zip(each, times, strict=True))
    return ExpectedError(depth, float(np.mean(1 - left)), float(np.mean((1 - left) ** 2)), float(noise))


def _times(points: Sequence[RoundingPoint], nonzero: float) -> list[NDArray[np.float64]]:
    """Return the roundings that each share goes through: of the innermost sums as many as products are not zero."""
    innermost = next((point for point in points if point.level != "product"), None)
    return [point.times.astype(np.float64) * (nonzero if point is innermost else 1.0) for point in points]
