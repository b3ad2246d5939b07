"""The exact sum of exact products, in Python integers that count units of 2^-298.

    dot(x, w):   round(initial + x[0] * w[0] + x[1] * w[1] + ...)

Every product of two float32 numbers is a whole number of units, so no order of additions has a say. An infinite product
makes the sum infinite; NaN, and infinities of both signs, make it NaN. An exact sum of zero is +0.
"""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Float64s, Step
from lba_onnx.arithmetic.result_format import ResultFormat

_UNITS_LOG2 = 298
_UNITS = 1 << _UNITS_LOG2
_NOTHING = slice(0, 0)


def dot(x: Sequence[float], w: Sequence[float], initial: float, result: ResultFormat) -> float:
    """Return the dot product of two vectors of float32 values."""
    terms = [(a, b) for a, b in zip(x, w, strict=True)] + [(initial, 1.0)]
    special = sum(a * b for a, b in terms if not (math.isfinite(a) and math.isfinite(b)))
    if special != 0:  # NaN, too
        return result.exact(float(special))
    return result.exact(sum((Fraction(a) * Fraction(b) for a, b in terms), Fraction(0)))


def start_step(initial: Float64s, depth: int) -> Step:
    """Return the step that holds what sums start from, of which nothing is lost."""
    never = np.zeros(initial.shape, bool)
    return Step(1, depth, depth, depth + 1, None, None, initial, np.zeros(initial.shape), initial, never)


def steps(
    products: Iterator[Float64s], depth: int, shape: tuple[int, ...], result: ResultFormat, start: Float64s | None
) -> Iterator[Step]:
    """Yield the additions of dot products, then the rounding of each sum as an addition to zero, the one that loses."""
    first = np.zeros(shape) if start is None else start
    units, special = _held(first)
    after, never = first, np.zeros(shape, bool)
    for k in range(depth):
        product, before = next(products), after
        more, not_finite = _held(product)
        units = units + more
        with np.errstate(invalid="ignore"):  # infinities of both signs
            special = special + not_finite
        after = np.where(special == 0, np.asarray(_nearest(units), np.float64), special)
        yield Step(1, 0, k, k + 1, product, never, product, before, after, never, (), _NOTHING)
    terms = depth if start is None else depth + 1
    if terms:
        with np.errstate(invalid="ignore"):
            exact = np.asarray(np.frompyfunc(result.exact, 1, 1)(_fractions(units)), np.float64)
            total = np.where(special == 0, exact, result.array(special))
        yield Step(2, 0, 0, terms, None, None, after, np.zeros(shape), total, result.overflows(total))


def _held(values: Float64s) -> tuple[NDArray[Any], Float64s]:
    """Return numbers in units, and what is no number apart, with zeros in the places of the other."""
    is_finite = np.isfinite(values)
    return _to_units(np.where(is_finite, values, 0.0)), np.where(is_finite, 0.0, values)


_to_units = np.frompyfunc(lambda value: int(math.ldexp(value, _UNITS_LOG2)), 1, 1)
_nearest = np.frompyfunc(lambda units: units / _UNITS, 1, 1)
_fractions = np.frompyfunc(lambda units: Fraction(units, _UNITS), 1, 1)
