"""Sums by slices whose accumulator is a family: `splitk4(M7E4)`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lba_onnx.arithmetic.accumulator import Accumulator
from lba_onnx.arithmetic.family import AccumulatorFamily, Exponents, Knob
from lba_onnx.arithmetic.grammar import SpecText
from lba_onnx.arithmetic.result_format import FLOAT32, ResultFormat
from lba_onnx.arithmetic.splitk.spec import SplitKSpec
from lba_onnx.arithmetic.splitk.text import SplitKText


@dataclass(frozen=True)
class SplitKFamily(AccumulatorFamily):
    """All sums by so many slices whose accumulators are of one family.

    Attributes:
        slices: How many.
        inner: The family of what sums each.
        total: The format in which the sums of slices are combined.
    """

    slices: int
    inner: AccumulatorFamily
    total: ResultFormat

    @classmethod
    def read(cls, text: SpecText, parse: Callable[[str], AccumulatorFamily]) -> "SplitKFamily":
        """Read a family from a text taken apart, and what stands in its parentheses by `parse`.

        Raises:
            ValueError: It is none.
        """
        said = SplitKText.read(text)
        return cls(said.slices, parse(said.inner), said.total)

    def _with(self, inner: str) -> str:
        return str(SplitKText(self.slices, inner, self.total))

    def __str__(self) -> str:
        """Return the text."""
        return self._with(str(self.inner))

    def at_depth(self, depth: int) -> "SplitKFamily":
        """Return the family whose slices of products of a depth have chunks of a size."""
        return replace(self, inner=self.inner.at_depth(-(-depth // self.slices)))

    @property
    def bits(self) -> str:
        """The widths of a slice's accumulator."""
        return self.inner.bits

    @property
    def binades(self) -> int:
        """How many powers of two its range spans."""
        return self.inner.binades

    @property
    def free_knobs(self) -> tuple[Knob, ...]:
        """Those of a slice."""
        return self.inner.free_knobs

    @property
    def costly_knobs(self) -> tuple[Knob, ...]:
        """Those of a slice."""
        return self.inner.costly_knobs

    def described(self) -> dict[str, Any]:
        """Return what the family of a slice tells, and the number of slices."""
        return {**self.inner.described(), "slices": self.slices}

    def with_exponents(self, exponents: Exponents) -> str:
        """Return the text of the accumulator with these largest exponents in its slices."""
        return self._with(self.inner.with_exponents(exponents))

    def with_bias(self, bias: int) -> str:
        """Return the text of the accumulator with this bias in its slices."""
        return self._with(self.inner.with_bias(bias))

    def exponents(self, accumulator: Accumulator) -> Exponents:
        """Return the largest exponents of a slice's accumulator."""
        return self.inner.exponents(_of_a_slice(accumulator))

    def tied(self, exponents: Exponents) -> Exponents:
        """Return the exponents with the products' that the rule of a slice gives."""
        return self.inner.tied(exponents)

    def exponent_above(self, magnitude: float) -> int:
        """Return the least exponent whose largest value exceeds a magnitude."""
        return self.inner.exponent_above(magnitude)

    def legal(self, exponent: int) -> int:
        """Return the nearest legal exponent."""
        return self.inner.legal(exponent)

    def least_exponent(self, exponent: int) -> int:
        """Return the exponent of the smallest value that does not become zero."""
        return self.inner.least_exponent(exponent)

    def wide(self) -> str:
        """Return the text of the same slices, each summed as if in float32, and combined in float32."""
        return str(SplitKText(self.slices, self.inner.wide(), FLOAT32))

    def widened(self, range_bits: int = 0, precision_bits: int = 0) -> "SplitKFamily | None":
        """Return the family with wider accumulators of slices."""
        inner = self.inner.widened(range_bits, precision_bits)
        return None if inner is None else replace(self, inner=inner)

    @property
    def precision_bits(self) -> int:
        """The mantissa bits of a slice's accumulator."""
        return self.inner.precision_bits

    def includes(self, accumulator: Accumulator) -> bool:
        """Tell whether slices are at least as wide as those of an accumulator, or as it is itself."""
        return self.inner.includes(_of_a_slice(accumulator))

    def like(self, accumulator: Accumulator) -> "SplitKFamily":
        """Return the family with these widths and all else of an accumulator."""
        if not isinstance(accumulator, SplitKSpec):
            return replace(self, inner=self.inner.like(accumulator))
        return SplitKFamily(accumulator.slices, self.inner.like(accumulator.inner), accumulator.total)


def _of_a_slice(accumulator: Accumulator) -> Accumulator:
    return accumulator.inner if isinstance(accumulator, SplitKSpec) else accumulator
