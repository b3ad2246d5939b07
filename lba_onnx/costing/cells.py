"""How many cells each block of a datapath is made of; a cost table prices cells in gates.

    adder(4)            3 FA + 1 HA              ripple carry
    multiplier(5, 5)    25 AND2 + 25 FA          an array
    shifter(15, 4)      60 MUX2                  a stage for each bit of the distance

The formulas of adders, multipliers, multiplexers, shifters, leading-zero detectors and incrementers are those of
docs/cost.md's reconstruction of the paper's appendix E.
"""

from collections.abc import Callable, Mapping

from lba_onnx.arithmetic.datapath import Block, Part
from lba_onnx.arithmetic.float_parts import ceil_log2

CELLS = ("AND2", "OR2", "XOR2", "MUX2", "HA", "FA", "DFF")
"""The cells: gates of two inputs, a multiplexer of two, half and full adder, flip-flop."""

_Counts = Mapping[str, int]
_FEEDBACK_XORS = 3  # of a linear-feedback shift register of most lengths

_FORMULAS: Mapping[Block, Callable[..., _Counts]] = {
    Block.ADDER: lambda bits: {"FA": bits - 1, "HA": 1},
    Block.MULTIPLIER: lambda rows, columns: {"AND2": rows * columns, "FA": rows * columns},
    Block.MULTIPLEXER: lambda bits: {"MUX2": bits},
    Block.SHIFTER: lambda bits, stages: {"MUX2": bits * stages},
    Block.LEADING_ZEROS: lambda bits: {"AND2": bits - 1, "OR2": bits - 1 + ceil_log2(bits) ** 2},
    Block.INCREMENTER: lambda bits: {"HA": bits},
    Block.OR_TREE: lambda bits: {"OR2": bits},
    Block.NEGATION: lambda bits: {"XOR2": bits, "HA": bits},
    Block.RANDOM_BITS: lambda bits: {"DFF": bits, "XOR2": _FEEDBACK_XORS},
    Block.LOGIC: lambda count: {"AND2": count},
    Block.REGISTER: lambda bits: {"DFF": bits},
}


def cells_of(part: Part) -> _Counts:
    """Return how many of each cell one instance of a part is made of."""
    return _FORMULAS[part.block](*part.sizes)
