"""What hardware one product and its addition take: parts of a few known blocks, each with its sizes.

    mantissa multiplier    MULTIPLIER(5, 5)    once for each product
    joins: mantissa adder  ADDER(8)            once for every 16th product

Kinds of accumulators say which parts; what a block costs is told by a cost table (`lba_onnx.costing`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction


class Group(Enum):
    """What a part is for; its value is its name."""

    MULTIPLIER = "multiplier"
    EXPONENTS = "exponents"
    ALIGNMENT = "alignment"
    ADDITION = "addition"
    NORMALISATION = "normalisation"
    ROUNDING = "rounding"
    RANGE = "range"
    """Overflow, underflow, infinities, subnormals."""
    JOINS = "joins"
    """Adding sums of groups of products to each other."""
    REGISTERS = "registers"

    @property
    def is_of_unit(self) -> bool:
        """Whether the paper's count of a fused multiply-add has it."""
        return self not in (Group.RANGE, Group.JOINS, Group.REGISTERS)


class Block(Enum):
    """A block of logic; its value names it and its sizes."""

    ADDER = "adder(bits)"
    MULTIPLIER = "multiplier(rows, columns)"
    MULTIPLEXER = "multiplexer(bits)"
    SHIFTER = "shifter(bits, stages)"
    LEADING_ZEROS = "leading-zero detector(bits)"
    INCREMENTER = "incrementer(bits)"
    OR_TREE = "or tree(bits)"
    NEGATION = "conditional negation(bits)"
    RANDOM_BITS = "generator of random bits(bits)"
    LOGIC = "simple gates(count)"
    REGISTER = "register(bits)"


@dataclass(frozen=True)
class Part:
    """One part of a datapath.

    Attributes:
        group: What it is for.
        name: What it is called, such as "exponent adder".
        block: Which block it is.
        sizes: Its sizes, in the order that the block names.
        per_product: How often it is used for one product, on average; 1 of registers, which are always there.
    """

    group: Group
    name: str
    block: Block
    sizes: tuple[int, ...]
    per_product: Fraction = Fraction(1)


@dataclass(frozen=True)
class Datapath:
    """The parts that a product takes.

    Attributes:
        parts: All of them.
        sums: How many sums an output has at each level, innermost first: of chunks, trees, tiles or slices; the last
            is its total, 1.
    """

    parts: tuple[Part, ...]
    sums: tuple[int, ...]

    @property
    def registers(self) -> tuple[int, ...]:
        """Bits of each register that the sums of one output take while it is computed."""
        return tuple(part.sizes[0] for part in self.parts if part.group is Group.REGISTERS)

    @property
    def joins(self) -> Fraction:
        """How many additions of sums of groups to each other come to one product."""
        adders = (part for part in self.parts if part.group is Group.JOINS and part.name.endswith("adder"))
        return sum((part.per_product for part in adders), Fraction(0))


def shared(parts: Iterable[Part], per_product: Fraction, prefix: str = "", group: Group | None = None) -> list[Part]:
    """Return parts that are used less often, or more; none where they are not used at all.

    Args:
        parts: The parts.
        per_product: How often for each product.
        prefix: What stands before their names.
        group: What they are for; None for what each is.
    """
    if not per_product:
        return []
    return [
        replace(part, name=prefix + part.name, per_product=part.per_product * per_product, group=group or part.group)
        for part in parts
    ]


def registers(name: str, bits: int, count: int = 1) -> list[Part]:
    """Return so many registers."""
    return [Part(Group.REGISTERS, name, Block.REGISTER, (bits,))] * count
