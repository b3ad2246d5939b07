"""The formats of what a product multiplies, as far as the model tells them.

DequantizeLinear(codes)          those of the codes: uint8, int4, float8e4m3fn
Cast of a narrower type          the same
Reshape, Slice and so on         that of their input
MatMulNBits                      its weights have integers of so many bits
float32, float16 and so on       nothing: they are what values are stored in, and hold those of narrower formats

What it does not tell, the user does; else the accumulator, where it has a name; else it is the paper's format.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.operands import Operand, Operands
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.candidates import UNKNOWN_TYPE, Candidate
from lba_onnx.rewrite.code_types import type_name
from lba_onnx.rewrite.twins import has_twin, is_twin, schema_of
from lba_onnx.rewrite.values import Values

PACKED = "MatMulNBits"
"""The operator whose weights are codes of few bits, several in a byte."""

DEFAULT_OPERANDS = "M4E3"
"""The format of operands that nothing tells: that of the paper."""

GIVEN, ACCUMULATOR, DEFAULT = "given", "accumulator", "default"
"""What says which formats operands have that the model does not tell: the user, the accumulator, nothing."""
_WORDS = {GIVEN: "", ACCUMULATOR: " as the accumulator has them", DEFAULT: " by default"}

SAME_ELEMENTS = ("Transpose", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten")
"""Operators that give the elements of their first input, all and no others."""

_SAME_FORMAT = (*SAME_ELEMENTS, "Slice", "Gather", "Split", "Expand", "Tile", "DepthToSpace", "SpaceToDepth")
_TO_OTHER_FORMATS = ("DequantizeLinear", "Cast")
_STORED = ("float16", "bfloat16", "float32", "float64")
_MOST_CODE_BITS = 16


@dataclass(frozen=True)
class OperandTypes:
    """The element types of the two operands, such as "int8"; those of their codes where they are dequantized.

    Attributes:
        x: That of the first.
        w: That of the second.
    """

    x: str
    w: str

    @classmethod
    def of(cls, candidate: Candidate, values: Values) -> "OperandTypes":
        """Return those of a product; of what it computes itself, and of what is not known, float32."""
        form = candidate.integer_form
        codes = (form.codes if form is not None else candidate.element_type).split("*")
        if len(codes) == 2 and all(map(_is_told, codes)):
            return cls(*codes)
        site = candidate.site
        if not (has_twin(site.node) or is_twin(site.node)):
            return cls("float32", "float32")
        places = next(p.inputs for p in schema_of(site.node).products if p.name == candidate.product)
        *first, w = (_stored_type(site, place, values) for place in places)
        if site.node.op_type.endswith(PACKED):
            w = f"int{site.attributes().get('bits') or 4}"
        return cls(first[0] if first else _computed(candidate), w)

    @property
    def not_told(self) -> tuple[str, ...]:
        """The types of the operands whose formats do not follow from the model."""
        return tuple(sorted({name for name in (self.x, self.w) if not _is_told(name)}))

    @property
    def told(self) -> "ToldOperands":
        """The formats that follow from the model."""
        x, w = (Operand.parse(name) if _is_told(name) else None for name in (self.x, self.w))
        return ToldOperands(x, w)

    @property
    def stored(self) -> Operands:
        """The formats of the types themselves."""
        return Operands(Operand.parse(self.x), Operand.parse(self.w))


@dataclass(frozen=True)
class ToldOperands:
    """The formats of operands, as far as a model tells them.

    Attributes:
        x: That of the first; None where it does not follow.
        w: That of the second, likewise.
    """

    x: Operand | None
    w: Operand | None

    @classmethod
    def parse(cls, texts: Sequence[str | None]) -> "ToldOperands":
        """Read what `texts` returns."""
        x, w = (None if text is None else Operand.parse(text) for text in texts)
        return cls(x, w)

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """Both as texts."""
        x, w = (None if operand is None else operand.text for operand in (self.x, self.w))
        return x, w

    def completed(self, by: Operands) -> Operands:
        """Return both formats; those that do not follow are those of `by`."""
        return Operands(self.x or by.x, self.w or by.w)


def assumed_operands(spec: Accumulator | None, given: Operands | None) -> tuple[Operands, str]:
    """Return the formats of operands that the model does not tell, and what says so.

    Args:
        spec: The accumulator; None for that of float32 sums that are left.
        given: What the user says, which counts more than what the accumulator prescribes.
    """
    if given is not None:
        return given, GIVEN
    own = None if spec is None else spec.prescribed_operands
    return (Operands.parse(DEFAULT_OPERANDS), DEFAULT) if own is None else (own, ACCUMULATOR)


def operand_format_of(formats: Iterable[str]) -> str:
    """Return formats as the one text that results hold, such as "M4E3"; "" for none."""
    return " and ".join(formats)


def operands_text(sources: Mapping[str, str]) -> str:
    """Return formats in words, each with what says so.

    Args:
        sources: Formats that stand for what the model does not tell, to what says so.
    """
    return " and ".join(f"{text}{_WORDS[source]}" for text, source in sources.items())


def _is_told(name: str) -> bool:
    return name not in _STORED and _bits(name) <= _MOST_CODE_BITS


def _bits(name: str) -> float:
    """Return how many bits of an element type are multiplied; infinitely many of what is none of numbers."""
    try:
        return Operand.parse(name).significant_bits
    except ValueError:
        return float("inf")


def _computed(candidate: Candidate) -> str:
    """Return the type of an operand that a node computes itself: that of its outputs."""
    return candidate.element_type if candidate.element_type in _STORED else "float32"


def _stored_type(site: Site, index: int, values: Values) -> str:
    """Return the narrowest type that holds an input of a node, on the way from where it is made."""
    types = site.input_types(index)
    found = type_name(types.pop()) if len(types) == 1 else UNKNOWN_TYPE
    held = found if _is_told(found) or found in _STORED else "float32"
    producer = values.producer(site, site.node.input[index])
    if producer is None or producer.node.op_type not in (*_SAME_FORMAT, *_TO_OTHER_FORMATS):
        return held
    inner = _stored_type(producer, 0, values)
    return inner if producer.node.op_type in _SAME_FORMAT or _bits(inner) < _bits(held) else held
