"""The definition, one value at a time, in Python integers: nothing is rounded except where a format asks for it.

    dot(x, w):   items = quantize_prod(x[k] * w[k]) for each k
                 with a tree:  items = tree(g) for each group g of so many consecutive items
                 for each chunk size, innermost first:
                     items = chain(0, g) for each group g of so many consecutive items
                 chain(initial, items)

    chain(s, g): for each item in g:  s = quantize_acc(item + s)
    tree(g):     while there is more than one: each two neighbours a, b become quantize_acc(a + b), an odd one stays
                 a lone product becomes quantize_acc(product)

    quantize(v): round v to the format's mantissa bits, its exponent unbounded
                 0 where that is below min_value (without underflow: below 2^-126)
                 max_value, with the sign of v, where that is max_value or more

Values count units of 2^-300; the smallest product of two float32 numbers is 2^-298.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import numpy as np

from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.order import spans
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.rounding import Rounding

_UNITS_LOG2 = 300
_OPERAND_UNITS_LOG2 = 149  # float32 values are whole multiples of 2^-149


@cache
def _limits(number_format: FloatFormat, underflow: bool) -> tuple[int, int, int]:
    """Return the largest value and the smallest kept magnitude, in units, and the number of significant bits."""
    smallest = number_format.smallest_kept(underflow)
    return _to_units(number_format.max_value), _to_units(smallest), number_format.mantissa_bits + 1


def quantize_units(
    units: int, number_format: FloatFormat, underflow: bool = True, rounding: Rounding = Rounding.TRUNCATE
) -> int:
    """Quantize an exact value, in units of 2^-300."""
    largest, smallest, significant_bits = _limits(number_format, underflow)
    magnitude = rounding.magnitude(abs(units), significant_bits)
    if magnitude >= largest:
        magnitude = largest
    elif magnitude < smallest:
        magnitude = 0
    return -magnitude if units < 0 else magnitude


def product_units(x: float, w: float, spec: ChunkedFloatFields) -> int | None:
    """Return the quantized product of two float32 values in units of 2^-300; None stands for NaN."""
    if math.isfinite(x) and math.isfinite(w):
        exact = int(math.ldexp(x, _OPERAND_UNITS_LOG2)) * int(math.ldexp(w, _OPERAND_UNITS_LOG2))
        units = exact << (_UNITS_LOG2 - 2 * _OPERAND_UNITS_LOG2)
        return quantize_units(units, spec.product_format, spec.underflow, spec.rounding)
    product = x * w
    if math.isnan(product):
        return None
    return _to_units(math.copysign(spec.product_format.max_value, product))


def sum_units(products: Sequence[int | None], spec: ChunkedFloatFields, initial: float = 0.0) -> float:
    """Return the sum, in the spec's order, of quantized products in units of 2^-300 (None for NaN)."""
    items = [product for product in products if product is not None]
    if len(items) < len(products):
        return math.nan
    if spec.tree is not None:
        items = [_tree(items[start:stop], spec) for start, stop in spans(0, len(items), spec.tree)]
    for size in spec.chunk_sizes:
        items = [_chain(0, items[start:stop], spec) for start, stop in spans(0, len(items), size)]
    return _from_units(_chain(_to_units(initial), items, spec))


def _chain(start: int, items: Sequence[int], spec: ChunkedFloatFields) -> int:
    for item in items:
        start = _quantized_sum(item + start, spec)
    return start


def _tree(items: Sequence[int], spec: ChunkedFloatFields) -> int:
    if len(items) == 1:
        return _quantized_sum(items[0], spec)
    while len(items) > 1:
        pairs = [_quantized_sum(a + b, spec) for a, b in zip(items[::2], items[1::2], strict=False)]
        items = [*pairs, items[-1]] if len(items) % 2 else pairs
    return items[0]


def dot(x: Sequence[float], w: Sequence[float], spec: ChunkedFloatFields, initial: float = 0.0) -> float:
    """Return the dot product of two vectors of float32 values; `initial` where they are empty."""
    return sum_units([product_units(a, b, spec) for a, b in zip(x, w, strict=True)], spec, initial)


def step(x: float, w: float, partial_sum: float, spec: ChunkedFloatFields) -> float:
    """Return quantize_acc(quantize_prod(x * w) + partial_sum)."""
    product = product_units(x, w, spec)
    if product is None or math.isnan(partial_sum):
        return math.nan
    return _from_units(_quantized_sum(product + _to_units(partial_sum), spec))


def quantize(
    value: float | Fraction,
    number_format: FloatFormat,
    underflow: bool = True,
    rounding: Rounding | str = Rounding.TRUNCATE,
) -> float:
    """Quantize one exact value; the scalar twin of `FloatFormat.quantize`.

    Args:
        value: A float, int or rational; NaN gives NaN, infinities saturate.
        number_format: The format to get to.
        underflow: Whether magnitudes below the format's `min_value` become zero, or only those below 2^-126.
        rounding: "truncate" or "nearest".
    """
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        return math.nan if math.isnan(value) else math.copysign(number_format.max_value, value)
    return _from_units(quantize_units(_to_units(value), number_format, underflow, Rounding(rounding)))


def _quantized_sum(units: int, spec: ChunkedFloatFields) -> int:
    return quantize_units(units, spec.accumulator_format, spec.underflow, spec.rounding)


def _to_units(value: float | Fraction) -> int:
    """Return a finite value in units of 2^-300; a rest is kept as a last bit that is set, so that it makes no tie."""
    numerator, denominator = value.as_integer_ratio()
    magnitude, rest = divmod(abs(numerator) << _UNITS_LOG2, denominator)
    magnitude |= rest != 0
    return -magnitude if numerator < 0 else magnitude


def _from_units(units: int) -> float:
    """Return the value of quantized units; exact, since they have at most 23 significant bits."""
    return units / (1 << _UNITS_LOG2)
