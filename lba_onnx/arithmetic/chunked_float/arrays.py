"""The definition's twin for arrays of outputs, in float64 steps that lose nothing; tests hold the two together.

Why float64 loses nothing:

- A product of two float32 numbers has at most 48 significant bits and an exponent from -298 to 255: float64 holds it.
- The terms of a sum are quantized: at most 23 bits each, magnitudes from 2^-126 to below 2^128. Their exact sum can
  need 276 bits.
- Truncated sums: the sum is taken as rounded + error (Knuth's TwoSum, exact in float64 in this range). An error whose
  sign opposes the rounded sum's says that rounding went up in magnitude; the next float64 toward zero is then the sum
  truncated to 53 bits, and otherwise the rounded sum is. Truncation composes: truncating that to 23 bits or fewer is
  truncating the exact sum.
- Sums rounded to nearest: the truncated sum, with its last bit set where something was cut off, lies on the same side
  of every number of 51 or fewer bits as the exact sum (rounding to odd; Boldo, Melquiond, "Emulation of FMA and
  correctly rounded sums", 2008), also where a product has more bits than the accumulator and so may lie halfway
  between two sums.
"""

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from lba_onnx.arithmetic.accumulator import Entering, Float64s, Masks, Step, Terms
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.order import SumOrder, spans
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.rounding import Rounding


def truncated_sum(a: Float64s, b: Float64s) -> Float64s:
    """Return the exact sum of two arrays of quantized values, truncated toward zero to 53 bits."""
    return _truncated_sum_and_error(a, b)[0]


def odd_sum(a: Float64s, b: Float64s) -> Float64s:
    """Return the truncated sum with its last bit set where it is not the exact sum."""
    truncated, error = _truncated_sum_and_error(a, b)
    is_cut = np.asarray(error != 0).astype(np.int64)
    return (np.ascontiguousarray(truncated).view(np.int64) | is_cut).view(np.float64).reshape(truncated.shape)


def _truncated_sum_and_error(a: Float64s, b: Float64s) -> tuple[Float64s, Float64s]:
    """Return the exact sum truncated to 53 bits, and the error of the rounded one."""
    with np.errstate(invalid="ignore"):  # infinities, which have no error
        rounded = a + b
        b_seen = rounded - a
        error = (a - (rounded - b_seen)) + (b - b_seen)
    error = np.where(np.isfinite(rounded), error, 0.0)
    went_up = (error != 0) & (np.signbit(error) != np.signbit(rounded))
    return np.where(went_up, np.nextafter(rounded, 0.0), rounded), error


def steps(
    products: Iterator[Float64s],
    depth: int,
    shape: tuple[int, ...],
    spec: ChunkedFloatFields,
    places: Places | None,
    start: Float64s | None,
) -> Iterator[Step]:
    """Yield the additions of dot products in order: those of each group, then the one of its sum to what holds it."""
    order = spec.order(depth)
    sums = _Sums(products, shape, depth, spec, order, places or Places.one(), start)
    yield from sums.chain(len(order.lengths), 0, depth)


def start_step(initial: Float64s, depth: int, spec: ChunkedFloatFields, places: Places) -> Step:
    """Return the step that quantizes what sums start from as the last chain's sums are, as if it joined behind it."""
    level, held = spec.order(depth).last_chain + 1, spec.accumulator_format
    after = quantized(initial, held, spec, places, level, depth)
    zeros = np.zeros(initial.shape)
    return Step(level, depth, depth, depth + 1, None, None, initial, zeros, after, _overflows(after, held))


@dataclass(frozen=True)
class _Item:
    """A product as it is added, or a sum.

    Attributes:
        first: The first k that it covers.
        stop: One more than the last.
        terms: All that it covers, what sums start from included.
        value: What it comes to.
        product: The exact product, where it is one.
        overflows: Where the product, as it is added, has overflowed.
        is_running: Whether what it holds entered a sum before, which goes on in it: one that carries, or that starts.
    """

    first: int
    stop: int
    terms: Terms
    value: Float64s
    product: Float64s | None = None
    overflows: Masks | None = None
    is_running: bool = False

    def entering(self, onto: "_Item") -> Entering:
        """Return the item as it enters a sum with another."""
        return Entering(self.terms, self.product, self.overflows, self.value, onto.value)


def _together(a: Terms, b: Terms) -> Terms:
    """Return the terms of both."""
    if isinstance(a, slice) and isinstance(b, slice) and a.step is None and b.step is None and a.stop == b.start:
        return slice(a.start, b.stop)
    both: Terms = np.r_[a, b]
    return both


