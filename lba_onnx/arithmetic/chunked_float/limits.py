"""What the values of chunked floats are at most: the bounds that planners prove with (custom_ops, short_cuts.h)."""

import math
from collections.abc import Sequence

from lba_onnx.arithmetic.bounds import Bound, check_summary, grown_sum
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.rounding import Rounding

_BITS_BEHIND = {Rounding.NEAREST: 1, Rounding.NEAREST_AWAY: 1, Rounding.ODD: 0, Rounding.STOCHASTIC: 0}
"""Rounding up adds at most the last bit kept, or half of it."""


def bounds(
    spec: ChunkedFloatFields, levels: Sequence[Level], largest_x: float, largest_w: float, depth: int
) -> tuple[Bound, ...]:
    """Return the bounds of products, of the sums of each level of groups, and of the total."""
    check_summary(largest_x, largest_w, depth)
    exact = float(largest_x) * float(largest_w)
    largest = exact and exact + 3 * _finest(spec)  # of a product, its step, and joins, which are fewer
    held, limit = spec.product_format, spec.accumulator_format.max_value
    growths = _growth(spec, held), _growth(spec, spec.accumulator_format)
    found = [
        _held(spec, level.name, grown_sum(largest, products, roundings, *growths), limit)
        for level, products, roundings in zip(levels[1:], *_sums(spec, depth), strict=True)
    ]
    product = exact and (exact + _finest(spec)) * growths[0]
    return _held(spec, levels[0].name, product, math.inf if held is None else held.max_value), *found


def _sums(spec: ChunkedFloatFields, depth: int) -> tuple[list[int], list[int]]:
    """Return, for each level of sums, products of one, and how many sums one in the other the first is part of."""
    order = spec.order(depth)
    lengths = [min(length, depth) for length in order.lengths]
    items = lengths[0] + spec.starts_from_carry
    roundings = [max((items - 1).bit_length(), 1) if order.is_tree else lengths[0]]
    of_a_join = roundings[0] + 1 if spec.starts_from_carry else 1  # a sum that is carried goes through the next group
    for length, inner in zip((*lengths[1:], depth), lengths, strict=True):
        roundings.append(roundings[-1] + -(-length // max(inner, 1)) * of_a_join)
        of_a_join = 1
    products = [*lengths, depth]
    if spec.starts_from_carry:
        products[0], roundings[0] = products[1], roundings[1]
    return products, roundings


def _growth(spec: ChunkedFloatFields, held: FloatFormat | None) -> float:
    """Return how many times larger rounding makes a value of a format, at most."""
    if held is None or spec.rounding is Rounding.TRUNCATE:
        return 1.0
    return 1 + 2.0 ** -(held.mantissa_bits + _BITS_BEHIND[spec.rounding])


def _finest(spec: ChunkedFloatFields) -> float:
    """Return what rounding a subnormal value adds at most: its relative growth has no bound."""
    if not spec.has_subnormals or spec.rounding is Rounding.TRUNCATE:
        return 0.0
    formats = (held for held in (spec.product_format, spec.accumulator_format) if held is not None)
    return max(held.smallest_kept(spec.underflow) for held in formats)


def _held(spec: ChunkedFloatFields, level: str, magnitude: float, limit: float) -> Bound:
    fits = magnitude < limit
    is_unbounded = spec.has_infinity or spec.has_dlfloat_codes
    return Bound(level, magnitude if fits else math.inf if is_unbounded else limit, fits)
