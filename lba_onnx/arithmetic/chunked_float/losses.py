"""The causes of a dot product's error, and the specs in which one of them is switched off.

Each is switched off in the product, in the accumulator, or in both (where both saturate, widening one takes nothing
away), and lies in these fields of the format:

    overflow      exponent_bits + 1, same bias: same min_value, far larger max_value
    underflow     exponent_bits + 1, bias + 2^exponent_bits: same max_value, far smaller min_value
    truncation    mantissa_bits = 22; in the accumulator that includes swamping, where the addend is lost whole.
                  Its name is "rounding" where values are rounded to nearest
    chunk_size    sizes with which the chains of all levels are about equally long; with one, √depth
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from lba_onnx.arithmetic.accumulator import Cause
from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.formats import (
    MAX_EXPONENT,
    MAX_EXPONENT_BIAS,
    MAX_EXPONENT_BITS,
    MAX_MANTISSA_BITS,
    FloatFormat,
)
from lba_onnx.arithmetic.rounding import Rounding

_Spec = TypeVar("_Spec", bound=ChunkedFloatFields)

_PLACES = ("product", "accumulator")
_WHERE = {"product": "of products", "accumulator": "of the accumulator", "": "of products and sums together"}
_FORMATS = {"product": "the product", "accumulator": "the accumulator", "": "product and accumulator"}
_REMEDIES = {
    "overflow": "a range of {place} that reaches further up would help: a smaller bias, or more exponent bits",
    "underflow": "a range of {place} that reaches further down would help: a larger bias, or more exponent bits",
    "truncation": "more mantissa bits of {place} would help",
    "rounding": "more mantissa bits of {place} would help",
}
_CHUNK_SIZE = "chunk_size"


def causes(spec: ChunkedFloatFields) -> tuple[Cause, ...]:
    """Return the causes: those of each place, then those of both, then the chunk size."""
    kinds = ("overflow", "underflow", "truncation" if spec.rounding is Rounding.TRUNCATE else "rounding")
    places = _PLACES if spec.product_format is not None else ("accumulator",)
    found = [_cause(kind, place) for place in (*places, "") for kind in kinds]
    order = Cause(
        _CHUNK_SIZE, _CHUNK_SIZE, "", "the size of the chunks", "another chunk size would help", is_order=True
    )
    return (*found, order)


def without(spec: _Spec, cause: str, depth: int) -> _Spec | None:
    """Return the spec with one cause switched off, as far as formats may go; None where nothing is to switch off."""
    if cause == _CHUNK_SIZE:
        balanced = _balanced(spec, depth)
        return None if _lengths(balanced, depth) == _lengths(spec, depth) else balanced
    place, _, kind = cause.rpartition("_")
    if kind == "underflow" and not spec.underflow:
        return None
    widen, product = WIDER[kind], spec.product_format
    changed = replace(
        spec,
        product_format=product if product is None or place == "accumulator" else widen(product),
        accumulator_format=spec.accumulator_format if place == "product" else widen(spec.accumulator_format),
    )
    return None if changed == spec else changed


def limit_note(spec: ChunkedFloatFields, cause: str) -> str:
    """Return in words how far the switched-off spec falls short of what the cause asks for; "" where it does not."""
    place, _, kind = cause.rpartition("_")
    if place not in _PLACES or kind not in ("overflow", "underflow") or (kind == "underflow" and not spec.underflow):
        return ""
    present = spec.product_format if place == "product" else spec.accumulator_format
    if present is None:
        return ""
    wider = WIDER[kind](present)
    if wider == present:
        return f"{cause} cannot be switched off: no format that reaches further than {present} is legal"
    if wider.max_value > present.max_value and wider.min_value < present.min_value:
        return f"{cause} is switched off with the nearest legal format, {wider}, which moves both limits"
    return ""


def _cause(kind: str, place: str) -> Cause:
    where = "in the accumulator" if (kind, place) == ("truncation", "accumulator") else _WHERE[place]
    remedy = _REMEDIES[kind].format(place=_FORMATS[place])
    return Cause(f"{place}_{kind}" if place else kind, kind, place, f"{kind} {where}", remedy)


def _balanced(spec: _Spec, depth: int) -> _Spec:
    """Return the spec with all sizes the power of two next to depth^(1 / levels), with which no chain is long."""
    items = -(-depth // spec.tree) if spec.tree else depth
    chains = max(len(spec.chunk_sizes), 1)
    size = 1 << max(0, round(math.log2(max(items, 1)) / (chains + 1)))
    return replace(spec, chunk_size=size, outer_chunks=(size,) * (chains - 1))


def _lengths(spec: ChunkedFloatFields, depth: int) -> list[int]:
    return [min(length, depth) for length in spec.order(depth).lengths]


def _with_larger_max(present: FloatFormat) -> FloatFormat:
    bits = max(min(present.exponent_bits + 1, MAX_EXPONENT_BITS), present.exponent_bits)
    bias = max(present.exponent_bias, (1 << bits) - 1 - present.has_infinity - MAX_EXPONENT)
    wider = replace(present, exponent_bits=bits, exponent_bias=bias)
    return wider if wider.max_value > present.max_value else present


def _with_smaller_min(present: FloatFormat) -> FloatFormat:
    bits = max(min(present.exponent_bits + 1, MAX_EXPONENT_BITS), present.exponent_bits)
    bias = present.exponent_bias + (1 << bits) - (1 << present.exponent_bits)
    wider = replace(present, exponent_bits=bits, exponent_bias=min(bias, MAX_EXPONENT_BIAS + present.has_subnormals))
    return wider if wider.min_value < present.min_value else present


def _with_all_mantissa_bits(present: FloatFormat) -> FloatFormat:
    return replace(present, mantissa_bits=max(MAX_MANTISSA_BITS, present.mantissa_bits))


WIDER: dict[str, Callable[[FloatFormat], FloatFormat]] = {
    "overflow": _with_larger_max,
    "underflow": _with_smaller_min,
    "truncation": _with_all_mantissa_bits,
    "rounding": _with_all_mantissa_bits,
}
"""What a format becomes where it does not lose by a cause."""
