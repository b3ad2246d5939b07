"""The text of chunked floats: `M7E4b12/M7E4b10,chunk=16x8,tree=4,underflow=on,round=truncate`."""

import re
from typing import Any

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, check_size
from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.formats import FloatFormat, nearest_format
from lba_onnx.arithmetic.grammar import Option, Part, SpecText, nearest
from lba_onnx.arithmetic.rounding import Rounding

_FAMILY = re.compile(r"M\d+E\d+", re.ASCII)
_HEAD = re.compile(r"M\d*(E|$)", re.ASCII)
_SIZES = {
    "chunk": re.compile(r"\d{1,19}(x\d{1,19})*", re.ASCII),
    "tree": re.compile(r"\d{1,19}", re.ASCII),
}
_CHOICES: dict[str, dict[str, Any]] = {
    "underflow": {"on": True, "off": False},
    "round": {rounding.value: rounding for rounding in Rounding},
}
_FIELDS = {"underflow": "underflow", "round": "rounding"}
_EXPECTED = (
    "expected chunk=<size>, chunk=<size>x<size>, chunk=none, tree=<size>, underflow=on, underflow=off, "
    "round=truncate or round=nearest"
)
_VALID = (
    "chunk=16",
    "chunk=16x8",
    "chunk=none",
    "tree=16",
    *(f"{key}={value}" for key, values in _CHOICES.items() for value in values),
)


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


def read_rules(text: SpecText, chunk_size: int | None = DEFAULT_CHUNK_SIZE, underflow: bool = True) -> SumRules:
    """Return the rules that a text's options set.

    Args:
        text: A text taken apart.
        chunk_size: Chunk size when the text names neither one nor a tree.
        underflow: Underflow when the text does not mention it.

    Raises:
        ValueError: An option is none of this kind, or has another value, or they do not go together.
    """
    read: dict[str, Any] = {}
    for option in text.options:
        read |= _read_option(option, text)
    defaults = {"chunk_size": None if "tree" in read else chunk_size, "underflow": underflow}
    try:
        return SumRules(**{**defaults, **read})
    except ValueError as error:
        raise text.error(str(error), text.options[0].part if text.options else text.head) from None


def options_of(rules: SumRules) -> dict[str, str]:
    """Return the options that say the rules, defaults included; a tree only where there is one."""
    sizes = "x".join(map(str, rules.chunk_sizes)) or "none"
    tree = {} if rules.tree is None else {"tree": str(rules.tree)}
    underflow = "on" if rules.underflow else "off"
    return {"chunk": sizes, **tree, "underflow": underflow, "round": rules.rounding.value}


def write_options(rules: SumRules) -> str:
    """Return the options that are not the default, a comma before each."""
    defaults = {
        "chunk": str(DEFAULT_CHUNK_SIZE) if rules.tree is None else "none",
        "underflow": "on",
        "round": "truncate",
    }
    return "".join(f",{key}={value}" for key, value in options_of(rules).items() if defaults.get(key) != value)


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


def _read_option(option: Option, text: SpecText) -> dict[str, Any]:
    """Return the fields that an option sets."""
    if option.key == "chunk" and option.value == "none":
        return {"chunk_size": None}
    if option.key in ("chunk", "tree") and _SIZES[option.key].fullmatch(option.value):
        try:
            sizes = [
                check_size("chunk_size" if option.key == "chunk" else "tree", int(n)) for n in option.value.split("x")
            ]
        except ValueError as error:
            raise text.error(str(error), option.part) from None
        return (
            {"tree": sizes[0]} if option.key == "tree" else {"chunk_size": sizes[0], "outer_chunks": tuple(sizes[1:])}
        )
    choices = _CHOICES.get(option.key, {})
    if option.value in choices:
        return {_FIELDS[option.key]: choices[option.value]}
    raise text.error(f"{_EXPECTED}, got {option.part.text!r}{nearest(option.part.text, _VALID)}", option.part)
