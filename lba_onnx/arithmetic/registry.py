"""The kinds of accumulators, and the readers of whatever stands for one: a text, JSON, a node's attributes."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic.accumulator import Accumulator, accumulator_attribute
from lba_onnx.arithmetic.chunked_float.family import ChunkedFloatFamily
from lba_onnx.arithmetic.chunked_float.spec import AccumulatorSpec
from lba_onnx.arithmetic.chunked_float.text import is_chunked_float
from lba_onnx.arithmetic.family import AccumulatorFamily
from lba_onnx.arithmetic.grammar import SpecText, nearest, read_text
from lba_onnx.arithmetic.integer.family import IntegerFamily
from lba_onnx.arithmetic.integer.spec import IntegerSpec
from lba_onnx.arithmetic.integer.text import is_integer
from lba_onnx.arithmetic.kulisch.spec import KulischSpec, is_kulisch
from lba_onnx.arithmetic.splitk.family import SplitKFamily
from lba_onnx.arithmetic.splitk.spec import SplitKSpec
from lba_onnx.arithmetic.splitk.text import is_splitk

OLD_ATTRIBUTES = ("product_format", "accumulator_format", "chunk_size", "underflow")
"""The attributes of nodes written before specs were kept as text in the attribute `accumulator`."""

_MOST_KEPT = 256  # texts whose accumulators are kept: kernels read the same ones over and over


@dataclass(frozen=True)
class Kind:
    """One kind of accumulators.

    Attributes:
        accumulator: Its class.
        claims: Whether a text begins as one of this kind does.
        read: The accumulator of a text taken apart.
        read_family: The family of a text without free knobs; None where the kind has none.
    """

    accumulator: type[Accumulator]
    claims: Callable[[SpecText], bool]
    read: Callable[[SpecText], Accumulator]
    read_family: Callable[[SpecText], AccumulatorFamily] | None = None


_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Add a kind.

    Raises:
        ValueError: Another one has its name.
    """
    name = kind.accumulator.kind
    if name in _KINDS:
        raise ValueError(f"expected a kind of a new name, got {name!r} twice")
    _KINDS[name] = kind


register(Kind(AccumulatorSpec, is_chunked_float, AccumulatorSpec.read, ChunkedFloatFamily.read))
register(Kind(KulischSpec, is_kulisch, KulischSpec.read))
register(
    Kind(
        SplitKSpec,
        is_splitk,
        lambda text: SplitKSpec.read(text, parse_accumulator),
        lambda text: SplitKFamily.read(text, parse_family),
    )
)
register(Kind(IntegerSpec, is_integer, IntegerSpec.read, IntegerFamily.read))


def kinds() -> tuple[type[Accumulator], ...]:
    """Return the classes of all kinds, in the order of their registration."""
    return tuple(kind.accumulator for kind in _KINDS.values())


def parse_accumulator(text: str) -> Accumulator:
    """Read an accumulator of any kind from its text.

    Raises:
        TypeError: It is no string.
        ValueError: It is none; the message says at which character.
    """
    return _parse(text) if isinstance(text, str) else _read(read_text(text))


def parse_family(text: str) -> AccumulatorFamily:
    """Read a family, an accumulator whose biases are free, from its text, such as "M7E4,chunk=32".

    Raises:
        TypeError: It is no string.
        ValueError: It is none; the message says at which character.
    """
    if not isinstance(text, str):
        raise TypeError(
            f"expected a family as text such as 'M7E4' or 'M7E4,chunk=32,underflow=off', got {type(text).__name__}"
        )
    read = read_text(text)
    kind = _kind_of(read)
    if kind.read_family is None:
        raise read.error(f"expected a kind whose biases calibration chooses, got {kind.accumulator.kind}", read.head)
    return kind.read_family(read)


def as_spec(value: "Accumulator | str", what: str = "spec") -> Accumulator:
    """Return an accumulator as it is wanted everywhere, read from its text if need be.

    Args:
        value: The accumulator, or its text.
        what: What messages call it, such as the name of the argument.

    Raises:
        TypeError: It is neither.
        ValueError: The text is no spec, or names formats without their exponent biases.
    """
    if isinstance(value, Accumulator):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{what}: expected an AccumulatorSpec or its text such as 'M7E4b10', got {type(value).__name__} {value!r}"
        )
    try:
        return parse_accumulator(value)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def from_json(value: Any) -> Accumulator:
    """Read an accumulator from what `Accumulator.to_json` returns, from its text, or from an object of before.

    Raises:
        TypeError: It is neither an object nor a text, or an entry has the wrong type.
        ValueError: It is no accumulator.
    """
    if isinstance(value, str):
        return parse_accumulator(value)
    if isinstance(value, Mapping) and "accumulator" in value:
        accumulator = parse_accumulator(value["accumulator"])
        for name, told in accumulator.described().items():
            if name in value and value[name] != told:
                raise ValueError(f"expected {name} to be {told!r}, as {accumulator} says, got {value[name]!r}")
        return accumulator
    return AccumulatorSpec.from_json(value)


def from_attributes(attributes: Mapping[str, Any], product: str = "") -> Accumulator:
    """Read an accumulator from a node's attributes, leaving those of the operator itself aside.

    Args:
        attributes: Names to values; strings may be bytes, as ONNX stores them, and None is an absent one, as onnx's
            reference evaluator gives them. A node with one product has `accumulator` or the four of OLD_ATTRIBUTES,
            one with several `accumulator_<product>` for each.
        product: The name of the product; "" for the only one.

    Raises:
        TypeError: An attribute has the wrong type.
        ValueError: An attribute is missing or out of range, or both forms are there.
    """
    attributes = {name: value for name, value in attributes.items() if value is not None}
    name = accumulator_attribute(product)
    if name not in attributes and not product:
        return AccumulatorSpec.from_attributes(attributes)
    if name not in attributes:
        raise ValueError(f"attribute {name}: expected an accumulator such as 'M7E4b12/M7E4b10', got none")
    old = [] if product else [old for old in OLD_ATTRIBUTES if old in attributes]
    if old:
        raise ValueError(f"expected the attribute accumulator or {', '.join(OLD_ATTRIBUTES)}, got both: {old[0]} too")
    text = attributes[name]
    try:
        return parse_accumulator(text.decode() if isinstance(text, bytes) else text)
    except (TypeError, ValueError) as error:
        raise type(error)(f"attribute {name}: {error}") from None


@functools.lru_cache(_MOST_KEPT)
def _parse(text: str) -> Accumulator:
    return _read(read_text(text))


def _read(text: SpecText) -> Accumulator:
    return _kind_of(text).read(text)


def _kind_of(text: SpecText) -> Kind:
    for kind in _KINDS.values():
        if kind.claims(text):
            return kind
    examples = [kind.accumulator.example for kind in _KINDS.values()]
    raise text.error(
        f"expected a format such as 'M7E4b10', or another kind of accumulator, got {text.head.text!r}"
        f"{nearest(text.text, examples)}",
        text.head,
    )
