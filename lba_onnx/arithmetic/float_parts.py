"""Parts of datapaths of floats: multiplier, adder, rounding and range, as kinds of accumulators share them.

The parts of an adder are those of the fused multiply-add in appendix E of Blumenfeld et al. (arXiv 2401.14110), whose
formulas docs/cost.md reconstructs. Roundings but truncation, and range, are priced beyond that.
"""

from dataclasses import dataclass

from lba_onnx.arithmetic.datapath import Block, Group, Part
from lba_onnx.arithmetic.formats import MAX_EXPONENT, FloatFormat
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.rounding import Rounding

_DECISION_GATES = 3  # guard and (round or sticky or last bit)


def ceil_log2(number: int) -> int:
    """Return the exponent of the smallest power of two that is no smaller."""
    return (number - 1).bit_length()


def multiplier_parts(operands: Operands) -> list[Part]:
    """Return what multiplies significands and adds exponents."""
    x, w = operands.x, operands.w
    sizes = (x.significant_bits, w.significant_bits)
    parts = [Part(Group.MULTIPLIER, "mantissa multiplier", Block.MULTIPLIER, sizes)]
    if x.exponent_bits and w.exponent_bits:
        bits = max(x.exponent_bits, w.exponent_bits)
        parts.append(Part(Group.EXPONENTS, "exponent adder", Block.ADDER, (bits,)))
    return parts


@dataclass(frozen=True)
class FloatAdder:
    """Adds a float to a sum and normalizes, as the paper counts it.

    Attributes:
        mantissa_bits: Of the sum.
        exponent_bits: Of the sum.
        addend_bits: Significant bits of what is added.
        rounding: How the sum is rounded.
        random_bits: Of stochastic rounding.
    """

    mantissa_bits: int
    exponent_bits: int
    addend_bits: int
    rounding: Rounding
    random_bits: int = 0

    @classmethod
    def of_sums(
        cls, held: FloatFormat, rounding: Rounding, random_bits: int = 0, underflow: bool = True
    ) -> "FloatAdder":
        """Return what adds two sums of a format."""
        exponent_bits = needed_exponent_bits(held, underflow)
        return cls(held.mantissa_bits, exponent_bits, held.mantissa_bits + 1, rounding, random_bits)

    @property
    def canvas_bits(self) -> int:
        """Bits in which both are aligned."""
        own = max(2 * self.mantissa_bits + 1, self.mantissa_bits + self.addend_bits - 1)
        return max(own, self.mantissa_bits + self.random_bits + 1)

    @property
    def stages(self) -> int:
        """Stages of each shifter."""
        return min(self.exponent_bits, ceil_log2(self.canvas_bits))

    @property
    def parts(self) -> list[Part]:
        """The parts."""
        mantissa, exponent, canvas = self.mantissa_bits, self.exponent_bits, self.canvas_bits
        sorted_bits = mantissa + 1 + self.addend_bits
        dropped = canvas - mantissa - 1
        return [
            Part(Group.EXPONENTS, "exponent differ", Block.ADDER, (exponent,)),
            Part(Group.EXPONENTS, "exponent max", Block.MULTIPLEXER, (exponent + 1,)),
            Part(Group.ALIGNMENT, "sort by exponent", Block.MULTIPLEXER, (sorted_bits,)),
            Part(Group.ALIGNMENT, "first shift", Block.SHIFTER, (canvas - 1, self.stages)),
            Part(Group.ADDITION, "mantissa adder", Block.ADDER, (mantissa + 1,)),
            Part(Group.NORMALISATION, "leading-zero detect", Block.LEADING_ZEROS, (canvas,)),
            Part(Group.NORMALISATION, "second shift", Block.SHIFTER, (mantissa, self.stages)),
            Part(Group.EXPONENTS, "exponent rebase", Block.ADDER, (exponent,)),
            Part(Group.ROUNDING, "final incrementer", Block.INCREMENTER, (mantissa,)),
            *rounding_parts(self.rounding, dropped, exponent, self.random_bits),
        ]


def rounding_parts(rounding: Rounding, dropped_bits: int, exponent_bits: int, random_bits: int = 0) -> list[Part]:
    """Return what decides on a rounding, and what a carry into the exponent takes; nothing for truncation.

    Args:
        rounding: The rounding.
        dropped_bits: Bits behind the last one that is kept, at least 1.
        exponent_bits: Of the result.
        random_bits: Of stochastic rounding.
    """
    if rounding is Rounding.TRUNCATE:
        return []
    if rounding is Rounding.ODD:
        return [Part(Group.ROUNDING, "sticky bit", Block.OR_TREE, (dropped_bits,)), _logic("last bit set", 1)]
    parts = [Part(Group.ROUNDING, "carry into exponent", Block.INCREMENTER, (exponent_bits,))]
    if rounding is Rounding.NEAREST:
        sticky = Part(Group.ROUNDING, "sticky bit", Block.OR_TREE, (max(dropped_bits - 1, 1),))
        parts += [sticky, _logic("decision", _DECISION_GATES)]
    if rounding is Rounding.STOCHASTIC:
        parts.append(Part(Group.ROUNDING, "random addend", Block.ADDER, (random_bits,)))
        parts.append(Part(Group.ROUNDING, "random bits", Block.RANDOM_BITS, (random_bits,)))
    return parts


def product_rounding_parts(
    held: FloatFormat, rounding: Rounding, operands: Operands, random_bits: int = 0
) -> list[Part]:
    """Return what rounds products to a format of their own; nothing where all of their bits fit, or are cut off."""
    dropped_bits = operands.product_bits - 1 - held.mantissa_bits
    if dropped_bits <= 0 or rounding is Rounding.TRUNCATE:
        return []
    parts = rounding_parts(rounding, dropped_bits, held.exponent_bits, random_bits)
    if rounding is not Rounding.ODD:
        parts.append(Part(Group.ROUNDING, "incrementer", Block.INCREMENTER, (held.mantissa_bits,)))
    return parts


def range_parts(held: FloatFormat) -> list[Part]:
    """Return what becomes of results outside a format: the largest value or infinity, zero or a subnormal."""
    bits, exponent_bits = held.mantissa_bits + held.exponent_bits, held.exponent_bits
    parts = [Part(Group.RANGE, "overflow and underflow", Block.LOGIC, (2 * bits + 2 * exponent_bits,))]
    if held.has_infinity or held.has_dlfloat_codes:
        parts.append(Part(Group.RANGE, "infinity and NaN", Block.LOGIC, (2 * bits,)))
    if held.has_subnormals:
        parts.append(Part(Group.RANGE, "subnormals: limit of the shift", Block.ADDER, (exponent_bits,)))
        parts.append(Part(Group.RANGE, "subnormals: shift", Block.MULTIPLEXER, (exponent_bits,)))
    return parts


def needed_exponent_bits(held: FloatFormat, underflow: bool = True) -> int:
    """Return the exponent bits of a format; with underflow off, those that exponents down to float32's take."""
    if underflow:
        return held.exponent_bits
    return max(held.exponent_bits, ceil_log2(held.max_exponent + MAX_EXPONENT))


def _logic(name: str, gates: int) -> Part:
    return Part(Group.ROUNDING, name, Block.LOGIC, (gates,))
