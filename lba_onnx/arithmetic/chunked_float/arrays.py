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
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Float64s, Step
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
    yield from _Sums(products, shape, spec, order, places or Places.one(), start).chain(len(order.lengths), 0, depth)


def started(initial: Float64s, depth: int, spec: ChunkedFloatFields, places: Places) -> Float64s:
    """Return what sums start from: values quantized as the last chain's sums are, as if they joined behind it."""
    stream = spec.order(depth).last_chain + 1
    return quantized(initial, spec.accumulator_format, spec, places, stream, depth)


_Item = tuple[int, int, Float64s]  # first k, one more than the last, and what they come to


@dataclass(frozen=True)
class _Sums:
    """The sums of dot products, whose products come in the order of k."""

    products: Iterator[Float64s]
    shape: tuple[int, ...]
    spec: ChunkedFloatFields
    order: SumOrder
    places: Places
    start: Float64s | None

    def chain(self, level: int, start: int, stop: int) -> Generator[Step, None, Float64s]:
        """Yield the additions of a chain of groups of the level below, or of products; return its sum."""
        is_last = level == self.order.last_chain
        total = self.start if self.start is not None and is_last else np.zeros(self.shape)
        if level == 0:
            for k, product in enumerate(itertools.islice(self.products, stop - start), start):
                step = self._step((start, k, k + 1), 1, product, self._product(product, k), total)
                total = yield from _yielded(step)
            return total
        for begin, end in spans(start, stop, self.order.lengths[level - 1]):
            carries = self.spec.starts_from_carry and level == 1
            if self.spec.has_own_groups and level == 1:
                addend = yield from self.group(begin, end, total if carries else None)
            else:
                addend = yield from self.chain(level - 1, begin, end)
            step = self._step((start, begin, end), level + 1, None, addend, total)
            joins = self.order.has_groups and not carries
            total = yield from _yielded(step if joins else self._replaced(step))
        return total

    def _replaced(self, step: Step) -> Step:
        """Return a step whose addend is the sum itself."""
        return replace(step, after=step.addend, overflows=_overflows(step.addend, self.spec.accumulator_format))

    def group(self, start: int, stop: int, carry: Float64s | None) -> Generator[Step, None, Float64s]:
        """Yield the additions of an adder tree, or of lanes, over products and a carry; return the sum."""
        read = enumerate(itertools.islice(self.products, stop - start), start)
        items = [(k, k + 1, self._product(product, k)) for k, product in read]
        if self.spec.lanes is not None:
            items = yield from self.lanes(items, np.zeros(self.shape) if carry is None else carry)
            return (yield from self.tree(items)) if len(items) > 1 else items[0][2]
        if carry is not None or len(items) == 1:
            items.insert(0, (start, start, np.zeros(self.shape) if carry is None else carry))
        return (yield from self.tree(items))

    def lanes(self, items: list[_Item], carry: Float64s) -> Generator[Step, None, list[_Item]]:
        """Yield the additions of interleaved chains, lane by lane; return their sums."""
        sums, lanes = [], self.spec.lanes or 1
        for lane in range(min(lanes, len(items))):
            total = carry if lane == 0 else np.zeros(self.shape)
            for k, end, product in items[lane::lanes]:
                total = yield from _yielded(self._step((items[lane][0], k, end), 1, None, product, total))
            sums.append((items[lane][0], items[lane][1], total))
        return sums

    def tree(self, items: list[_Item]) -> Generator[Step, None, Float64s]:
        """Yield the additions of an adder tree; return its sum."""
        while len(items) > 1:
            sums = []
            for (first, _, before), (middle, end, addend) in zip(items[::2], items[1::2], strict=False):
                after = yield from _yielded(self._step((first, middle, end), 1, None, addend, before))
                sums.append((first, end, after))
            items = [*sums, *items[len(sums) * 2 :]]
        return items[0][2]

    def _product(self, product: Float64s, k: int) -> Float64s:
        held = self.spec.product_format
        return product if held is None else self._quantized(product, held, 0, k)

    def _step(
        self, span: tuple[int, int, int], level: int, product: Float64s | None, addend: Float64s, before: Float64s
    ) -> Step:
        spec = self.spec
        add = truncated_sum if spec.rounding is Rounding.TRUNCATE else odd_sum
        after = self._quantized(add(addend, before), spec.accumulator_format, level, span[1])
        product_overflows = None if product is None else _overflows(addend, spec.product_format)
        overflows = _overflows(after, spec.accumulator_format)
        return Step(level, *span, product, product_overflows, addend, before, after, overflows)

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


def _yielded(step: Step) -> Generator[Step, None, Float64s]:
    yield step
    return step.after


def _overflows(values: Float64s, held: FloatFormat | None) -> NDArray[np.bool_]:
    """Return where values have overflowed; exact products never do."""
    if held is None:
        return np.zeros(np.shape(values), bool)
    return held.overflows(values)
