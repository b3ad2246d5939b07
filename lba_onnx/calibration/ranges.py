"""The ranges that a node's values were seen to take, and the biases that follow from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from lba_onnx.accumulator import AccumulatorSpec, product_bias
from lba_onnx.families import FormatFamily

if TYPE_CHECKING:
    from lba_onnx.native import Statistics

DEFAULT_MAX_EXPONENT = 5
"""Largest exponent of the accumulator of a node of which nothing is known: M7E4b10, range ±128, as for ResNets."""


@dataclass(frozen=True)
class NodeRange:
    """What one node computed while the calibration data ran through it; infinite values and NaN do not count.

    Attributes:
        outputs: Output values computed, over all its executions.
        max_abs_product: Largest magnitude of an exact product.
        max_abs_partial_sum: Largest magnitude of a prefix sum inside a chunk.
        max_abs_total: Largest magnitude of a running total across chunks.
    """

    outputs: int
    max_abs_product: float
    max_abs_partial_sum: float
    max_abs_total: float

    @classmethod
    def from_statistics(cls, statistics: "Statistics") -> "NodeRange":
        """Keep of a node's statistics what the choice of biases needs."""
        return cls(**{field.name: getattr(statistics, field.name) for field in fields(cls)})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "NodeRange":
        """Read the object that `to_json` returns.

        Raises:
            ValueError: An entry is missing, or no number of at least 0.
        """
        numbers = {field.name: value.get(field.name) for field in fields(cls)}
        for name, number in numbers.items():
            if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number < math.inf:
                raise ValueError(f"expected a number of at least 0 as {name}, got {number!r}")
        return cls(**numbers)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def max_abs_sum(self) -> float:
        """Largest magnitude that the accumulator has to hold."""
        return max(self.max_abs_partial_sum, self.max_abs_total)


def default_spec(family: FormatFamily, chunk_size: int | None, underflow: bool) -> AccumulatorSpec:
    """Return the spec of a node that was not executed on the data, or met nothing but zeros."""
    accumulator = family.with_max_exponent(DEFAULT_MAX_EXPONENT)
    product = family.with_bias(product_bias(accumulator.exponent_bias, chunk_size))
    return AccumulatorSpec(product, accumulator, chunk_size, underflow)


def smallest_spec(
    seen: NodeRange, family: FormatFamily, chunk_size: int | None, underflow: bool
) -> AccumulatorSpec | None:
    """Return the spec with the smallest ranges in which nothing that was seen overflows; None if nothing was.

    Product and accumulator are each chosen from their own range. They are not tied: where the products are as large as
    the sums (depthwise convolutions), the usual distance between the two biases would saturate them.
    """
    if seen.max_abs_product == 0:
        return None
    product = family.narrowest_above(seen.max_abs_product)
    accumulator = family.narrowest_above(seen.max_abs_sum)  # not zero: the first nonzero prefix sum is a product
    return AccumulatorSpec(product, accumulator, chunk_size, underflow)
