"""The kinds of data that rules are tried on, beside those of other vectors."""

import math
import struct

from kinds import KINDS, Draw, Kind, Pairs, ties
from rationals import Spec
from rules import Rules

LARGEST_FLOAT32 = 3.4028234663852886e38
SMALL = 2.0**-23  # a step of a float32 value of about 1


def single(value: float) -> float:
    """Return the float32 value next to one, never an infinity in place of a number."""
    if not math.isfinite(value):
        return value
    return float(struct.unpack(">f", struct.pack(">f", max(min(value, LARGEST_FLOAT32), -LARGEST_FLOAT32)))[0])


def split(draw: Draw, x: float, w: float, exponent: int) -> tuple[float, float]:
    """Return two values times 2^exponent together."""
    first = max(min(exponent // 2 + draw.integer(-3, 3), 126), -100)
    sign = 1 if draw.integer(0, 1) else -1
    return math.ldexp(sign * x, first), math.ldexp(w, max(min(exponent - first, 126), -126))


def gradual(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Products and sums where a format with subnormals has fewer bits the smaller they are, and below."""
    pairs = []
    for _ in range(depth):
        held = (spec.product, spec.accumulator)[draw.integer(0, 1)]
        last = held.min_exponent - held.mantissa_bits
        halves = draw.integer(1, 9)  # odd ones are ties between two subnormals
        beside = 1 + draw.integer(-1, 1) * SMALL * draw.integer(0, 1)
        large = draw.integer(0, 3) == 0
        exponent = held.min_exponent - draw.integer(0, 2) if large else last - 1
        pairs.append(split(draw, halves, beside, exponent))
    return pairs


def double_rounding(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Ties that are none, as only more than 24 bits of a product tell, or more than 53 of a sum.

    Of three products the first is some sum, the second about half of its last bit, and the third takes the first away.
    """
    low = max(spec.product.min_exponent, spec.accumulator.min_exponent)
    high = min(spec.product.max_exponent, spec.accumulator.max_exponent)
    pairs: Pairs = []
    for k in range(depth):
        if k % 3 == 0:
            exponent = max(low, high - 2 - draw.integer(0, max((high - low) // 2, 0)))
            last = 2**spec.accumulator.mantissa_bits
            anchor = split(draw, 1 + draw.integer(0, last - 1) / last, 1.0, exponent)
            pairs.append(anchor)
        elif k % 3 == 1:
            pairs.append(beside_a_tie(draw, spec, exponent))
        else:
            pairs.append((-anchor[0], anchor[1]))
    return pairs


def beside_a_tie(draw: Draw, spec: Spec, exponent: int) -> tuple[float, float]:
    """Return a product beside half of the last bit of a sum of about 2^exponent, or one that is beside a tie itself."""
    step = SMALL if draw.integer(0, 1) else -SMALL
    if draw.integer(0, 2) == 0:
        half = 2.0 ** -(spec.product.mantissa_bits + 1)
        return split(draw, 1 + step, 1 + half - step, exponent)
    other = step if draw.integer(0, 1) else -step  # (1 + step)^2, or 1 - step^2
    return split(draw, 1 + step, 1 + other, exponent - spec.accumulator.mantissa_bits - 1)


RULE_KINDS: tuple[Kind, ...] = (*KINDS, ties, gradual, double_rounding)


def pairs_of(kind: Kind, draw: Draw, rules: Rules, depth: int) -> Pairs:
    """Return operands of one kind: float32 values, around the ranges that the codes of the formats leave."""
    accumulator = rules.as_seen(rules.accumulator)
    product = accumulator if rules.product is None else rules.as_seen(rules.product)
    pairs = kind(draw, Spec(product, accumulator, 0, rules.underflow), depth)
    return [(single(x), single(w)) for x, w in pairs]
