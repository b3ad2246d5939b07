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


def specs(
    largest_chunk: int = 2**63 - 1, roundings: Iterable[Rounding] = Rounding
) -> st.SearchStrategy[AccumulatorSpec]:
    """Any legal spec."""
    return st.builds(
        AccumulatorSpec,
        product_format=formats(),
        accumulator_format=formats(),
        chunk_size=st.none() | st.integers(1, largest_chunk),
        underflow=st.booleans(),
        rounding=st.sampled_from(list(roundings)),
    )
