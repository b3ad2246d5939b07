"""The text of chunked floats: `M7E4b12/M7E4b10,chunk=16x8,tree=4,underflow=on,round=truncate`."""

import re
from typing import Any

from lba_onnx.arithmetic.chunked_float.named import is_named
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, check_size
from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.families import FormatFamily
from lba_onnx.arithmetic.formats import FloatFormat, nearest_format
from lba_onnx.arithmetic.grammar import Option, Part, SpecText, nearest
from lba_onnx.arithmetic.rounding import Rounding

_FAMILY = re.compile(r"M\d+E\d+", re.ASCII)
_HEAD = re.compile(r"M\d*(E|$)", re.ASCII)
_SEED = re.compile(r"\d{1,20}", re.ASCII)
_SIZES = {
    "chunk": re.compile(r"\d{1,19}(x\d{1,19})*", re.ASCII),
    "tree": re.compile(r"\d{1,19}", re.ASCII),
    "lanes": re.compile(r"\d{1,19}", re.ASCII),
}
_SWITCHES = {
    "product": ("exact_products", "exact"),
    "range": ("has_infinity", "infinity"),
    "subnormals": ("has_subnormals", "keep"),
    "codes": ("has_dlfloat_codes", "dlfloat"),
    "start": ("starts_from_carry", "carry"),
}
"""Options with one value that is not the default: the fields that they set."""
_OTHERWISE = {"product": "rounded", "range": "saturate", "subnormals": "none", "codes": "plain", "start": "zero"}
_CHOICES: dict[str, dict[str, tuple[str, Any]]] = {
    "underflow": {"on": ("underflow", True), "off": ("underflow", False)},
    "round": {r.value: ("rounding", r) for r in Rounding if r is not Rounding.STOCHASTIC},
    **{key: {value: (name, True), _OTHERWISE[key]: (name, False)} for key, (name, value) in _SWITCHES.items()},
}
_STOCHASTIC = re.compile(r"stochastic(\d{1,4})", re.ASCII)
_VALID = (
    *("chunk=16", "chunk=16x8", "chunk=none", "tree=16", "lanes=2", "round=stochastic8", "seed=1"),
    *(f"{key}={value}" for key, values in _CHOICES.items() for value in values),
)
_EXPECTED = (
    "expected chunk=<size>, chunk=<size>x<size>, chunk=none, tree=<size>, underflow=on, underflow=off, round=truncate, "
    "round=nearest, round=nearest-away, round=odd, round=stochastic<bits>, seed=<number>, lanes=<count>, "
    + ", ".join(f"{key}={value} or {_OTHERWISE[key]}" for key, (_, value) in _SWITCHES.items())
)


def is_chunked_float(text: SpecText) -> bool:
    """Tell whether a text begins as one of this kind does."""
    return _HEAD.match(text.head.text) is not None or is_named(text)


def read_formats(text: SpecText, rules: SumRules) -> tuple[FloatFormat | None, FloatFormat]:
    """Return the format of products, None where the text leaves it to the rule or they are exact, and that of sums.

    Raises:
        ValueError: A level is no format, or there are too many.
    """
    formats = [_read_format(part, text, rules) for part in text.levels]
    if len(formats) > 2:
        raise text.error(f"expected one format, or product/accumulator, got {text.head.text!r}", text.head)
    if rules.exact_products and len(formats) > 1:
        raise text.error(f"expected the format of sums alone beside product=exact, got {text.head.text!r}", text.head)
    return (None, formats[0]) if len(formats) == 1 else (formats[0], formats[1])


def read_family(text: SpecText, rules: SumRules) -> FormatFamily:
    """Return the family of formats of a text without biases, whose options say some rules.

    Raises:
        ValueError: It is none.
    """
    if len(text.levels) != 1:
        raise text.error(f"expected one family of formats such as 'M7E4', got {text.head.text!r}", text.head)
    try:
        return FormatFamily.parse(text.head.text, rules.has_infinity, rules.has_subnormals)
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
    """Return the options that say the rules, defaults included, but for those of few."""
    options = {"chunk": "x".join(map(str, rules.chunk_sizes)) or "none"}
    if rules.tree is not None:
        options["tree"] = str(rules.tree)
    if rules.lanes is not None:
        options["lanes"] = str(rules.lanes)
    options["underflow"] = "on" if rules.underflow else "off"
    options["round"] = f"{rules.rounding.value}{rules.random_bits or ''}"
    if rules.seed:
        options["seed"] = str(rules.seed)
    return options | {key: value for key, (name, value) in _SWITCHES.items() if getattr(rules, name)}


def write_options(rules: SumRules) -> str:
    """Return the options that are not the default, a comma before each."""
    chunk = str(DEFAULT_CHUNK_SIZE) if rules.tree is None else "none"
    defaults = {"chunk": chunk, "underflow": "on", "round": "truncate"}
    return "".join(f",{key}={value}" for key, value in options_of(rules).items() if defaults.get(key) != value)


def _read_format(part: Part, text: SpecText, rules: SumRules) -> FloatFormat:
    if _FAMILY.fullmatch(part.text):
        problem = f"expected an exponent bias, as in '{part.text}b10', got none (calibration chooses one)"
        raise text.error(problem, part)
    try:
        return FloatFormat.parse(part.text, rules.has_infinity, rules.has_subnormals, rules.has_dlfloat_codes)
    except ValueError as error:
        legal = nearest_format(part.text)
        hint = f" (the nearest is {str(legal)!r})" if legal else ""
        raise text.error(f"{error}{hint}", part) from None


def _read_option(option: Option, text: SpecText) -> dict[str, Any]:
    """Return the fields that an option sets."""
    if option.key == "chunk" and option.value == "none":
        return {"chunk_size": None}
    if option.key in _SIZES and _SIZES[option.key].fullmatch(option.value):
        return _read_sizes(option, text)
    stochastic = _STOCHASTIC.fullmatch(option.value)
    if option.key == "round" and stochastic:
        return {"rounding": Rounding.STOCHASTIC, "random_bits": int(stochastic[1])}
    if option.key == "seed" and _SEED.fullmatch(option.value):
        return {"seed": int(option.value)}
    if option.key == "chunk" and option.value.startswith("root"):
        problem = f"expected sizes of chunks such as chunk=16x8, got {option.part.text!r} (only calibration takes it)"
        raise text.error(problem, option.part)
    choices = _CHOICES.get(option.key, {})
    if option.value in choices:
        name, value = choices[option.value]
        return {name: value}
    raise text.error(f"{_EXPECTED}, got {option.part.text!r}{nearest(option.part.text, _VALID)}", option.part)


def _read_sizes(option: Option, text: SpecText) -> dict[str, Any]:
    name = "chunk_size" if option.key == "chunk" else option.key
    try:
        first, *further = (check_size(name, int(size)) for size in option.value.split("x"))
    except ValueError as error:
        raise text.error(str(error), option.part) from None
    return {option.key: first} if option.key != "chunk" else {"chunk_size": first, "outer_chunks": tuple(further)}
