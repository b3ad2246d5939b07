"""Hypothesis strategies that several tests share."""

from collections.abc import Iterable

from hypothesis import strategies as st

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.rounding import Rounding


@st.composite
def formats(draw: st.DrawFn) -> FloatFormat:
    """Any legal format."""
    exponent_bits = draw(st.integers(1, 7))
    bias = draw(st.integers(2**exponent_bits - 128, 126))
    return FloatFormat(draw(st.integers(0, 22)), exponent_bits, bias)


@st.composite
def specs(
    draw: st.DrawFn,
    largest_chunk: int = 2**63 - 1,
    roundings: Iterable[Rounding] = Rounding,
    largest_tree: int = 40,
) -> AccumulatorSpec:
    """Any legal spec; a largest tree of 0 leaves trees out."""
    chunk_size = draw(st.none() | st.integers(1, largest_chunk))
    is_small = chunk_size is not None and chunk_size < 1000
    return AccumulatorSpec(
        draw(formats()),
        draw(formats()),
        chunk_size=chunk_size,
        outer_chunks=tuple(draw(st.lists(st.integers(1, 9), max_size=3))) if is_small else (),
        tree=draw(st.none() | st.integers(1, largest_tree)) if largest_tree and (is_small or not chunk_size) else None,
        underflow=draw(st.booleans()),
        rounding=draw(st.sampled_from(list(roundings))),
    )