@dataclass(frozen=True)
class _Sums:
    """The sums of dot products, whose products come in the order of k."""

    products: Iterator[Float64s]
    shape: tuple[int, ...]
    depth: int
    spec: ChunkedFloatFields
    order: SumOrder
    places: Places
    start: Float64s | None

    def chain(self, level: int, start: int, stop: int) -> Generator[Step, None, _Item]:
        """Yield the additions of a chain of groups of the level below, or of products; return its sum."""
        total = self._beginning(level, start)
        if level == 0:
            for k, product in enumerate(itertools.islice(self.products, stop - start), start):
                total = yield from self._added(total, self._product(product, k), 1)
            return total
        for begin, end in spans(start, stop, self.order.lengths[level - 1]):
            carries = self.spec.starts_from_carry and level == 1
            if self.spec.has_own_groups and level == 1:
                addend = yield from self.group(begin, end, total if carries else None)
            else:
                addend = yield from self.chain(level - 1, begin, end)
            if self.order.has_groups and not carries:
                total = yield from self._added(total, addend, level + 1)
            else:
                yield self._replaced(total, addend, level + 1, enters=not carries)
                total = addend
        return total

    def _beginning(self, level: int, start: int) -> _Item:
        """Return what a chain starts from."""
        if self.start is None or level != self.order.last_chain:
            return self._zero(start)
        return _Item(start, start, np.array([self.depth]), self.start, is_running=True)

    def _zero(self, start: int) -> _Item:
        return _Item(start, start, slice(start, start), np.zeros(self.shape), is_running=True)

    def _replaced(self, before: _Item, after: _Item, level: int, enters: bool) -> Step:
        """Return the step that makes a sum of what has been summed; where that carries, nothing enters any more."""
        return Step(
            level, before.first, after.first, after.stop, None, None, after.value, before.value, after.value,
            _overflows(after.value, self.spec.accumulator_format),
            sides=(after.entering(before),) if enters else (),
            inside=after.terms,
        )  # fmt: skip

    def group(self, start: int, stop: int, carry: _Item | None) -> Generator[Step, None, _Item]:
        """Yield the additions of an adder tree, or of lanes, over products and a carry; return the sum."""
        read = enumerate(itertools.islice(self.products, stop - start), start)
        items = [self._product(product, k) for k, product in read]
        if self.spec.lanes is not None:
            items = yield from self.lanes(items, carry)
        elif carry is not None or len(items) == 1:
            items.insert(0, carry or self._zero(start))
        return (yield from self.tree(items))

    def lanes(self, items: list[_Item], carry: _Item | None) -> Generator[Step, None, list[_Item]]:
        """Yield the additions of interleaved chains, lane by lane; return their sums."""
        sums, lanes = [], self.spec.lanes or 1
        for lane in range(min(lanes, len(items))):
            total = carry if lane == 0 and carry else self._zero(items[lane].first)
            for item in items[lane::lanes]:
                total = yield from self._added(total, item, 1)
            sums.append(replace(total, first=items[lane].first, is_running=lane == 0 and carry is not None))
        return sums

    def tree(self, items: list[_Item]) -> Generator[Step, None, _Item]:
        """Yield the additions of an adder tree; return its sum."""
        while len(items) > 1:
            sums = []
            for before, added in zip(items[::2], items[1::2], strict=False):
                sums.append((yield from self._added(before, added, 1, is_tree=True)))
            items = [*sums, *items[len(sums) * 2 :]]
        return items[0]

    def _product(self, product: Float64s, k: int) -> _Item:
        held = self.spec.product_format
        value = product if held is None else self._quantized(product, held, 0, k)
        return _Item(k, k + 1, slice(k, k + 1), value, product, _overflows(value, held))

    def _added(self, before: _Item, added: _Item, level: int, is_tree: bool = False) -> Generator[Step, None, _Item]:
        """Yield the step that adds an item to a sum, or two neighbours in a tree; return what they come to."""
        spec = self.spec
        add = truncated_sum if spec.rounding is Rounding.TRUNCATE else odd_sum
        after = self._quantized(add(added.value, before.value), spec.accumulator_format, level, added.first)
        covers = _together(before.terms, added.terms)
        yield Step(
            level, before.first, added.first, added.stop,
            None if is_tree else added.product,
            None if is_tree else added.overflows,
            added.value, before.value, after,
            _overflows(after, spec.accumulator_format),
            sides=(added.entering(before), *(() if before.is_running else (before.entering(added),))),
            inside=covers,
        )  # fmt: skip
        return _Item(before.first, added.stop, covers, after, is_running=before.is_running)

    def _quantized(self, values: Float64s, number_format: FloatFormat, stream: int, step: int) -> Float64s:
        return quantized(values, number_format, self.spec, self.places, stream, step)


def quantized(
    values: Float64s, number_format: FloatFormat, spec: ChunkedFloatFields, places: Places, stream: int, step: int
) -> Float64s:
    """Return values in a format, by the rules of a spec.

    Args:
        values: float64, exact, or rounded to odd.
        number_format: The format.
        spec: The rules.
        places: Where the outputs stand.
        stream: Of the random bits.
        step: Likewise.
    """
    draws = None
    if spec.rounding is Rounding.STOCHASTIC:
        drawn = places.draws(spec.seed, stream, step, spec.random_bits)
        draws = np.broadcast_to(drawn, np.broadcast_shapes(drawn.shape, values.shape))
        values = np.broadcast_to(values, draws.shape)
    return number_format.quantize(values, spec.underflow, spec.rounding, draws, spec.random_bits).astype(np.float64)


def _overflows(values: Float64s, held: FloatFormat | None) -> Masks:
    """Return where values have overflowed; exact products never do."""
    if held is None:
        return np.zeros(np.shape(values), bool)
    return held.overflows(values)
