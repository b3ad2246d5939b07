"""The datapath of sums by slices: that of a slice, and an adder that combines the slices."""

from fractions import Fraction

from lba_onnx.arithmetic.datapath import Datapath, Group, registers, shared
from lba_onnx.arithmetic.float_parts import FloatAdder, range_parts
from lba_onnx.arithmetic.result_format import ResultFormat


def datapath(inner: Datapath, last_sums: tuple[int, ...], total: ResultFormat, slices: int, depth: int) -> Datapath:
    """Return what one product takes.

    Args:
        inner: That of one product of a full slice.
        last_sums: How many sums the last slice has at each level, which may be shorter.
        total: The format in which slices are combined.
        slices: How many there are.
        depth: Products of all slices.
    """
    held = total.number_format
    combining = [*FloatAdder.of_sums(held, total.rounding).parts, *range_parts(held)]
    combined = shared(combining, Fraction(slices - 1, depth), "slices: ", Group.JOINS)
    parts = (*inner.parts, *combined, *registers("total of slices", held.width_bits))
    sums = ((slices - 1) * of_full + of_last for of_full, of_last in zip(inner.sums, last_sums, strict=True))
    return Datapath(parts, (*sums, 1))
