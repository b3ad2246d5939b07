"""Accumulators that are more than chains of rounded sums, in rationals: exact sums."""

from collections.abc import Sequence
from dataclasses import dataclass

from rules import Rules, Value, add, multiply, quantize

Pairs = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Exact:
    """The exact sum, quantized once as the sums of some rules are."""

    text: str
    result: Rules

    @property
    def drawn_for(self) -> Rules:
        """What kinds of data go by."""
        return self.result

    def dot(self, pairs: Pairs, place: tuple[int, int]) -> Value:
        """Return the dot product."""
        total: Value = 0.0
        for x, w in pairs:
            total = add(total, multiply(x, w))
        return quantize(total, self.result.accumulator, self.result)

    def __str__(self) -> str:
        """Return the text."""
        return self.text
