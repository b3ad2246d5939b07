"""The kinds of data that the golden vectors draw, each from a seed."""

import math
import random
import struct
from collections.abc import Callable, Sequence

from rationals import Spec

SPECIALS = (
    0.0,
    -0.0,
    1.0,
    -1.5,
    math.inf,
    -math.inf,
    math.nan,
    2.0**-149,
    -(2.0**-126),
    2.0**-64,
    3.4028234663852886e38,
)


class Draw:
    """Random numbers built on `random()` alone, whose sequence Python promises to keep for a seed."""

    def __init__(self, seed: int) -> None:
        """Start the sequence."""
        self._random = random.Random(seed).random

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included; low where high is below it."""
        return low + int(self._random() * max(high - low + 1, 1))

    def choice(self, values: Sequence[float]) -> float:
        """Return one of the values."""
        return values[self.integer(0, len(values) - 1)]

    def float32(self, exponent: int) -> float:
        """Return a float32 value of about 2^exponent: any sign, few or many significant bits, maybe subnormal."""
        fraction_bits = self.integer(0, 3) or 23
        mantissa = 1 + self.integer(0, 2**fraction_bits - 1) / 2**fraction_bits
        value = math.ldexp(mantissa, max(min(exponent, 127), -149))
        sign = 1 if self.integer(0, 1) else -1
        return float(struct.unpack(">f", struct.pack(">f", math.copysign(min(value, SPECIALS[-1]), sign)))[0])

    def pair(self, exponent: int) -> tuple[float, float]:
        """Return two float32 values whose product is about 2^exponent."""
        first = max(min(exponent // 2 + self.integer(-6, 6), 127), -149)
        return self.float32(first), self.float32(exponent - first)


Pairs = list[tuple[float, float]]


def normal(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Products that both formats hold."""
    low = max(spec.product.min_exponent, spec.accumulator.min_exponent)
    high = min(spec.product.max_exponent, spec.accumulator.max_exponent)
    middle = max(low, high - 4)
    return [draw.pair(draw.integer(max(low, middle - 8), middle)) for _ in range(depth)]


def overflowing(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Products and sums around the largest values."""
    high = min(spec.product.max_exponent, spec.accumulator.max_exponent)
    return [draw.pair(high + draw.integer(-3, 3)) for _ in range(depth)]


def underflowing(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Products around the smallest values, of either format."""
    lows = (spec.product.min_exponent, spec.accumulator.min_exponent, -126)
    return [draw.pair(int(draw.choice(lows)) + draw.integer(-4, 3)) for _ in range(depth)]


def cancelling(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Each second product undoes most of the one before."""
    pairs = normal(draw, spec, depth)
    for k in range(1, depth, 2):
        x, w = pairs[k - 1]
        bits_of_x = struct.unpack(">I", struct.pack(">f", -x))[0] + draw.integer(-1, 1)
        pairs[k] = (struct.unpack(">f", struct.pack(">I", bits_of_x))[0], w)
    return pairs


def zeros(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Most operands are zeros of either sign."""
    pairs = normal(draw, spec, depth)
    return [(draw.choice((0.0, -0.0, x)), draw.choice((0.0, -0.0, w))) for x, w in pairs]


def subnormals(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """One operand is a float32 subnormal, the other brings the product as near to the formats as it can."""
    high = min(spec.product.max_exponent, spec.accumulator.max_exponent, -18)
    pairs = []
    for _ in range(depth):
        exponent = draw.integer(-149, -127)
        x, w = draw.float32(exponent), draw.float32(high - draw.integer(0, 12) - exponent)
        pairs.append((x, w) if draw.integer(0, 1) else (w, x))
    return pairs


def tiny(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """After a first product of one sign, addends of the other, far below its last bit."""
    pairs = normal(draw, spec, depth)
    lows = (-126, spec.product.min_exponent, -200)
    for k in range(depth):
        if k % 8:
            x, w = draw.pair(int(draw.choice(lows)) + draw.integer(0, 6))
            pairs[k] = (abs(x), math.copysign(w, -pairs[k - k % 8][0] * pairs[k - k % 8][1]))
    return pairs


def special(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Infinities, extremes and, now and then, a NaN among ordinary products."""
    without_nan = [value for value in SPECIALS if not math.isnan(value)]
    pairs = normal(draw, spec, depth)
    for k in range(depth):
        if draw.integer(0, 2) == 0:
            x, w = draw.choice(without_nan), draw.choice(without_nan)
            pairs[k] = (x, 1.0 if math.isnan(x * w) and draw.integer(0, 7) else w)
    return pairs


def ties(draw: Draw, spec: Spec, depth: int) -> Pairs:
    """Products and sums halfway between two values of a format, or a float32 step beside."""
    formats = (spec.product, spec.accumulator)
    low = max(number_format.min_exponent for number_format in formats)
    high = min(number_format.max_exponent for number_format in formats)
    pairs = []
    for _ in range(depth):
        bits_kept = formats[draw.integer(0, 1)].mantissa_bits + 1
        last = 2**bits_kept - 1
        mantissa = 1 + (draw.integer(0, last) if draw.integer(0, 2) else last) / 2**bits_kept
        beside = mantissa + draw.integer(-1, 1) * 2.0**-23 * draw.integer(0, 1)
        exponent = draw.integer(low - 1, min(low + 3, high)) if draw.integer(0, 3) else high
        split = draw.integer(-3, 3)
        sign = 1 if draw.integer(0, 1) else -1
        pairs.append((math.ldexp(sign * beside, exponent // 2 + split), 2.0 ** (exponent - exponent // 2 - split)))
    return pairs


Kind = Callable[[Draw, Spec, int], Pairs]
KINDS: tuple[Kind, ...] = (
    normal,
    overflowing,
    underflowing,
    cancelling,
    zeros,
    subnormals,
    tiny,
    special,
)
NEAREST_KINDS = (*KINDS, ties, ties)


def operands(draw: Draw, spec: Spec, kind: Kind, depth: int, count: int) -> list[float]:
    """Return `count` values drawn as one side of the pairs of a kind of data, `depth` at a time."""
    values: list[float] = []
    while len(values) < count:
        values += [pair[draw.integer(0, 1)] for pair in kind(draw, spec, max(depth, 1))]
    return values[:count]
