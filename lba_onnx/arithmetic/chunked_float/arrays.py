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
from collections.abc import Iterator

import numpy as np

from lba_onnx.arithmetic.accumulator import Float64s, Step
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.order import chunks
from lba_onnx.arithmetic.formats import FloatFormat
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
    rounded = a + b
    b_seen = rounded - a
    error = (a - (rounded - b_seen)) + (b - b_seen)
    went_up = (error != 0) & (np.signbit(error) != np.signbit(rounded))
    return np.where(went_up, np.nextafter(rounded, 0.0), rounded), error


def steps(products: Iterator[Float64s], depth: int, shape: tuple[int, ...], spec: ChunkedFloatFields) -> Iterator[Step]:
    """Yield the additions of dot products in order: those of each chunk, then the one of its sum to the total."""
    total = np.zeros(shape)
    for start, stop in chunks(depth, spec.chunk_size):
        partial_sum = np.zeros(shape)
        for k, product in enumerate(itertools.islice(products, stop - start), start):
            quantized = _quantized(product, spec.product_format, spec)
            step = _step(1, start, k + 1, product, quantized, partial_sum, spec)
            partial_sum = step.after
            yield step
        step = _step(2, start, stop, None, partial_sum, total, spec)
        total = step.after
        yield step


def _step(
    level: int,
    start: int,
    stop: int,
    product: Float64s | None,
    addend: Float64s,
    before: Float64s,
    spec: ChunkedFloatFields,
) -> Step:
    add = odd_sum if spec.rounding is Rounding.NEAREST else truncated_sum
    after = _quantized(add(addend, before), spec.accumulator_format, spec)
    product_overflows = None if product is None else np.abs(addend) == spec.product_format.max_value
    overflows = np.abs(after) == spec.accumulator_format.max_value
    return Step(level, start, stop, product, product_overflows, addend, before, after, overflows)


def _quantized(values: Float64s, number_format: FloatFormat, spec: ChunkedFloatFields) -> Float64s:
    return number_format.quantize(values, spec.underflow, spec.rounding).astype(np.float64)
