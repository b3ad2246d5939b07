"""The definition, one value at a time, in Python integers: nothing is rounded except where a format asks for it.

    dot(x, w):   items = quantize_prod(x[k] * w[k]) for each k, or x[k] * w[k] where products are exact
                 with a tree:  items = tree(g) for each group g of so many consecutive items
                 for each chunk size, innermost first:
                     items = chain(0, g) for each group g of so many consecutive items
                 chain(quantize_acc(initial), items)

    chain(s, g): for each item in g:  s = quantize_acc(item + s)
    tree(g):     while there is more than one: each two neighbours a, b become quantize_acc(a + b), an odd one stays
                 a lone product becomes quantize_acc(product)

    quantize(v): round v to the format's mantissa bits, its exponent unbounded; with subnormals, to no finer a bit than
                 the last of min_value
                 0 where that is below the smallest magnitude (without underflow: below 2^-126)
                 max_value, with the sign of v, where that is max_value or more
                 infinity, in a format that has it, where that is more than max_value; NaN with the codes of DLFloat

Exact values are integers that count units of 2^-300 (the smallest product of two float32 numbers is 2^-298), and floats
for what integers cannot be: NaN, infinities, and -0, which formats with infinity keep as IEEE 754 does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.order import spans
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.rounding import Rounding

_UNITS_LOG2 = 300
_OPERAND_UNITS_LOG2 = 149  # float32 values are whole multiples of 2^-149

_Exact = int | float
_Item = tuple[int, _Exact]  # a sum, and the first k that it covers
_NEGATIVE_ZERO = -0.0


@cache
def _limits(number_format: FloatFormat, underflow: bool) -> tuple[int, int, int]:
    """Return the largest value, the smallest kept magnitude, and the last bit that any value may have, in units."""
    smallest = _to_units(number_format.smallest_kept(underflow))
    last_bit = smallest.bit_length() - 1 if number_format.has_subnormals else 0
    return _to_units(number_format.max_value), smallest, last_bit


def quantize_units(
    units: int,
    number_format: FloatFormat,
    underflow: bool = True,
    rounding: Rounding = Rounding.TRUNCATE,
    draw: int = 0,
    random_bits: int = 0,
) -> _Exact:
    """Quantize an exact value, in units of 2^-300."""
    largest, smallest, last_bit = _limits(number_format, underflow)
    magnitude = abs(units)
    dropped_bits = max(magnitude.bit_length() - number_format.mantissa_bits - 1, last_bit, 0)
    magnitude = rounding.without_last_bits(magnitude, dropped_bits, draw, random_bits)
    if magnitude > largest and not math.isfinite(number_format.overflow_value):
        return math.copysign(number_format.overflow_value, units)
    if magnitude >= largest:
        magnitude = largest
    elif magnitude < smallest:
        magnitude = 0
    if magnitude == 0 and units < 0 and number_format.has_infinity:
        return _NEGATIVE_ZERO
    return -magnitude if units < 0 else magnitude


def product_units(x: float, w: float, spec: ChunkedFloatFields, draw: int = 0) -> _Exact:
    """Return the product of two float32 values, quantized where products are."""
    product = _product(x, w)
    if spec.product_format is None:
        return product
    return _quantized(product, spec.product_format, spec, draw)


def dot(
    x: Sequence[float],
    w: Sequence[float],
    spec: ChunkedFloatFields,
    initial: float = 0.0,
    place: tuple[int, int] = (0, 0),
) -> float:
    """Return the dot product of two vectors of float32 values; `initial`, quantized, where they are empty."""
    sums = _Sums(spec, Places.one(*place))
    products = [product_units(a, b, spec, sums.draw(0, k)) for k, (a, b) in enumerate(zip(x, w, strict=True))]
    items: list[_Item] = list(enumerate(products))
    sizes, level = spec.chunk_sizes, 1
    if spec.has_own_groups:
        innermost, sizes = (spec.tree, sizes) if spec.tree else (spec.chunk_size or max(len(items), 1), sizes[1:])
        groups = [items[begin:end] for begin, end in spans(0, len(items), innermost)]
        level, add_up = 2, sums.carried if spec.starts_from_carry else sums.joined
        if not sizes:
            return _from_exact(add_up(sums.quantized(_to_exact(initial), level, len(products)), groups))
        items = [(groups[a][0][0], add_up(0, groups[a:b])) for a, b in spans(0, len(groups), sizes[0])]
        level, sizes = 3, sizes[1:]
    for size in sizes:
        items = [(items[a][0], sums.chain(level, 0, items[a:b])) for a, b in spans(0, len(items), size)]
        level += 1
    # Without any group, products are summed in one whose sum joins zero, as it is.
    return _from_exact(sums.chain(level, sums.quantized(_to_exact(initial), level, len(products)), items))


@dataclass(frozen=True)
class _Sums:
    """The sums of one dot product; items have the first k that they cover beside them."""

    spec: ChunkedFloatFields
    places: Places

    def draw(self, stream: int, step: int) -> int:
        """Return the random bits of one rounding."""
        if self.spec.rounding is not Rounding.STOCHASTIC:
            return 0
        return int(self.places.draws(self.spec.seed, stream, step, self.spec.random_bits))

    def add(self, addend: _Exact, before: _Exact, level: int, step: int) -> _Exact:
        """Return the quantized sum of two values."""
        return self.quantized(_sum(addend, before), level, step)

    def quantized(self, value: _Exact, level: int, step: int) -> _Exact:
        """Return a value in the accumulator format."""
        return _quantized(value, self.spec.accumulator_format, self.spec, self.draw(level, step))

    def chain(self, level: int, start: _Exact, items: Sequence[_Item]) -> _Exact:
        """Return the sum of items, one after the other."""
        for k, item in items:
            start = self.add(item, start, level, k)
        return start

    def joined(self, start: _Exact, groups: Sequence[Sequence[_Item]]) -> _Exact:
        """Return the sum of trees, or of groups of lanes, one after the other."""
        return self.chain(2, start, [self.group(items) for items in groups])

    def carried(self, start: _Exact, groups: Sequence[Sequence[_Item]]) -> _Exact:
        """Return the same where each group begins with the sum of those before."""
        for items in groups:
            start = self.group(items, start)[1]
        return start

    def group(self, items: Sequence[_Item], carry: _Exact | None = None) -> _Item:
        """Return the sum of products by a tree or by lanes; with a carry, if given, as its first item or start."""
        first = [] if carry is None else [(items[0][0], carry)]
        if self.spec.lanes is None:
            return self.tree([*first, *items])
        starts = [0 if carry is None else carry, *(0 for _ in range(1, self.spec.lanes))]
        lanes = [items[lane :: self.spec.lanes] for lane in range(min(self.spec.lanes, len(items)))]
        sums = [(lane[0][0], self.chain(1, start, lane)) for lane, start in zip(lanes, starts, strict=False)]
        return sums[0] if len(sums) == 1 else self.tree(sums)

    def tree(self, items: Sequence[_Item]) -> _Item:
        """Return the sum of products by an adder tree."""
        if len(items) == 1:
            (k, product) = items[0]
            return k, self.add(product, 0, 1, k)
        while len(items) > 1:
            pairs = zip(items[::2], items[1::2], strict=False)
            sums = [(first, self.add(after, before, 1, k)) for (first, before), (k, after) in pairs]
            items = [*sums, *items[len(sums) * 2 :]]
        return items[0]


def step(x: float, w: float, partial_sum: float, spec: ChunkedFloatFields) -> float:
    """Return quantize_acc(quantize_prod(x * w) + partial_sum), with the random bits of step 0 in place 0, 0."""
    sums = _Sums(spec, Places.one())
    product = product_units(x, w, spec, sums.draw(0, 0))
    return _from_exact(sums.add(product, _to_exact(partial_sum), 1, 0))


def quantize(
    value: float | Fraction,
    number_format: FloatFormat,
    underflow: bool = True,
    rounding: Rounding | str = Rounding.TRUNCATE,
    draw: int = 0,
    random_bits: int = 0,
) -> float:
    """Quantize one exact value; the scalar twin of `FloatFormat.quantize`.

    Args:
        value: A float, int or rational; NaN gives NaN, infinities saturate where there are none.
        number_format: The format to get to.
        underflow: Whether magnitudes below the format's `min_value` become zero, or only those below 2^-126.
        rounding: A `Rounding` or its name.
        draw: For "stochastic": from 0 to 2^random_bits - 1.
        random_bits: For "stochastic".
    """
    exact = _to_exact(value)
    if isinstance(exact, float):
        return _from_exact(_special(exact, number_format))
    return _from_exact(quantize_units(exact, number_format, underflow, Rounding(rounding), draw, random_bits))


def _product(x: float, w: float) -> _Exact:
    if not (math.isfinite(x) and math.isfinite(w)):
        return x * w
    units = int(math.ldexp(x, _OPERAND_UNITS_LOG2)) * int(math.ldexp(w, _OPERAND_UNITS_LOG2))
    if units == 0:
        return _NEGATIVE_ZERO if math.copysign(1.0, x) != math.copysign(1.0, w) else 0
    return units << (_UNITS_LOG2 - 2 * _OPERAND_UNITS_LOG2)


def _sum(a: _Exact, b: _Exact) -> _Exact:
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    if _is_negative_zero(a):
        return b
    if _is_negative_zero(b):
        return a
    return _as_special(a) + _as_special(b)


def _is_negative_zero(value: _Exact) -> bool:
    return isinstance(value, float) and value == 0


def _as_special(value: _Exact) -> float:
    """Return NaN and infinities as they are, and 0 for what does not count beside them."""
    return value if isinstance(value, float) else 0.0


def _quantized(value: _Exact, number_format: FloatFormat, spec: ChunkedFloatFields, draw: int) -> _Exact:
    if isinstance(value, float):
        return _special(value, number_format)
    return quantize_units(value, number_format, spec.underflow, spec.rounding, draw, spec.random_bits)


def _special(value: float, number_format: FloatFormat) -> _Exact:
    """Return what a format makes of NaN, an infinity or -0."""
    if math.isnan(value) or number_format.has_infinity:
        return value
    if value != 0 and number_format.has_dlfloat_codes:
        return math.nan
    return 0 if value == 0 else int(math.copysign(_to_units(number_format.max_value), value))


def _to_exact(value: float | Fraction) -> _Exact:
    if isinstance(value, (float, np.floating)) and (not math.isfinite(value) or _has_sign(value)):
        return float(value)
    return _to_units(value)


def _has_sign(value: float) -> bool:
    return value == 0 and math.copysign(1.0, value) < 0


def _to_units(value: float | Fraction) -> int:
    """Return a finite value in units of 2^-300; a rest is kept as a last bit that is set, so that it makes no tie."""
    numerator, denominator = value.as_integer_ratio()
    magnitude, rest = divmod(abs(numerator) << _UNITS_LOG2, denominator)
    magnitude |= rest != 0
    return -magnitude if numerator < 0 else magnitude


def _from_exact(value: _Exact) -> float:
    """Return a quantized value; exact, since it has at most 24 significant bits."""
    return value if isinstance(value, float) else value / (1 << _UNITS_LOG2)
