"""The datapath of a chunked float: a fused multiply-add for each product, or multipliers below an adder tree.

chain    multiply-add                        once a product
tree     multiplier, then adders             trees of n products have n - 1 adders
joins    an adder of two sums                each group joins the next level but the first, which is loaded
"""

from fractions import Fraction
from itertools import pairwise

from lba_onnx.arithmetic.chunked_float.fields import ChunkedFloatFields
from lba_onnx.arithmetic.datapath import Datapath, Group, Part, registers, shared
from lba_onnx.arithmetic.float_parts import (
    FloatAdder,
    multiplier_parts,
    needed_exponent_bits,
    product_rounding_parts,
    range_parts,
)
from lba_onnx.arithmetic.operands import Operands


def datapath(spec: ChunkedFloatFields, operands: Operands, depth: int) -> Datapath:
    """Return what one product of a dot product of a depth takes."""
    once = Fraction(1, depth)
    sums = _of_sums(spec)
    groups = [-(-depth // length) for length in spec.order(depth).lengths]
    levels = (*groups, 1) if spec.order(depth).has_groups else (1,)
    joined = sum(inner - outer for inner, outer in pairwise(levels))
    if spec.starts_from_carry:
        joined -= groups[0] - (groups[1] if len(groups) > 1 else 1)
    return Datapath(
        (
            *multiplier_parts(operands),
            *_product_parts(spec, operands),
            *(_in_trees(spec, operands, depth) if spec.tree else _adding(spec, operands)),
            *shared(sums, _lanes_added(spec, depth) * once, "lanes: ", Group.JOINS),
            *shared(sums, joined * once, "joins: ", Group.JOINS),
            *_registers(spec),
        ),
        levels,
    )


def _of_sums(spec: ChunkedFloatFields) -> list[Part]:
    """Return what adds two sums, and keeps the result in range."""
    adder = FloatAdder.of_sums(spec.accumulator_format, spec.rounding, spec.random_bits, spec.underflow)
    return [*adder.parts, *range_parts(spec.accumulator_format)]


def _adding(spec: ChunkedFloatFields, operands: Operands) -> list[Part]:
    """Return what adds a product to a sum, and keeps the result in range."""
    held = spec.accumulator_format
    exponent_bits = needed_exponent_bits(held, spec.underflow)
    adder = FloatAdder(held.mantissa_bits, exponent_bits, operands.product_bits, spec.rounding, spec.random_bits)
    return [*adder.parts, *range_parts(held)]


def _product_parts(spec: ChunkedFloatFields, operands: Operands) -> list[Part]:
    if spec.product_format is None:
        return []
    rounded = product_rounding_parts(spec.product_format, spec.rounding, operands, spec.random_bits)
    return shared([*rounded, *range_parts(spec.product_format)], Fraction(1), "product: ")


def _in_trees(spec: ChunkedFloatFields, operands: Operands, depth: int) -> list[Part]:
    """Return the adders of all trees: the first ones add products, the others sums."""
    full, rest = divmod(depth, spec.tree or depth)
    trees = full + (rest > 0)
    pairs = full * ((spec.tree or depth) // 2) + rest // 2
    others = depth - trees + (trees if spec.starts_from_carry else 0) - pairs
    return [
        *shared(_adding(spec, operands), Fraction(pairs, depth), "tree of products: "),
        *shared(_of_sums(spec), Fraction(others, depth), "tree of sums: "),
    ]


def _lanes_added(spec: ChunkedFloatFields, depth: int) -> int:
    """Return how many additions put lanes together."""
    if spec.lanes is None:
        return 0
    full, rest = divmod(depth, spec.chunk_size or depth)
    return full * (min(spec.lanes, spec.chunk_size or depth) - 1) + max(min(spec.lanes, rest) - 1, 0)


def _registers(spec: ChunkedFloatFields) -> list[Part]:
    """Return the registers of the sums: one for each chain of chains, and for each lane."""
    held = spec.accumulator_format
    bits = 1 + held.mantissa_bits + needed_exponent_bits(held, spec.underflow)
    order = spec.order(1)
    inner = max(order.last_chain - order.is_tree, 0)
    lanes = (spec.lanes or 1) - 1
    return [*registers("total", bits), *registers("partial sum", bits, inner + lanes)]
