"""What an accumulator is: the one thing that everything outside this package knows of an arithmetic."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.bounds import Bound
from lba_onnx.arithmetic.datapath import Datapath
from lba_onnx.arithmetic.held_range import HeldRange as HeldRange
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.rounding_points import RoundingPoint
from lba_onnx.arithmetic.special_values import SpecialValues
from lba_onnx.arithmetic.widths import Width

Float64s = NDArray[np.float64]
Masks = NDArray[np.bool_]
Terms = slice | NDArray[np.int64]
"""Products of a dot product by their k; the k behind the last is what its sum starts from."""


@dataclass(frozen=True)
class Cause:
    """Something by which an accumulator loses, which can be switched off to see how much.

    Attributes:
        name: Its name, such as "product_overflow".
        kind: What is lost, such as "overflow"; causes of one kind are the same loss in several places.
        place: Where, such as "product"; "" for all places together.
        words: The cause in a sentence, such as "overflow of products".
        remedy: What would help, as the end of a sentence.
        is_order: Whether it is the order of additions, not what one of them drops.
    """

    name: str
    kind: str
    place: str
    words: str
    remedy: str
    is_order: bool = False


class ProductOrder(Enum):
    """In which order the products of a dot product are taken; its value says so in words."""

    NATURAL = "the order of k: along the depth of a product; of a convolution, channel by channel, each kernel in rows"
    CHANNELS_LAST = (
        "the order of k along the depth; of a convolution, position by position of the kernel, channels fastest"
    )


@dataclass(frozen=True, eq=False)
class Entering:
    """What enters a sum at a step.

    Attributes:
        terms: Its products.
        product: The exact product, where it is one; None for a sum of products.
        product_overflows: Where the product, as it is added, is the largest magnitude of its format; else None.
        value: What is added: the quantized product, or the sum.
        onto: What it is added to.
    """

    terms: Terms
    product: Float64s | None
    product_overflows: Masks | None
    value: Float64s
    onto: Float64s

    def moved(self, by: int) -> "Entering":
        """Return the same of products that stand so much further back."""
        return replace(self, terms=_moved(self.terms, by))


@dataclass(frozen=True, eq=False)
class Step:
    """One addition of a dot product, for an array of outputs; arrays broadcast to the outputs' shape.

    Attributes:
        level: Index of the level of the sum, in `Accumulator.levels`.
        since: First k whose product is in the sum.
        start: First k whose product this step adds.
        stop: One more than the last.
        product: The exact product k = start, which this step adds; None where it adds a sum of products.
        product_overflows: Where the product, as it is added, is the largest magnitude of its format; else None.
        addend: What is added: the quantized product, or the sum of a group of products (a chunk).
        before: The accumulator (the group's sum, or the total) before the step.
        after: The accumulator after the step.
        overflows: Where `after` is the largest magnitude of its format.
        sides: What enters the sum, where it is not just what the step adds: both of two neighbours in an adder tree;
            nothing, where nothing is rounded.
        inside: What is in the sum after the step, where that is not all from `since` to `stop`.
    """

    level: int
    since: int
    start: int
    stop: int
    product: Float64s | None
    product_overflows: Masks | None
    addend: Float64s
    before: Float64s
    after: Float64s
    overflows: Masks
    sides: tuple[Entering, ...] | None = None
    inside: Terms | None = None

    @property
    def entering(self) -> tuple[Entering, ...]:
        """What enters the sum at this step."""
        if self.sides is not None:
            return self.sides
        terms = slice(self.start, self.stop)
        return (Entering(terms, self.product, self.product_overflows, self.addend, self.before),)

    @property
    def held(self) -> Terms:
        """What is in the sum after the step."""
        return slice(self.since, self.stop) if self.inside is None else self.inside

    def moved(self, by: int) -> "Step":
        """Return the same step of a dot product whose products stand so much further back."""
        return replace(
            self,
            since=self.since + by,
            start=self.start + by,
            stop=self.stop + by,
            sides=None if self.sides is None else tuple(side.moved(by) for side in self.sides),
            inside=None if self.inside is None else _moved(self.inside, by),
        )


def _moved(terms: Terms, by: int) -> Terms:
    return slice(terms.start + by, terms.stop + by, terms.step) if isinstance(terms, slice) else terms + by


@dataclass(frozen=True)
class CodeSums:
    """How products of integer codes are summed: of x + x_shift and w + w_shift.

    Exact corrections behind make of it the sum of (x - x's zero point) * (w - w's zero point).

    Attributes:
        accumulator: What sums them.
        x_shift: What is added to codes of x; None for minus their zero point.
        w_shift: Likewise for the weights.
    """

    accumulator: "Accumulator"
    x_shift: int | None
    w_shift: int | None


def accumulator_attribute(product: str = "") -> str:
    """Return the name of the attribute that holds the accumulator of a node's only product, or of one of several."""
    return f"accumulator_{product}" if product else "accumulator"


class Accumulator(ABC):
    """The arithmetic of one dot product; immutable, hashable, and the same as its text.

    Attributes:
        kind: The name of the kind, as in the registry.
        summary: The kind in a line.
        example: A text of the kind.
        further_examples: Texts and names of the kind that people look for.
        operand_types: Types of tensors whose values it takes as they are, as numpy names them: those of floats, or of
            integer codes.
    """

    kind: ClassVar[str]
    summary: ClassVar[str]
    example: ClassVar[str]
    further_examples: ClassVar[tuple[str, ...]] = ()
    operand_types: ClassVar[tuple[str, ...]]

    @property
    @abstractmethod
    def result_type(self) -> str:
        """The type that holds its results exactly; tensors of another operand type are rounded to it once."""

    @property
    @abstractmethod
    def product_order(self) -> ProductOrder:
        """The order in which it takes products."""

    @property
    def sums_codes(self) -> bool:
        """Whether its operands are integer codes with zero points, not floats."""
        return "uint8" in self.operand_types

    def check_operands(self, *types: str) -> None:
        """Check that it takes operands of some types, as numpy names them.

        Raises:
            ValueError: It does not: an accumulator of integers where floats are summed, or the reverse.
        """
        wrong = next((name for name in types if name not in self.operand_types), None)
        if wrong is not None:
            raise ValueError(f"expected an accumulator of {wrong}, got {self}, of {' and '.join(self.operand_types)}")

    def of_codes(self, x_type: str, w_type: str, *, is_depthwise: bool = False) -> "CodeSums":
        """Return how products of integer codes are summed.

        Args:
            x_type: The type of the codes that meet the weights, as numpy names it.
            w_type: That of the weights.
            is_depthwise: Whether it is a convolution with one input channel and one filter in each group.

        Raises:
            ValueError: It is an accumulator of floats.
        """
        self.check_operands(x_type, w_type)
        raise ValueError(f"expected an accumulator of integers, got {self}")

    @property
    def widths(self) -> tuple[Width, ...]:
        """The registers that sums of integers are held in, innermost first; none of floats."""
        return ()

    def with_widths(self, bits: Sequence[int]) -> "Accumulator | None":
        """Return itself with registers of so many bits, in the order of `widths`; None where there is no choice."""
        return None

    @property
    def processors(self) -> tuple[str, str] | None:
        """Of a shipping kernel, the processors that run it, and those whose own one is exact; None for all else."""
        return None

    def can_overflow(self, weights: NDArray[Any], *, is_depthwise: bool = False) -> bool | None:
        """Tell whether some codes make a shipping kernel's sums of these weights overflow; None for all other kinds.

        Args:
            weights: uint8 or int8 [outputs, depth], products in their order.
            is_depthwise: As in `of_codes`.
        """
        return None

    @property
    @abstractmethod
    def watched(self) -> frozenset[str]:
        """What its steps tell gradient estimators, of "overflow" and "difference"; see `lba_onnx.estimators`."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the text that `registry.parse_accumulator` reads back as an equal accumulator."""

    def additions(self, depth: int) -> NDArray[np.int64]:
        """Return through how many rounded additions each product's share of the sum still goes, level by level.

        Args:
            depth: How many products there are.

        Returns:
            int64 [levels, depth]; no level where additions are exact, or the kind does not tell.
        """
        return np.zeros((0, depth), np.int64)

    def rounding_points(self, depth: int) -> tuple[RoundingPoint, ...] | None:
        """Return where a dot product is rounded, and how often each product's share; None where the kind does not tell.

        Args:
            depth: How many products there are.
        """
        return None

    def to_attributes(self, product: str = "") -> dict[str, str]:
        """Return the accumulator as attributes of a node.

        Args:
            product: Which of the node's products has it; "" for the only one.
        """
        return {accumulator_attribute(product): str(self)}

    def to_json(self) -> dict[str, Any]:
        """Return the accumulator as a JSON object: its text, and what the kind tells of it besides."""
        return {"accumulator": str(self), **self.described()}

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """Return what tables and files tell beside the text: names to JSON values; every one follows from the text."""

    @abstractmethod
    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return what it is in words and numbers: headings and texts, for people."""

    @abstractmethod
    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        """Return the exact dot product by the definition, one value at a time.

        Args:
            x: Float32 values [depth], as floats.
            w: Float32 values [depth], as floats.
            initial: What the last chain of sums starts from, once it is rounded to the accumulator.
            place: The row and the column of the output, for kinds that draw random bits.
        """

    @abstractmethod
    def step(self, x: float, w: float, partial_sum: float) -> float:
        """Return the innermost sum after one product more, by the definition.

        Args:
            x: A float32 value.
            w: A float32 value.
            partial_sum: A value of the accumulator, or NaN.
        """

    @abstractmethod
    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        """Yield the additions of dot products in order; the last one of a dot product gives its result.

        Args:
            products: float64, the exact products for each k in turn; each broadcasts to `shape`.
            depth: How many.
            shape: Shape of the outputs.
            places: Where the outputs stand, for kinds that draw random bits; None for one row and one column, 0.
            start: What the last chain of sums starts from, of `shape`, as `start_step` leaves it; None for zero.
        """

    def start_step(self, initial: Float64s, depth: int, places: Places) -> Step:
        """Return the step that rounds values to the accumulator, for the last chain of sums to start from.

        Args:
            initial: float64, in the shape of the outputs.
            depth: How many products follow; as k it stands for what a sum starts from.
            places: Where the outputs stand, for kinds that draw random bits.

        Raises:
            ValueError: Sums of the kind start from zero alone.
        """
        raise ValueError(f"{self}: expected a kind whose sums may start from a value, got {self.kind}")

    @property
    @abstractmethod
    def levels(self) -> tuple[Level, ...]:
        """The levels whose values are counted and ranged, innermost first: products, sums of them, the total."""

    @property
    def events(self) -> tuple[tuple[str, str], ...]:
        """What is counted: pairs of a level's name and an event's."""
        return tuple((level.name, event) for level in self.levels for event in level.events)

    @property
    def special_values(self) -> SpecialValues | None:
        """What NaN, infinity and the sign of zero become; None where operands are integers."""
        return SpecialValues.of(self.dot)

    @abstractmethod
    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        """Return what the values of each level are at most, in the order of `levels`.

        Args:
            largest_x: No element of one operand is larger in magnitude.
            largest_w: Of the other.
            depth: Products per dot product.

        Raises:
            ValueError: A magnitude is negative or not finite, or the depth is negative.
        """

    @property
    @abstractmethod
    def ranges(self) -> tuple[HeldRange, ...]:
        """What each rounding point holds, products first."""

    @abstractmethod
    def wide(self) -> "Accumulator":
        """Return the accumulator that stands for float32, with the same order of additions; of integers, for int32."""

    @property
    @abstractmethod
    def causes(self) -> tuple[Cause, ...]:
        """What it may lose by."""

    @abstractmethod
    def without(self, cause: str, depth: int) -> "Accumulator | None":
        """Return itself with one cause switched off, as far as that goes; None where nothing is to switch off.

        Args:
            cause: The name of one of `causes`.
            depth: Products per dot product.
        """

    @property
    def prescribed_operands(self) -> Operands | None:
        """The formats of what is multiplied where the accumulator is known by a name; None where nothing says."""
        return None

    def datapath(self, operands: Operands, depth: int) -> Datapath | None:
        """Return what hardware one product takes, multiplier to registers; None where the kind does not tell.

        Args:
            operands: The formats of what is multiplied.
            depth: Products per dot product, at least 1.

        Raises:
            ValueError: It sums no products of such operands.
        """
        return None

    def limit_note(self, cause: str) -> str:
        """Return in words how far `without` falls short of what the cause asks for; "" where it does not."""
        return ""

    def in_product(self, key: str) -> "Accumulator":
        """Return itself as it computes one product of a model; with random bits of its own where it draws any.

        Args:
            key: What the model calls the product.
        """
        return self

    def in_slice(self, index: int) -> "Accumulator":
        """Return itself as it sums one slice of a dot product; with random bits of its own where it draws any.

        Args:
            index: Which slice, from 0 on.
        """
        return self

    def relaxed(self, is_relaxed: bool = True) -> "Accumulator":
        """Return itself as the first stage of dual-stage training computes, in which no small value is lost.

        Args:
            is_relaxed: Whether to relax; False takes it back, for the second stage.

        Raises:
            ValueError: The kind knows no such stage.
        """
        raise ValueError(f"{self}: expected a kind whose underflow can be switched, got {self.kind}")

    @property
    def family_text(self) -> str | None:
        """The text of all accumulators that differ from it in what calibration chooses; None where it chooses none."""
        return None

    @property
    def has_given_biases(self) -> bool:
        """Whether a standard gives its formats their biases, so that values have to be scaled to fit."""
        return False

    @property
    def options(self) -> Mapping[str, str]:
        """What the text's options say, defaults included: keys to values."""
        return {}
