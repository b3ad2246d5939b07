"""The datapath of exact sums: each product is shifted to its place in a register that holds all of them.

The register has a bit for each place that a product of the operands may have, one for each doubling of the sum, and a
sign. It is rounded once, when the sum is done.
"""

from fractions import Fraction

from lba_onnx.arithmetic.datapath import Block, Datapath, Group, Part, registers, shared
from lba_onnx.arithmetic.float_parts import ceil_log2, multiplier_parts, range_parts, rounding_parts
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.result_format import ResultFormat


def datapath(result: ResultFormat, operands: Operands, depth: int) -> Datapath:
    """Return what one product of a dot product of a depth takes."""
    bits = register_bits(operands, depth)
    stages = ceil_log2(_shifts(operands) + 1)
    return Datapath(
        (
            *multiplier_parts(operands),
            *([Part(Group.ALIGNMENT, "shift to its place", Block.SHIFTER, (bits, stages))] if stages else []),
            Part(Group.ADDITION, "negation", Block.NEGATION, (operands.product_bits,)),
            Part(Group.ADDITION, "fixed-point adder", Block.ADDER, (bits,)),
            *shared(_rounding(result, bits), Fraction(1, depth), "result: "),
            *registers("exact sum", bits),
        ),
        (1,),
    )


def register_bits(operands: Operands, depth: int) -> int:
    """Return how many bits hold each sum of so many products exactly."""
    return _shifts(operands) + operands.product_bits + ceil_log2(depth) + 1


def _shifts(operands: Operands) -> int:
    """Return by how many places products differ at most."""
    return sum((1 << operand.exponent_bits) - 1 for operand in (operands.x, operands.w) if operand.exponent_bits)


def _rounding(result: ResultFormat, bits: int) -> list[Part]:
    held = result.number_format
    dropped_bits = max(bits - held.mantissa_bits - 1, 1)
    return [
        Part(Group.NORMALISATION, "negation", Block.NEGATION, (bits,)),
        Part(Group.NORMALISATION, "leading-zero detect", Block.LEADING_ZEROS, (bits,)),
        Part(Group.NORMALISATION, "shift", Block.SHIFTER, (bits, ceil_log2(bits))),
        Part(Group.EXPONENTS, "exponent", Block.ADDER, (held.exponent_bits,)),
        Part(Group.ROUNDING, "final incrementer", Block.INCREMENTER, (held.mantissa_bits,)),
        *rounding_parts(result.rounding, dropped_bits, held.exponent_bits),
        *range_parts(held),
    ]
