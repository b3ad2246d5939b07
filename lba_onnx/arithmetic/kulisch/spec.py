"""Exact sums: `kulisch`, or `kulisch(M10E5b15),round=truncate` with another format of the result."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lba_onnx.arithmetic.accumulator import Accumulator, Cause, Float64s, HeldRange, ProductOrder, Step
from lba_onnx.arithmetic.bounds import Bound, check_summary
from lba_onnx.arithmetic.chunked_float.fields import EXACT
from lba_onnx.arithmetic.chunked_float.losses import WIDER
from lba_onnx.arithmetic.datapath import Datapath
from lba_onnx.arithmetic.grammar import Part, SpecText
from lba_onnx.arithmetic.kulisch import definition, hardware
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.result_format import FLOAT32, ResultFormat
from lba_onnx.arithmetic.rounding_points import RoundingPoint

_HEAD = re.compile(r"kulisch(?:\((.*)\))?", re.ASCII | re.DOTALL)
_BEGINNING = "kulisch"
_SMALLEST_PRODUCT, _LARGEST_PRODUCT = 2.0**-298, 2.0**256  # of two float32 values
_REMEDIES = {
    "overflow": "a result's range that reaches further up would help",
    "underflow": "a result's range that reaches further down would help",
    "rounding": "more mantissa bits of the result would help",
}


def is_kulisch(text: SpecText) -> bool:
    """Tell whether a text begins as one of this kind does."""
    return text.head.text.startswith(_BEGINNING)


@dataclass(frozen=True)
class KulischSpec(Accumulator):
    """The exact sum of exact products, rounded once.

    Attributes:
        result: The format that the sum is rounded to.
    """

    kind = "kulisch"
    summary = "the exact sum of exact products, rounded once to a format"
    example = "kulisch(M7E4b10)"
    further_examples = ("kulisch", "kulisch(float16)")
    operand_types = ("float32", "float16")
    result_type = "float32"
    product_order = ProductOrder.NATURAL
    watched = frozenset(("overflow", "difference"))

    result: ResultFormat = FLOAT32

    @classmethod
    def read(cls, text: SpecText) -> "KulischSpec":
        """Read a spec from a text taken apart.

        Raises:
            ValueError: It is none.
        """
        match = _HEAD.fullmatch(text.head.text)
        if match is None:
            raise text.error(f"expected kulisch or kulisch(<format>), got {text.head.text!r}", text.head)
        inside = Part(FLOAT32.head if match[1] is None else match[1].strip(), text.head.start + len(_BEGINNING) + 1)
        return cls(ResultFormat.read(text, inside, text.options))

    def __str__(self) -> str:
        """Return the text."""
        named = "" if self.result.head == FLOAT32.head else f"({self.result.head})"
        return f"{_BEGINNING}{named}{self.result.options}"

    def described(self) -> dict[str, Any]:
        """Return the format of the result."""
        return self.result.described()

    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return what is exact and what is rounded."""
        return (
            ("products", "exact"),
            ("sums", "exact, as in a register wide enough for every product: their order has no say"),
            ("rounding", f"once, of the whole sum, to {self.result.words}"),
            ("zeros", "an exact sum of zero is +0"),
        )

    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        """Return the exact sum rounded once."""
        return definition.dot(x, w, initial, self.result)

    def step(self, x: float, w: float, partial_sum: float) -> float:
        """Return the rounded sum of one product and a value."""
        return definition.dot((x,), (w,), partial_sum, self.result)

    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        """Yield the additions of dot products, told to 53 bits, then the rounding of the exact sums."""
        return definition.steps(products, depth, shape, self.result, start)

    def start_step(self, initial: Float64s, depth: int, places: Places) -> Step:
        """Return the step that holds values in the sum, which loses nothing of them."""
        return definition.start_step(initial, depth)

    def rounding_points(self, depth: int) -> tuple[RoundingPoint, ...]:
        """Return the one rounding of the whole sum."""
        return (self.result.rounding_point("total", np.ones(depth, np.int64)),)

    @property
    def has_given_biases(self) -> bool:
        """Whether the result's format is of IEEE 754."""
        return self.result.number_format.is_ieee

    @property
    def levels(self) -> tuple[Level, ...]:
        """Products and the exact sum, to which nothing happens, and its rounding."""
        return Level("product", ()), Level("partial_sum", ()), Level("total", self.result.events)

    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        """Return the bounds of products, of their exact sum, and of the result."""
        check_summary(largest_x, largest_w, depth)
        product = float(largest_x) * float(largest_w)
        exact = Bound("partial_sum", depth * product * (1 + 1e-12), fits=True)
        total = self.result.bound("total", exact.largest, 1, 1)
        return Bound("product", product, fits=True), exact, total

    @property
    def ranges(self) -> tuple[HeldRange, ...]:
        """What products reach, and what the result holds."""
        held = self.result.number_format
        products = HeldRange("product", EXACT, _SMALLEST_PRODUCT, _LARGEST_PRODUCT)
        return products, HeldRange("accumulator", str(held), held.smallest_kept(), held.max_value)

    def wide(self) -> "KulischSpec":
        """Return the sum rounded to float32."""
        return KulischSpec()

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Overflow, underflow and rounding of the result."""
        return tuple(Cause(kind, kind, "", f"{kind} of the result", remedy) for kind, remedy in _REMEDIES.items())

    def datapath(self, operands: Operands, depth: int) -> Datapath:
        """Return the parts of a multiplier, of a wide fixed-point adder, and of one rounding."""
        return hardware.datapath(self.result, operands, depth)

    def without(self, cause: str, depth: int) -> "KulischSpec | None":
        """Return the spec with a wider format of the result; None where no wider one is legal."""
        wider = WIDER[cause](self.result.number_format)
        return (
            None
            if wider == self.result.number_format
            else replace(self, result=replace(self.result, number_format=wider))
        )
