"""Accumulators that are more than chains of rounded sums, in rationals: exact sums, sums by slices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rules import Output, Rules, Value, add, multiply, quantize

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

    def dot(self, pairs: Pairs, place: tuple[int, int], start: Value = 0.0) -> Value:
        """Return the dot product; the exact sum starts from a value."""
        total = start
        for x, w in pairs:
            total = add(total, multiply(x, w))
        is_zero = isinstance(total, float) and total == 0
        return quantize(0.0 if is_zero else total, self.result.accumulator, self.result)

    def __str__(self) -> str:
        """Return the text."""
        return self.text


@dataclass(frozen=True)
class Chained:
    """Chains and trees of sums, by their rules."""

    rules: Rules

    @property
    def drawn_for(self) -> Rules:
        """What kinds of data go by."""
        return self.rules

    def dot(self, pairs: Pairs, place: tuple[int, int], start: Value = 0.0) -> Value:
        """Return the dot product; its last chain starts from a value."""
        output = Output(self.rules, place)
        return output.dot([output.product(x, w, k) for k, (x, w) in enumerate(pairs)], start)

    def in_slice(self, index: int) -> "Chained":
        """Return what sums one slice, with random bits of its own."""
        return Chained(replace(self.rules, seed=self.rules.seed + index)) if self.rules.random_bits else self

    def __str__(self) -> str:
        """Return the text."""
        return str(self.rules)


@dataclass(frozen=True)
class Sliced:
    """Sums of so many slices, combined in order, each quantized as the sums of some rules are."""

    slices: int
    inner: "Chained | Exact"
    options: str
    total: Rules

    @property
    def drawn_for(self) -> Rules:
        """What kinds of data go by."""
        return self.inner.drawn_for

    def dot(self, pairs: Pairs, place: tuple[int, int], start: Value = 0.0) -> Value:
        """Return the dot product; the chain of slices starts from a value in the format that they are combined in."""
        total = quantize(start, self.total.accumulator, self.total)
        size = max(-(-len(pairs) // self.slices), 1)
        for index, start in enumerate(range(0, len(pairs), size)):
            inner = self.inner.in_slice(index) if isinstance(self.inner, Chained) else self.inner
            part = inner.dot(pairs[start : start + size], place)
            total = quantize(add(total, part), self.total.accumulator, self.total)
        return total

    def __str__(self) -> str:
        """Return the text."""
        return f"splitk{self.slices}({self.inner}){self.options}"


Sums = Exact | Sliced | Chained
