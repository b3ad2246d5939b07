"""Hypothesis strategies that several tests share."""

from hypothesis import strategies as st

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.formats import FloatFormat


@st.composite
def formats(draw: st.DrawFn) -> FloatFormat:
    """Any legal format."""
    exponent_bits = draw(st.integers(1, 7))
    bias = draw(st.integers(2**exponent_bits - 128, 126))
    return FloatFormat(draw(st.integers(0, 22)), exponent_bits, bias)


def specs(largest_chunk: int = 2**63 - 1) -> st.SearchStrategy[AccumulatorSpec]:
    """Any legal spec."""
    return st.builds(
        AccumulatorSpec,
        product_format=formats(),
        accumulator_format=formats(),
        chunk_size=st.none() | st.integers(1, largest_chunk),
        underflow=st.booleans(),
    )
