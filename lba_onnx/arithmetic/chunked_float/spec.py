"""Sums of floats in chunks: two formats, a chunk size, a rounding, and whether small values underflow."""

import functools
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Accumulator, Cause, Float64s, HeldRange, ProductOrder, Step
from lba_onnx.arithmetic.bounds import Bound
from lba_onnx.arithmetic.chunked_float import arrays, definition, explanation, hardware, limits, losses, points
from lba_onnx.arithmetic.chunked_float.fields import EXACT, WIDE_FORMAT, ChunkedFloatFields
from lba_onnx.arithmetic.chunked_float.named import NAMED, OPERANDS, without_name
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, product_bias
from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.chunked_float.text import options_of, read_formats, read_rules, write_options
from lba_onnx.arithmetic.datapath import Datapath
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.grammar import SpecText, read_text
from lba_onnx.arithmetic.levels import Level, named_levels
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.arithmetic.rounding_points import RoundingPoint
from lba_onnx.integers import as_integer

_SMALLEST_PRODUCT, _LARGEST_PRODUCT = 2.0**-298, 2.0**256  # of two float32 values
_JSON_KEYS = {"product_format", "accumulator_format", "chunk_size", "underflow"}


@dataclass(frozen=True)
class AccumulatorSpec(ChunkedFloatFields, Accumulator):
    """The arithmetic of one dot product whose products and sums are floats; see `ChunkedFloatFields` for its fields."""

    kind = "chunked-float"
    summary = "floats of any width, rounded in any way, summed in chains, chains of chains, or adder trees"
    example = "M7E4b12/M7E4b10,chunk=16,round=nearest"
    further_examples = (
        "M7E4b12/M7E4b10",
        "M7E4b12/M7E4b10,chunk=9x8",
        "M7E4b12/M7E4b10,tree=16",
        "M7E4b12/M7E4b10,chunk=32,lanes=2",
        "M7E4b10,product=exact",
        "M7E4b12/M7E4b10,round=stochastic8",
        *NAMED,
    )
    operand_types = ("float32", "float16")
    result_type = "float32"
    product_order = ProductOrder.NATURAL
    watched = frozenset(("overflow", "difference"))

    @classmethod
    def parse(cls, text: str, chunk_size: int | None = DEFAULT_CHUNK_SIZE, underflow: bool = True) -> "AccumulatorSpec":
        """Read a spec from text: one format, or two, then options in any order.

        - `"M7E4b10"` is the accumulator; the product has the same bits and the bias of `product_bias`.
        - `"M7E4b12/M7E4b10"` names product and accumulator.
        - options such as `",chunk=9x8"` and `",round=nearest"` may follow; docs/numerics.md lists them.

        Args:
            text: What `str` of a spec writes, or a shorter form.
            chunk_size: Chunk size when the text names none.
            underflow: Underflow when the text does not mention it.

        Raises:
            TypeError: `text` is not a string, or an argument has the wrong type.
            ValueError: The text has another form, or describes something illegal; the message says at which character.
        """
        return cls.read(read_text(text), chunk_size, underflow)

    @classmethod
    def read(
        cls, text: SpecText, chunk_size: int | None = DEFAULT_CHUNK_SIZE, underflow: bool = True
    ) -> "AccumulatorSpec":
        """Read a spec from a text taken apart; see `parse`."""
        text = without_name(text)
        rules = read_rules(text, chunk_size, underflow)
        product, accumulator = read_formats(text, rules)
        if product is None and not rules.exact_products:
            product = _product_format_for(accumulator, rules)
        return cls(product, accumulator, **rules.rules)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "AccumulatorSpec":
        """Read a spec from an object of the time before specs were kept as text.

        Raises:
            TypeError: `value` is not an object, or an entry has the wrong type.
            ValueError: Entries are missing, unknown or out of range.
        """
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a JSON object with {sorted(_JSON_KEYS)}, got {type(value).__name__}")
        if set(value) != _JSON_KEYS:
            raise ValueError(f"expected the entries {sorted(_JSON_KEYS)}, got {sorted(map(str, value))}")
        product, accumulator = (FloatFormat.parse(value[name]) for name in ("product_format", "accumulator_format"))
        return cls(product, accumulator, chunk_size=value["chunk_size"], underflow=value["underflow"])

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "AccumulatorSpec":
        """Read a spec from the attributes of a node of the time before specs were kept as text.

        Args:
            attributes: Names to values; strings may be bytes, as ONNX stores them. The formats are
                required, `chunk_size` defaults to 16 and `underflow` to 1.

        Raises:
            TypeError: An attribute has the wrong type.
            ValueError: A format is missing, or an attribute is out of range.
        """
        chunk_size = as_integer("chunk_size", attributes.get("chunk_size", DEFAULT_CHUNK_SIZE))
        underflow = as_integer("underflow", attributes.get("underflow", 1))
        if underflow not in (0, 1):
            raise ValueError(f"expected underflow to be 0 or 1, got {underflow}")
        product, accumulator = (_format_attribute(attributes, f"{name}_format") for name in ("product", "accumulator"))
        return cls(product, accumulator, chunk_size=None if chunk_size == 0 else chunk_size, underflow=bool(underflow))

    def __str__(self) -> str:
        """Return the text form that `parse` reads: both formats, then what is not the default."""
        products = "" if self.product_format is None else f"{self.product_format}/"
        return f"{products}{self.accumulator_format}{write_options(self)}"

    def described(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        product = None if self.product_format is None else str(self.product_format)
        formats = {"product_format": product, "accumulator_format": str(self.accumulator_format)}
        return {**formats, **super().described()}

    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return widths, ranges, steps and the order of additions, in words and numbers."""
        return explanation.explained(self)

    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        """Return the exact dot product by the definition, one value at a time."""
        return definition.dot(x, w, self, initial, place)

    def step(self, x: float, w: float, partial_sum: float) -> float:
        """Return one multiply-accumulate step, quantize_acc(quantize_prod(x * w) + partial_sum)."""
        return definition.step(x, w, partial_sum, self)

    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        """Yield the additions of dot products in order: those of each chunk, then the one of its sum to the total."""
        return arrays.steps(products, depth, shape, self, places, start)

    def start_step(self, initial: Float64s, depth: int, places: Places) -> Step:
        """Return the step that quantizes values to the accumulator format, for the last chain of sums to start from."""
        return arrays.start_step(initial, depth, self, places)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Products, the sums of each level of groups, and the total."""
        subnormal = ("subnormal",) if self.has_subnormals else ()
        of_products = () if self.exact_products else ("overflow", "underflow", *subnormal)
        return named_levels(len(self.order(1).lengths), of_products, ("overflow", "underflow", "swamped", *subnormal))

    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        """Return the bounds of products, of the sums of each level of groups, and of the total."""
        return limits.bounds(self, self.levels, largest_x, largest_w, depth)

    @property
    def ranges(self) -> tuple[HeldRange, ...]:
        """What the product format and the accumulator format hold; exact products reach as far as any do."""
        formats = {"product": self.product_format, "accumulator": self.accumulator_format}
        return tuple(
            HeldRange(name, EXACT, _SMALLEST_PRODUCT, _LARGEST_PRODUCT)
            if held is None
            else HeldRange(name, str(held), held.smallest_kept(self.underflow), held.max_value)
            for name, held in formats.items()
        )

    def additions(self, depth: int) -> NDArray[np.int64]:
        """Return how many additions of each level of chains the sum that holds a product still goes through."""
        additions = self.order(depth).additions(depth)
        return additions[1:] if self.lanes else additions

    def rounding_points(self, depth: int) -> tuple[RoundingPoint, ...]:
        """Return the roundings of products and of each level of sums."""
        return points.rounding_points(self, self.levels, depth)

    def wide(self) -> "AccumulatorSpec":
        """Return M22E7b63: 23 significant bits, and magnitudes from 2^-63 up to 2^65; the same order and underflow."""
        return AccumulatorSpec(
            WIDE_FORMAT,
            WIDE_FORMAT,
            chunk_size=self.chunk_size,
            outer_chunks=self.outer_chunks,
            tree=self.tree,
            lanes=self.lanes,
            starts_from_carry=self.starts_from_carry,
            underflow=self.underflow,
        )

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Overflow, underflow and rounding, of products, of sums and of both, and the size of the chunks."""
        return losses.causes(self)

    def without(self, cause: str, depth: int) -> "AccumulatorSpec | None":
        """Return the spec with one cause switched off, as far as formats may go; None where there is nothing."""
        return losses.without(self, cause, depth)

    @property
    def prescribed_operands(self) -> Operands | None:
        """What the source of a named accumulator multiplies, whether the text has said the name or what it means."""
        return _prescribed().get(self)

    def datapath(self, operands: Operands, depth: int) -> Datapath:
        """Return the parts of a multiply-add, or of an adder tree, of the joins and of the registers."""
        return hardware.datapath(self, operands, depth)

    def limit_note(self, cause: str) -> str:
        """Return in words how far `without` falls short of what the cause asks for; "" where it does not."""
        return losses.limit_note(self, cause)

    def in_product(self, key: str) -> "AccumulatorSpec":
        """Return the spec with a seed that follows from its own and the key; itself where nothing is drawn."""
        if self.rounding is not Rounding.STOCHASTIC:
            return self
        digest = hashlib.sha256(f"{self.seed}/{key}".encode()).digest()
        return replace(self, seed=int.from_bytes(digest[:8], "little"))

    def in_slice(self, index: int) -> "AccumulatorSpec":
        """Return the spec with a seed so much larger; itself where nothing is drawn."""
        if self.rounding is not Rounding.STOCHASTIC:
            return self
        return replace(self, seed=(self.seed + index) % 2**64)

    def relaxed(self, is_relaxed: bool = True) -> "AccumulatorSpec":
        """Return the spec with underflow off; with `is_relaxed` False, on."""
        if self.has_subnormals or self.has_dlfloat_codes:
            raise ValueError(f"{self}: expected formats whose underflow can be switched, got other codes")
        return replace(self, underflow=not is_relaxed)

    @property
    def has_given_biases(self) -> bool:
        """Whether its formats are those of IEEE 754, or of DLFloat."""
        return self.accumulator_format.is_ieee or self.has_dlfloat_codes

    @property
    def family_text(self) -> str | None:
        """The text of all specs with other biases; None where formats differ in their bits, or have other codes."""
        if self.has_given_biases:
            return None
        accumulator = FormatFamily.of(self.accumulator_format)
        if self.product_format is not None and FormatFamily.of(self.product_format) != accumulator:
            return None
        return f"{accumulator}{write_options(self)}"

    @property
    def options(self) -> dict[str, str]:
        """Chunk, tree where there is one, underflow and round, as in the text."""
        return options_of(self)


def _product_format_for(accumulator_format: FloatFormat, rules: SumRules) -> FloatFormat:
    if accumulator_format.is_ieee:
        return accumulator_format
    bias = product_bias(accumulator_format.exponent_bias, rules.group_size)
    try:
        return replace(accumulator_format, exponent_bias=bias)
    except ValueError as error:
        raise ValueError(
            f"accumulator {accumulator_format} with chunk_size {rules.group_size} asks for a product bias of {bias}: "
            f"{error}; name both formats, as product/accumulator"
        ) from None


def _format_attribute(attributes: Mapping[str, Any], name: str) -> FloatFormat:
    if name not in attributes:
        raise ValueError(f"expected the attribute {name}, got none")
    text = attributes[name]
    try:
        return FloatFormat.parse(text.decode() if isinstance(text, bytes) else text)
    except ValueError as error:
        raise ValueError(f"attribute {name}: {error}") from None


@functools.cache
def _prescribed() -> dict[AccumulatorSpec, Operands]:
    """Return the accumulators whose source says what is multiplied."""
    return {AccumulatorSpec.parse(NAMED[name]): Operands.parse(text) for name, text in OPERANDS.items()}
