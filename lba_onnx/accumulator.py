"""What an accumulator does to a dot product: two formats, a chunk size, and whether small values underflow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lba_onnx.formats import FloatFormat, as_integer

DEFAULT_CHUNK_SIZE = 16
_MAX_CHUNK_SIZE = 2**63 - 1  # node attributes are int64
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_FAMILY = re.compile(r"M\d+E\d+", re.ASCII)
_JSON_KEYS = {"product_format", "accumulator_format", "chunk_size", "underflow"}


@dataclass(frozen=True)
class AccumulatorSpec:
    """The arithmetic of one dot product.

    Attributes:
        product_format: Format of each product.
        accumulator_format: Format of the partial sum in a chunk and of the total across chunks.
        chunk_size: Consecutive products that are summed before their partial sum joins the total;
            None for one chunk over the whole depth.
        underflow: Whether magnitudes below a format's `min_value` become zero.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: `chunk_size` is not positive.
    """

    product_format: FloatFormat
    accumulator_format: FloatFormat
    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    underflow: bool = True

    def __post_init__(self) -> None:
        """Check the fields and store chunk_size and underflow as plain Python values."""
        for name in ("product_format", "accumulator_format"):
            if not isinstance(getattr(self, name), FloatFormat):
                raise TypeError(f"expected {name} to be a FloatFormat, got {type(getattr(self, name)).__name__}")
        if self.chunk_size is not None:
            object.__setattr__(self, "chunk_size", _check_chunk_size(self.chunk_size))
        if not isinstance(self.underflow, (bool, np.bool_)):
            raise TypeError(f"expected underflow to be a bool, got {type(self.underflow).__name__} {self.underflow!r}")
        object.__setattr__(self, "underflow", bool(self.underflow))

    @classmethod
    def parse(cls, text: str, chunk_size: int | None = DEFAULT_CHUNK_SIZE, underflow: bool = True) -> "AccumulatorSpec":
        """Read a spec from text: one format, or two, then options in any order.

        - `"M7E4b10"` is the accumulator; the product has the same bits and the bias of `product_bias`.
        - `"M7E4b12/M7E4b10"` names product and accumulator.
        - `",chunk=32"`, `",chunk=none"`, `",underflow=off"` and `",underflow=on"` may follow.

        Args:
            text: What `str` of a spec writes, or a shorter form.
            chunk_size: Chunk size when the text names none.
            underflow: Underflow when the text does not mention it.

        Raises:
            TypeError: `text` is not a string, or an argument has the wrong type.
            ValueError: The text has another form, or describes something illegal; the message says at which character.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a spec as text such as 'M7E4b12/M7E4b10', got {type(text).__name__}")
        formats, *options = _split(text, ",")
        settings = {"chunk_size": chunk_size, "underflow": underflow, **_parse_options(options, text)}
        product, *accumulators = [_parse_format(part, text) for part in _split(formats.text, "/", formats.start)]
        if len(accumulators) > 1:
            raise _error(f"expected one format, or product/accumulator, got {formats.text!r}", formats, text)
        if accumulators:
            return cls(product, accumulators[0], **settings)
        return cls(_product_format_for(product, settings["chunk_size"]), product, **settings)

    def __str__(self) -> str:
        """Return the text form that `parse` reads: both formats, then what is not the default."""
        text = f"{self.product_format}/{self.accumulator_format}"
        if self.chunk_size != DEFAULT_CHUNK_SIZE:
            text += f",chunk={'none' if self.chunk_size is None else self.chunk_size}"
        return text if self.underflow else text + ",underflow=off"

    def to_json(self) -> dict[str, Any]:
        """Return the spec as a JSON object; `chunk_size` is null for the whole depth."""
        return {
            "product_format": str(self.product_format),
            "accumulator_format": str(self.accumulator_format),
            "chunk_size": self.chunk_size,
            "underflow": self.underflow,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "AccumulatorSpec":
        """Read a spec from the JSON object that `to_json` returns.

        Raises:
            TypeError: `value` is not an object, or an entry has the wrong type.
            ValueError: Entries are missing, unknown or out of range.
        """
        if not isinstance(value, Mapping):
            raise TypeError(f"expected a JSON object with {sorted(_JSON_KEYS)}, got {type(value).__name__}")
        if set(value) != _JSON_KEYS:
            raise ValueError(f"expected the entries {sorted(_JSON_KEYS)}, got {sorted(map(str, value))}")
        return cls(
            FloatFormat.parse(value["product_format"]),
            FloatFormat.parse(value["accumulator_format"]),
            value["chunk_size"],
            value["underflow"],
        )

    def to_attributes(self) -> dict[str, str | int]:
        """Return the spec as node attributes: strings and ints, `chunk_size` 0 for the whole depth."""
        return {
            "product_format": str(self.product_format),
            "accumulator_format": str(self.accumulator_format),
            "chunk_size": self.chunk_size or 0,
            "underflow": int(self.underflow),
        }

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> "AccumulatorSpec":
        """Read a spec from a node's attributes, leaving those of the operator itself aside.

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
        return cls(
            _format_attribute(attributes, "product_format"),
            _format_attribute(attributes, "accumulator_format"),
            None if chunk_size == 0 else chunk_size,
            bool(underflow),
        )


def as_spec(value: "AccumulatorSpec | str", what: str = "spec") -> AccumulatorSpec:
    """Return a spec as it is wanted everywhere, read from its text if need be.

    Args:
        value: The spec, or its text.
        what: What messages call it, such as the name of the argument.

    Raises:
        TypeError: It is neither.
        ValueError: The text is no spec, or names formats without their exponent biases.
    """
    if isinstance(value, AccumulatorSpec):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{what}: expected an AccumulatorSpec or its text such as 'M7E4b10', got {type(value).__name__} {value!r}"
        )
    try:
        return AccumulatorSpec.parse(value)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None


def spec_with_options(text: str, **options: Any) -> AccumulatorSpec:
    """Return the spec of a text whose options may be given beside it, too, as by flags of the command line.

    Args:
        text: The text, as `AccumulatorSpec.parse` takes it.
        options: What is given beside it, of chunk_size and underflow.

    Raises:
        TypeError: An option has the wrong type.
        ValueError: The text is no spec, or says otherwise than an option.
    """
    spec = AccumulatorSpec.parse(text, **options)
    for name, value in options.items():
        said = getattr(spec, name)
        if said != value:  # the text prevails where it mentions an option
            raise ValueError(f"expected a spec that agrees with {name} {value}, got {text!r}, which says {name} {said}")
    return spec


def product_bias(accumulator_bias: int, chunk_size: int | None) -> int:
    """Return the product's exponent bias that goes with an accumulator's.

    A sum of c independent products grows like √c, so the products' range lies ½·log2(c) binades below
    the accumulator's. The half binade of an odd power of two is dropped, and so is the fraction of any other chunk
    size: the shift is floor(½·log2(c)), and the products never get less range than the rule grants. A chunk over the
    whole depth (None) has no size to go by: both biases are then equal.
    """
    if chunk_size is None:
        return accumulator_bias
    return accumulator_bias + (_check_chunk_size(chunk_size).bit_length() - 1) // 2


def _product_format_for(accumulator_format: FloatFormat, chunk_size: int | None) -> FloatFormat:
    bias = product_bias(accumulator_format.exponent_bias, chunk_size)
    try:
        return FloatFormat(accumulator_format.mantissa_bits, accumulator_format.exponent_bits, bias)
    except ValueError as error:
        raise ValueError(
            f"accumulator {accumulator_format} with chunk_size {chunk_size} asks for a product bias of {bias}: "
            f"{error}; name both formats, as product/accumulator"
        ) from None


def _check_chunk_size(value: int) -> int:
    chunk_size = as_integer("chunk_size", value)
    if not 1 <= chunk_size <= _MAX_CHUNK_SIZE:
        raise ValueError(f"expected a chunk_size of at least 1, or None for the whole depth, got {chunk_size}")
    return chunk_size


@dataclass(frozen=True)
class _Part:
    """A part of a spec's text, and the index of its first character that is no blank."""

    text: str
    start: int


def _split(text: str, separator: str, start: int = 0) -> list[_Part]:
    parts = []
    for part in text.split(separator):
        parts.append(_Part(part.strip(), start + len(part) - len(part.lstrip())))
        start += len(part) + len(separator)
    return parts


def _error(problem: str, part: _Part, text: str) -> ValueError:
    return ValueError(f"{problem}, at character {part.start + 1} of the spec {text!r}")


def _parse_format(part: _Part, text: str) -> FloatFormat:
    if _FAMILY.fullmatch(part.text):
        problem = f"expected an exponent bias, as in '{part.text}b10', got none (calibration chooses one)"
        raise _error(problem, part, text)
    try:
        return FloatFormat.parse(part.text)
    except ValueError as error:
        raise _error(str(error), part, text) from None


def _parse_options(options: list[_Part], text: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for option in options:
        key, _, value = option.text.partition("=")
        name = {"chunk": "chunk_size"}.get(key, key)
        if name in settings:
            raise _error(f"expected {key} once, got it twice", option, text)
        if key == "chunk" and (value == "none" or _DIGITS.fullmatch(value)):
            settings[name] = None if value == "none" else _parse_chunk_size(option, value, text)
        elif key == "underflow" and value in ("on", "off"):
            settings[name] = value == "on"
        else:
            problem = f"expected chunk=<size>, chunk=none, underflow=on or underflow=off, got {option.text!r}"
            raise _error(problem, option, text)
    return settings


def _parse_chunk_size(option: _Part, digits: str, text: str) -> int:
    try:
        return _check_chunk_size(int(digits))
    except ValueError as error:
        raise _error(str(error), option, text) from None


def _format_attribute(attributes: Mapping[str, Any], name: str) -> FloatFormat:
    if name not in attributes:
        raise ValueError(f"expected the attribute {name}, got none")
    text = attributes[name]
    try:
        return FloatFormat.parse(text.decode() if isinstance(text, bytes) else text)
    except ValueError as error:
        raise ValueError(f"attribute {name}: {error}") from None
