"""The text of chunked floats: `M7E4b12/M7E4b10,chunk=16,underflow=on,round=truncate`."""

import re
from typing import Any

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, check_chunk_size
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.formats import FloatFormat, nearest_format
from lba_onnx.arithmetic.grammar import Option, Part, SpecText, nearest
from lba_onnx.arithmetic.rounding import Rounding

_FAMILY = re.compile(r"M\d+E\d+", re.ASCII)
_HEAD = re.compile(r"M\d*(E|$)", re.ASCII)
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_CHOICES: dict[str, dict[str, Any]] = {
    "underflow": {"on": True, "off": False},
    "round": {rounding.value: rounding for rounding in Rounding},
}
_FIELDS = {"chunk": "chunk_size", "underflow": "underflow", "round": "rounding"}
_VALID = ("chunk=16", "chunk=none", *(f"{key}={value}" for key, values in _CHOICES.items() for value in values))


def is_chunked_float(text: SpecText) -> bool:
    """Tell whether a text begins as one of this kind does."""
    return _HEAD.match(text.head.text) is not None


def read_formats(text: SpecText) -> tuple[FloatFormat | None, FloatFormat]:
    """Return the format of products, None where the text leaves it to the rule, and that of sums.

    Raises:
        ValueError: A level is no format, or there are more than two.
    """
    formats = [_read_format(part, text) for part in text.levels]
    if len(formats) > 2:
        raise text.error(f"expected one format, or product/accumulator, got {text.head.text!r}", text.head)
    return (None, formats[0]) if len(formats) == 1 else (formats[0], formats[1])


def read_family(text: SpecText) -> FormatFamily:
    """Return the family of formats of a text without biases.

    Raises:
        ValueError: It is none.
    """
    if len(text.levels) != 1:
        raise text.error(f"expected one family of formats such as 'M7E4', got {text.head.text!r}", text.head)
    try:
        return FormatFamily.parse(text.head.text)
    except ValueError as error:
        raise text.error(str(error), text.head) from None


def read_options(text: SpecText) -> dict[str, Any]:
    """Return the fields that a text's options set.

    Raises:
        ValueError: An option is none of this kind, or has another value.
    """
    return {_FIELDS.get(option.key, option.key): _read_option(option, text) for option in text.options}


def write_options(chunk_size: int | None, underflow: bool, rounding: Rounding) -> str:
    """Return the options that are not the default, a comma before each."""
    text = ""
    if chunk_size != DEFAULT_CHUNK_SIZE:
        text += f",chunk={'none' if chunk_size is None else chunk_size}"
    if not underflow:
        text += ",underflow=off"
    return text if rounding is Rounding.TRUNCATE else f"{text},round={rounding.value}"


def _read_format(part: Part, text: SpecText) -> FloatFormat:
    if _FAMILY.fullmatch(part.text):
        problem = f"expected an exponent bias, as in '{part.text}b10', got none (calibration chooses one)"
        raise text.error(problem, part)
    try:
        return FloatFormat.parse(part.text)
    except ValueError as error:
        legal = nearest_format(part.text)
        hint = f" (the nearest is {str(legal)!r})" if legal else ""
        raise text.error(f"{error}{hint}", part) from None


def _read_option(option: Option, text: SpecText) -> Any:
    if option.key == "chunk" and option.value == "none":
        return None
    if option.key == "chunk" and _DIGITS.fullmatch(option.value):
        try:
            return check_chunk_size(int(option.value))
        except ValueError as error:
            raise text.error(str(error), option.part) from None
    choices = _CHOICES.get(option.key, {})
    if option.value in choices:
        return choices[option.value]
    expected = "expected chunk=<size>, chunk=none, underflow=on, underflow=off, round=truncate or round=nearest"
    raise text.error(f"{expected}, got {option.part.text!r}{nearest(option.part.text, _VALID)}", option.part)
