"""A spec in words and numbers, for people."""

import math

from lba_onnx.arithmetic.chunked_float.definition import step
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.formats import FLOAT32_MIN_NORMAL, FloatFormat
from lba_onnx.arithmetic.rounding import Rounding

_ROUNDINGS = {
    Rounding.TRUNCATE: "toward zero: the bits behind the last are dropped",
    Rounding.NEAREST: "to nearest; of two equally near values the one whose last bit is 0",
    Rounding.NEAREST_AWAY: "to nearest; of two equally near values the one farther from zero",
    Rounding.ODD: "toward zero, and the last bit set where anything is dropped",
}


def explained(spec: ChunkedFloatFields) -> tuple[tuple[str, str], ...]:
    """Return headings and texts: widths, ranges, steps, the order of additions, and where ones stop counting."""
    exact = "exact: each is added as it is, and the sum rounded once"
    products = exact if spec.product_format is None else _format_words(spec.product_format, spec)
    return (
        ("products", products),
        ("sums", _format_words(spec.accumulator_format, spec)),
        ("rounding", _rounding_words(spec)),
        ("overflow", _overflow_words(spec)),
        ("underflow", _underflow_words(spec)),
        ("order", _order_words(spec)),
        ("adding 1", _ones_words(spec)),
    )


def _format_words(number_format: FloatFormat, spec: ChunkedFloatFields) -> str:
    smallest, largest = number_format.smallest_kept(spec.underflow), number_format.max_value
    bits = f"{number_format.width_bits} bits (1 sign, {number_format.exponent_bits} exponent, "
    return (
        f"{number_format}: {bits}{number_format.mantissa_bits} mantissa), {smallest:.6g} to ±{largest:.6g}, "
        f"steps of 2^-{number_format.mantissa_bits} of a value's power of two"
    )


def _rounding_words(spec: ChunkedFloatFields) -> str:
    if spec.rounding is Rounding.STOCHASTIC:
        return f"stochastic, {spec.random_bits} random bits a step, of seed {spec.seed} and the place of the output"
    return _ROUNDINGS[spec.rounding]


def _overflow_words(spec: ChunkedFloatFields) -> str:
    if spec.has_dlfloat_codes:
        return "becomes the one code of NaN and infinity, which reads as NaN"
    return "becomes infinite" if spec.has_infinity else "saturates at the largest value"


def _underflow_words(spec: ChunkedFloatFields) -> str:
    if spec.has_subnormals:
        return f"gradual: below {spec.accumulator_format.min_value:.6g} sums are subnormal and have fewer bits"
    if spec.underflow:
        return "what is below the smallest value becomes 0; there are no subnormals"
    return f"off: what is below 2^{int(math.log2(FLOAT32_MIN_NORMAL))} becomes 0"


def _order_words(spec: ChunkedFloatFields) -> str:
    sizes = list(spec.chunk_sizes)
    if spec.tree is not None:
        words = [f"an adder tree over each {spec.tree} products in the order of k, neighbours first"]
    elif sizes:
        words = [f"chunks of {sizes.pop(0)} products in the order of k"]
    elif spec.lanes is None:
        return "one chain over the whole depth, in the order of k"
    else:
        words = ["the whole depth in the order of k"]
    if spec.lanes is not None:
        words[0] += f", each in {spec.lanes} interleaved lanes whose sums are added as neighbours"
    if spec.starts_from_carry:
        words[0] += "; the running sum enters each first"
    words += [f"chains of {size} such sums" for size in sizes]
    last = "the sum of each chunk" if words[0].startswith("chunks") and not sizes else "each such sum"
    return f"{'; '.join(words)}; {last} then joins the total"


def _ones_words(spec: ChunkedFloatFields) -> str:
    """Return where a sum of ones stays as it is, by the definition."""
    if step(1.0, 1.0, 0.0, spec) != 1.0:
        return "a product of 1 is not held as 1"
    largest = spec.accumulator_format.max_value
    powers = (2.0**e for e in range(spec.accumulator_format.mantissa_bits + 3))
    stuck = next((p for p in powers if p <= largest and step(1.0, 1.0, p, spec) == p), largest)
    return f"added one at a time, ones stop counting at {min(stuck, largest):.6g}"
