"""Which products of one dot product each estimator gates: one value at a time, in integers, in any order of sums."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.chunked_float import definition
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.estimators import ESTIMATORS

UNITS = 2**300
Value = int | float  # units of 2^-300; a float stands for NaN, an infinity or -0


@dataclass
class Item:
    """A value to add: its terms, the first of them, whether it is not zero, and whether it entered a sum before."""

    value: Value
    terms: set[int]
    first: int
    adds: bool
    is_running: bool = False


@dataclass
class ScalarMasks:
    """One dot product; `masks[estimator][k]` tells whether product k passes, or, at k = depth, what it starts from."""

    x: np.ndarray
    w: np.ndarray
    spec: AccumulatorSpec
    place: tuple[int, int] = (0, 0)
    initial: float | None = None
    masks: dict[str, list[bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Follow it."""
        spec, depth = self.spec, len(self.x)
        self.masks = {name: [True] * (depth + 1) for name in ESTIMATORS}
        products = [self.product(k) for k in range(depth)]
        inner = [size for size in (spec.tree, *spec.chunk_sizes) if size]
        if not inner and not spec.lanes:
            self.added(zero(), self.chain(products, self.start(1), 1), 2)  # the one sum is the total
            return
        groups = parts(products, inner[0] if inner else max(depth, 1))
        sizes = [*inner[1:], max(depth, 1)]  # the last chain has all that is left
        start = self.start(1 + len(sizes))
        level = 2
        if spec.starts_from_carry:
            size = sizes.pop(0)
            items = [self.carried(chain, zero() if sizes else start) for chain in parts(groups, size)]
            level = 3
        else:
            items = [self.group(group) for group in groups]
        for i, size in enumerate(sizes):
            is_last = i + 1 == len(sizes)
            items = [self.chain(part, start if is_last else zero(), level + i) for part in parts(items, size)]

    def start(self, level: int) -> Item:
        """Return what the last chain starts from: rounding it is a step of its own."""
        if self.initial is None:
            return zero()
        depth = len(self.x)
        raw = Item(definition._to_exact(self.initial), {depth}, depth, self.initial != 0)
        return self.added(zero(), raw, level)

    def group(self, items: list[Item]) -> Item:
        """Return the sum of an innermost group."""
        if self.spec.lanes:
            return self.lanes(items, None)
        return self.tree(items, None) if self.spec.tree else self.chain(items, zero(), 1)

    def carried(self, groups: list[list[Item]], running: Item) -> Item:
        """Return the sum of groups that carry."""
        for items in groups:
            running.is_running = True
            running = self.lanes(items, running) if self.spec.lanes else self.tree(items, running)
        return running

    def lanes(self, items: list[Item], carry: Item | None) -> Item:
        """Return the sum of products by lanes."""
        sums = []
        for lane in range(min(self.spec.lanes or 1, len(items))):
            total = self.chain(items[lane :: self.spec.lanes], carry or zero() if lane == 0 else zero(), 1)
            total.is_running = lane == 0 and carry is not None
            sums.append(total)
        return self.tree(sums, None) if len(sums) > 1 else sums[0]

    def tree(self, items: list[Item], carry: Item | None) -> Item:
        """Return the sum of neighbours, of their sums, and so on."""
        items = [*([carry] if carry else []), *items]
        if len(items) == 1:
            return self.added(zero(), items[0], 1)
        while len(items) > 1:
            pairs = [items[i : i + 2] for i in range(0, len(items), 2)]
            items = [self.added(*pair, 1) if len(pair) == 2 else pair[0] for pair in pairs]
        return items[0]

    def chain(self, items: list[Item], start: Item, level: int) -> Item:
        """Return the sum of items, one after the other."""
        total = start
        total.is_running = True
        for item in items:
            total = self.added(total, item, level)
        total.is_running = False
        return total

    def added(self, before: Item, added: Item, level: int) -> Item:
        """Return the quantized sum of two items, and gate by it."""
        exact = definition._sum(added.value, before.value)
        after = definition._quantized(exact, self.spec.accumulator_format, self.spec, self.draw(level, added.first))
        entering = [(added, before)] if before.is_running else [(added, before), (before, added)]
        terms = before.terms | added.terms
        if self.overflows(after, self.spec.accumulator_format):
            for item, _ in entering:
                self.close("immediate_overflow", item.terms)
            self.close("recursive_overflow", terms)
        for item, onto in entering:
            if item.adds and after == onto.value:
                self.close("immediate_difference", item.terms)
        return Item(after, terms, before.first if before.terms else added.first, after != 0, before.is_running)

    def product(self, k: int) -> Item:
        """Return a product, and gate it where it overflows."""
        x, w = float(self.x[k]), float(self.w[k])
        value = definition.product_units(x, w, self.spec, self.draw(0, k))
        if self.spec.product_format is not None and self.overflows(value, self.spec.product_format):
            self.close("immediate_overflow", {k})
            self.close("recursive_overflow", {k})
        return Item(value, {k}, k, x != 0 and w != 0)

    def draw(self, stream: int, step: int) -> int:
        """Return the random bits of a rounding."""
        if self.spec.rounding is not Rounding.STOCHASTIC:
            return 0
        return int(Places.one(*self.place).draws(self.spec.seed, stream, step, self.spec.random_bits))

    @staticmethod
    def overflows(value: Value, held) -> bool:  # type: ignore[no-untyped-def]
        """Tell whether a value is what overflows become."""
        if math.isnan(held.overflow_value):
            return isinstance(value, float) and math.isnan(value)
        as_float = value if isinstance(value, float) else value / UNITS
        return abs(as_float) == held.overflow_value

    def close(self, name: str, terms: set[int]) -> None:
        """Gate terms."""
        for k in terms:
            self.masks[name][k] = False


def parts(items: list[Any], size: int) -> list[list[Any]]:
    """Return items in groups of a size."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def zero() -> Item:
    """Return what sums start from where nothing is said."""
    return Item(0, set(), 0, False, True)
