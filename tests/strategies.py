"""Hypothesis strategies that several tests share."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.rounding import Rounding


@st.composite
def formats(draw: st.DrawFn, has_infinity: bool = False, has_subnormals: bool = False) -> FloatFormat:
    """Any legal format, with the outer codes that are asked for."""
    exponent_bits = draw(st.integers(1 + (has_infinity or has_subnormals), 7 + (has_infinity and has_subnormals)))
    bias = draw(st.integers(2**exponent_bits - 128 - has_infinity, 126 + has_subnormals))
    mantissa_bits = draw(st.integers(0, 22 + (has_infinity or has_subnormals)))
    return FloatFormat(mantissa_bits, exponent_bits, bias, has_infinity, has_subnormals)


@st.composite
def orders(
    draw: st.DrawFn, largest_chunk: int = 2**63 - 1, largest_tree: int = 40, most_outer: int = 3
) -> dict[str, Any]:
    """The sizes of any legal order of sums; a largest tree of 0 leaves trees out, and most_outer of 0 levels."""
    chunk_size = draw(st.none() | st.integers(1, largest_chunk))
    is_small = chunk_size is not None and chunk_size < 1000
    outer = tuple(draw(st.lists(st.integers(1, 9), max_size=most_outer))) if is_small else ()
    has_tree = largest_tree and (is_small or chunk_size is None)
    tree = draw(st.none() | st.integers(1, largest_tree)) if has_tree else None
    return {"chunk_size": chunk_size, "outer_chunks": outer, "tree": tree}


@st.composite
def specs(
    draw: st.DrawFn,
    largest_chunk: int = 2**63 - 1,
    roundings: Iterable[Rounding] = (Rounding.TRUNCATE, Rounding.NEAREST),
    largest_tree: int = 40,
    most_outer: int = 3,
) -> AccumulatorSpec:
    """Any legal spec of those with fast kernels; a largest tree of 0 leaves trees out, and most_outer of 0 levels."""
    return AccumulatorSpec(
        draw(formats()),
        draw(formats()),
        **draw(orders(largest_chunk, largest_tree, most_outer)),
        underflow=draw(st.booleans()),
        rounding=draw(st.sampled_from(list(roundings))),
    )


@st.composite
def all_specs(draw: st.DrawFn, largest_chunk: int = 2**63 - 1) -> AccumulatorSpec:
    """Any legal spec."""
    rounding = draw(st.sampled_from(Rounding))
    is_stochastic = rounding is Rounding.STOCHASTIC
    has_infinity, has_subnormals, exact_products = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    codes = {"has_infinity": has_infinity, "has_subnormals": has_subnormals}
    return AccumulatorSpec(
        None if exact_products else draw(formats(**codes)),
        draw(formats(**codes)),
        **draw(orders(largest_chunk)),
        underflow=has_subnormals or draw(st.booleans()),
        rounding=rounding,
        random_bits=draw(st.integers(1, 16)) if is_stochastic else 0,
        seed=draw(st.integers(0, 2**64 - 1)) if is_stochastic else 0,
        exact_products=exact_products,
        **codes,
    )
