"""Sums of integer codes in one register whose bits are still to be chosen: `int-wrap`, `int-saturate`.

A width costs hardware, and is free here all the same: it is what calibration is asked for. `Exponents.accumulator` is
the exponent of the largest sum that the register holds, two below its bits; products are exact, and
`Exponents.product` says nothing.
"""

from dataclasses import dataclass
from typing import Any, NoReturn

from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.family import AccumulatorFamily, Exponents, Knob
from lba_onnx.arithmetic.grammar import SpecText
from lba_onnx.arithmetic.integer.fields import INT32_BITS, LEAST_BITS, MOST_TERMS, Overflow

_TEXTS = {"int": Overflow.WRAP, **{f"int-{overflow.value}": overflow for overflow in Overflow}}
_SIGN_AND_LEADING_ONE = 2
_PRODUCT = 15


@dataclass(frozen=True)
class IntegerFamily(AccumulatorFamily):
    """All registers of 4 to 32 bits.

    Attributes:
        overflow: What becomes of a sum that they cannot hold.
    """

    overflow: Overflow

    @classmethod
    def read(cls, text: SpecText) -> "IntegerFamily":
        """Read a family from a text taken apart; "int" wraps.

        Raises:
            ValueError: It is none.
        """
        if text.text not in _TEXTS:
            raise text.error(f"expected {' or '.join(_TEXTS)}, whose bits are free, got {text.text!r}", text.head)
        return cls(_TEXTS[text.text])

    def __str__(self) -> str:
        """Return the text."""
        return f"int-{self.overflow.value}"

    @property
    def bits(self) -> str:
        """The same: no width is set."""
        return str(self)

    @property
    def binades(self) -> int:
        """As many as the widest register holds."""
        return INT32_BITS - 1

    @property
    def free_knobs(self) -> tuple[Knob, ...]:
        """The exponent of products, which says nothing, and that of the largest sum."""
        least, most = (bits - _SIGN_AND_LEADING_ONE for bits in (LEAST_BITS, INT32_BITS))
        sums = Knob("accumulator", "exponent of the largest sum, two below the bits", least, most)
        return Knob("product", "exponent of products, exact whatever it is", _PRODUCT, _PRODUCT), sums

    @property
    def costly_knobs(self) -> tuple[Knob, ...]:
        """None is set."""
        return ()

    @property
    def is_of_integers(self) -> bool:
        """It is."""
        return True

    @property
    def default(self) -> Exponents:
        """The widest register."""
        return Exponents(_PRODUCT, INT32_BITS - _SIGN_AND_LEADING_ONE)

    @property
    def passed_levels(self) -> frozenset[str]:
        """Of what wraps, results alone have to fit, not sums on their way."""
        return frozenset(("partial_sum",)) if self.overflow is Overflow.WRAP else frozenset()

    def described(self) -> dict[str, Any]:
        """Return nothing: its text says all."""
        return {}

    def with_exponents(self, exponents: Exponents) -> str:
        """Return the text of the register whose largest sum has this exponent, or of the nearest legal one."""
        return f"int{self.legal(exponents.accumulator) + _SIGN_AND_LEADING_ONE}-{self.overflow.value}"

    def with_bias(self, bias: int) -> NoReturn:
        """Refuse: integers have no exponents.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{self}: expected a method of calibration, got an exponent bias, {bias}; integers have none")

    def exponents(self, accumulator: Accumulator) -> Exponents:
        """Return the largest exponents of a register."""
        return Exponents(_PRODUCT, accumulator.widths[-1].bits - _SIGN_AND_LEADING_ONE)

    def tied(self, exponents: Exponents) -> Exponents:
        """Return the exponents as they are."""
        return exponents

    def exponent_above(self, magnitude: float) -> int:
        """Return the exponent of a magnitude: integers up to the next power of two have it."""
        return int(magnitude).bit_length() - 1

    def legal(self, exponent: int) -> int:
        """Return the exponent, or the nearest of a register of 4 to 32 bits."""
        least, most = (bits - _SIGN_AND_LEADING_ONE for bits in (LEAST_BITS, INT32_BITS))
        return max(least, min(exponent, most))

    def least_exponent(self, exponent: int) -> int:
        """Return that of 1."""
        return 0

    def wide(self) -> str:
        """Return 32 bits, where sums on their way are one level, and results are another."""
        return f"int{INT32_BITS}x{MOST_TERMS}/int{INT32_BITS}-wrap" if self.passed_levels else f"int{INT32_BITS}-wrap"

    def widened(self, range_bits: int = 0, precision_bits: int = 0) -> None:
        """Return None: no width is set."""
        return None

    @property
    def precision_bits(self) -> int:
        """All of them."""
        return INT32_BITS - _SIGN_AND_LEADING_ONE

    def includes(self, accumulator: Accumulator) -> bool:
        """Tell whether an accumulator is one of integers."""
        return bool(accumulator.widths)

    def like(self, accumulator: Accumulator) -> "IntegerFamily":
        """Return the family: it says nothing of what else there is of an accumulator."""
        return self
