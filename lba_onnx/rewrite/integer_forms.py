"""What a node becomes under an accumulator of integers, as far as the model tells before anything is changed.

DequantizeLinear(x), DequantizeLinear(w) -> Conv -> QuantizeLinear      one LbaQLinearConv
QLinearConv                                                            LbaQLinearConv of the same inputs
"""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from lba_onnx.rewrite.analysis import Site


class Left(Exception):
    """Why a node stays as it is under accumulators of integers."""


class Made(Enum):
    """Outputs of the DynamicQuantizeLinear that DynamicQuantizeMatMul has inside, in their order."""

    CODES = 0
    SCALE = 1
    ZERO_POINT = 2


@dataclass(frozen=True)
class Zero:
    """A zero that the node leaves out: an operand without a zero point, or a bias in the middle of the inputs.

    Attributes:
        type: Such as "uint8".
        size: How many zeros; None for a scalar.
    """

    type: str
    size: int | None = None


@dataclass(frozen=True)
class Transposed:
    """Codes that the node takes transposed, as their dequantized values were.

    Attributes:
        codes: The value that holds them.
        perm: The order of their axes.
    """

    codes: str
    perm: tuple[int, ...]


Input: TypeAlias = "str | Zero | Made | Transposed"


@dataclass(frozen=True)
class IntegerForm:
    """What a node becomes under an accumulator of integers.

    Attributes:
        op_type: The operator, such as "LbaQLinearConv".
        inputs: Names of values, and what is made for it.
        codes: The types of what it multiplies, such as "uint8*int8".
        output_type: The type of its output, such as "uint8".
        dequantizers: The nodes whose inputs it takes in place of their outputs.
        quantizer: The node whose output it gives in place of its own.
        clamp: A node between it and the quantizer that goes with it, since it changes nothing.
        addend: A float32 bias that is added by a node of its own behind; "" for none.
    """

    op_type: str
    inputs: tuple[Input, ...]
    codes: str
    output_type: str
    dequantizers: tuple[Site, ...] = ()
    quantizer: Site | None = None
    clamp: Site | None = None
    addend: str = ""

    @property
    def is_dynamic(self) -> bool:
        """Whether the first operand is quantized by a node of its own in front."""
        return Made.CODES in self.inputs
