"""The datapath of sums of integers: a multiplier, an adder as wide as the register, what saturates it.

int16-wrap            multiplier, 16-bit adder                       once a product
int12x64/int20-wrap   12-bit adder once a product, 20-bit adder      once for every 64th
x86-u8s8              two products side by side: one 16-bit adder and one 32-bit adder for both
"""

from fractions import Fraction

from lba_onnx.arithmetic.datapath import Block, Datapath, Group, Part, registers, shared
from lba_onnx.arithmetic.integer.definition import IntegerSums
from lba_onnx.arithmetic.integer.fields import IntegerLevel, Overflow, ProductRounding
from lba_onnx.arithmetic.operands import Operands

_DETECTION_GATES = 3  # carries into and out of the last bit differ


def datapath(sums: IntegerSums, operands: Operands, depth: int, adds_pairs: bool) -> Datapath:
    """Return what one product of a dot product of a depth takes.

    Args:
        sums: The registers and what becomes of products.
        operands: The operands.
        depth: How many products there are.
        adds_pairs: Whether the products of the innermost register stand side by side, and are added to each other.

    Raises:
        ValueError: The operands are no integers.
    """
    if not operands.are_integers:
        raise ValueError(f"sums of integers: expected operands of integers, such as int8, got {operands}")
    inner, *outer = sums.levels
    groups = -(-depth // inner.terms) if inner.terms else 1
    added = depth - groups if adds_pairs else depth
    joined = groups if adds_pairs else groups - 1
    of_tiles = [part for held in outer for part in _adding(held, sums.dropped_bits)]
    sizes = (operands.x.significant_bits, operands.w.significant_bits)
    return Datapath(
        (
            Part(Group.MULTIPLIER, "multiplier", Block.MULTIPLIER, sizes),
            *_rounding(sums.rounding, operands),
            *shared(_adding(inner, sums.dropped_bits), Fraction(added, depth)),
            *shared(of_tiles, Fraction(joined, depth), "joins: ", Group.JOINS),
            *_registers(sums, adds_pairs),
        ),
        (groups, 1) if outer else (1,),
    )


def _adding(held: IntegerLevel, dropped_bits: int) -> list[Part]:
    bits = held.bits - dropped_bits
    adder = Part(Group.ADDITION, "adder", Block.ADDER, (bits,))
    if held.overflow is Overflow.WRAP:
        return [adder]
    return [
        adder,
        Part(Group.RANGE, "overflow", Block.LOGIC, (_DETECTION_GATES,)),
        Part(Group.RANGE, "saturation", Block.MULTIPLEXER, (bits,)),
    ]


def _rounding(rounding: ProductRounding, operands: Operands) -> list[Part]:
    kept = operands.product_bits - rounding.dropped_bits
    if not (rounding.is_nearest and rounding.dropped_bits):
        return []
    return [Part(Group.ROUNDING, "nearest, halves up", Block.INCREMENTER, (max(kept, 1),))]


def _registers(sums: IntegerSums, adds_pairs: bool) -> list[Part]:
    """Return the registers; products side by side are added without one."""
    *inner, last = (held.bits - sums.dropped_bits for held in sums.levels)
    between = [] if adds_pairs else [part for bits in inner for part in registers("partial sum", bits)]
    return [*registers("total", last), *between]
