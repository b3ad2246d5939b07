"""Sums of integer codes by definition, one value at a time, and their twin for arrays of outputs, step by step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lba_onnx.arithmetic.accumulator import Float64s, Step
from lba_onnx.arithmetic.integer.fields import IntegerLevel, ProductRounding, groups


@dataclass(frozen=True)
class IntegerSums:
    """All that a sum depends on.

    Attributes:
        levels: One or two, innermost first.
        rounding: What becomes of products.
        distance: How far apart the products are that the innermost level adds together.
    """

    levels: tuple[IntegerLevel, ...]
    rounding: ProductRounding
    distance: int = 1

    @property
    def dropped_bits(self) -> int:
        """How many low bits of all values are zero."""
        return self.rounding.dropped_bits

    def groups(self, depth: int) -> Iterator[range]:
        """Yield which products the innermost level adds together."""
        return groups(depth, self.levels[0].terms, self.distance)

    def dot(self, x: Sequence[int], w: Sequence[int]) -> int:
        """Return the sum of products of integers."""
        total = 0
        for group in self.groups(len(x)):
            part = 0
            for k in group:
                part = self.step(x[k], w[k], part)
            total = self._joined(total, part)
        return total

    def step(self, x: int, w: int, partial_sum: int) -> int:
        """Return the innermost sum after one product more."""
        return self.levels[0].held(partial_sum + self.rounding.rounded(x * w), self.dropped_bits)

    def _joined(self, total: int, part: int) -> int:
        return part if len(self.levels) == 1 else self.levels[1].held(total + part, self.dropped_bits)

    def steps(self, products: Iterator[Float64s], depth: int, shape: tuple[int, ...]) -> Iterator[Step]:
        """Yield the additions of arrays of dot products in order; integers in float64, exact to 53 bits."""
        total, taken = np.zeros(shape), _Taken(products)
        for group in self.groups(depth):
            part = np.zeros(shape)
            for k in group:
                step = self._product_step(taken.pop(k), part, group.start, k)
                part = step.after
                yield step
            if len(self.levels) > 1:
                after = self.levels[1].held_array(total + part, self.dropped_bits)
                overflows = after != total + part
                yield Step(2, 0, group.start, group[-1] + 1, None, None, part, total, after, overflows)
                total = after

    def _product_step(self, product: Float64s, before: Float64s, since: int, k: int) -> Step:
        addend = self.rounding.rounded(product)
        after = self.levels[0].held_array(before + addend, self.dropped_bits)
        return Step(
            1, since, k, k + 1, product, self.overflowing(addend), addend, before, after, after != before + addend
        )

    def overflowing(self, addend: Float64s) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Return where a product alone is beyond the innermost register."""
        return np.asarray(self.levels[0].held_array(addend, self.dropped_bits) != addend)


class _Taken:
    """Items of an iterator by their index, each of which is taken once."""

    def __init__(self, items: Iterator[Float64s]) -> None:
        self._items = enumerate(items)
        self._waiting: dict[int, Float64s] = {}

    def pop(self, index: int) -> Float64s:
        while index not in self._waiting:
            self._waiting.update([next(self._items)])
        return self._waiting.pop(index)
