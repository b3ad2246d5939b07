"""What calibration may turn: an accumulator with knobs that are still free."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple

from lba_onnx.arithmetic.accumulator import Accumulator

_DEFAULT_EXPONENT = 5


class Exponents(NamedTuple):
    """The free knobs of a family: the largest exponents of its two rounding points; with the family, its biases.

    Attributes:
        product: Of the products.
        accumulator: Of the sums.
    """

    product: int
    accumulator: int

    def moved(self, product: int, accumulator: int) -> "Exponents":
        """Return the exponents larger by so much."""
        return Exponents(self.product + product, self.accumulator + accumulator)


@dataclass(frozen=True)
class Knob:
    """Something that calibration may turn.

    Attributes:
        name: Its name.
        words: What it is.
        least: Its smallest legal value.
        most: Its largest.
        value: What it is set to; None where it is free.
    """

    name: str
    words: str
    least: int
    most: int
    value: int | None = None

    def __str__(self) -> str:
        """Return it in words."""
        now = "" if self.value is None else f" {self.value},"
        return f"{self.words}:{now} {self.least} to {self.most}"


class AccumulatorFamily(ABC):
    """All accumulators that differ in their free knobs alone (a bias costs nothing); its text leaves these out.

    It makes texts, which `registry.as_spec` reads.

    What costs hardware (a width) is a costly knob: a family with other ones is another family. Of integers, which have
    no bias, the width is what is free.
    """

    @abstractmethod
    def __str__(self) -> str:
        """Return the text that `registry.parse_family` reads."""

    @property
    def is_of_integers(self) -> bool:
        """Whether its accumulators sum products of integer codes, and their bits are what is chosen."""
        return False

    @property
    def default(self) -> Exponents:
        """The exponents of a node of which nothing is known: those of M7E4b10, range ±128, as for ResNets."""
        return self.tied(Exponents(_DEFAULT_EXPONENT, _DEFAULT_EXPONENT))

    @property
    def passed_levels(self) -> frozenset[str]:
        """Levels of `wide` whose values do not have to fit."""
        return frozenset()

    def at_depth(self, depth: int) -> "AccumulatorFamily":
        """Return the family of products of a depth, where the order of sums follows from that; itself by default.

        Args:
            depth: Products of a dot product; 0 where that is not known.
        """
        return self

    @property
    @abstractmethod
    def bits(self) -> str:
        """The widths alone, as text, such as "M7E4"."""

    @property
    @abstractmethod
    def binades(self) -> int:
        """How many powers of two the range of a rounding point spans."""

    @property
    @abstractmethod
    def free_knobs(self) -> tuple[Knob, ...]:
        """What costs no hardware and is left open: the fields of `Exponents`, in their order."""

    @property
    @abstractmethod
    def costly_knobs(self) -> tuple[Knob, ...]:
        """What costs hardware and is set: the arguments of `widened`, in their order."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Return what tables and files tell beside the text: names to JSON values."""

    @abstractmethod
    def with_exponents(self, exponents: Exponents) -> str:
        """Return the text of the accumulator with these largest exponents, or with the nearest legal ones."""

    @abstractmethod
    def with_bias(self, bias: int) -> str:
        """Return the text of the accumulator with this exponent bias of its sums, legal or not; products follow."""

    @abstractmethod
    def exponents(self, accumulator: Accumulator) -> Exponents:
        """Return the largest exponents of an accumulator of the family."""

    @abstractmethod
    def tied(self, exponents: Exponents) -> Exponents:
        """Return the exponents with the products' replaced by the one that the rule gives to the sums'."""

    @abstractmethod
    def exponent_above(self, magnitude: float) -> int:
        """Return the least exponent whose largest value exceeds a positive, finite magnitude, legal or not."""

    @abstractmethod
    def legal(self, exponent: int) -> int:
        """Return the largest exponent next to this one that an accumulator of the family may have."""

    @abstractmethod
    def least_exponent(self, exponent: int) -> int:
        """Return the exponent of the smallest value that does not become zero, where the largest has this one."""

    @abstractmethod
    def wide(self) -> str:
        """Return the text of the accumulator that stands for float32, with the family's order of additions."""

    @abstractmethod
    def widened(self, range_bits: int = 0, precision_bits: int = 0) -> "AccumulatorFamily | None":
        """Return the family with so many more bits of its costly knobs; None where that is not legal.

        Args:
            range_bits: More bits of the exponent.
            precision_bits: More bits of the mantissa.
        """

    @property
    @abstractmethod
    def precision_bits(self) -> int:
        """Bits after the leading one."""

    @abstractmethod
    def includes(self, accumulator: Accumulator) -> bool:
        """Tell whether it is at least as wide as an accumulator in every costly knob."""

    @abstractmethod
    def like(self, accumulator: Accumulator) -> "AccumulatorFamily":
        """Return the family with the widths of this one and all else (order, rounding, options) of an accumulator."""
