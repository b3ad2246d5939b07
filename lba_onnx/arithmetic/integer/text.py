"""The texts of sums of integer codes.

int16-wrap | int18-saturate              one register; overflow after every addition
int12x64/int20-wrap                      tiles of 64 products in 12 bits, their sums in 20
int12x64-saturate/int20-wrap             the same, with another overflow inside
fixed<16,20>,round=nearest-up            16 bits of which 20 are integer bits: the 4 lowest are dropped
x86-u8s8 | arm-smlal16                   shipping kernels
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from lba_onnx.arithmetic.grammar import Option, Part, SpecText, nearest
from lba_onnx.arithmetic.integer.fields import LEAST_BITS, MOST_BITS, MOST_TERMS, IntegerLevel, Overflow

_BEGINNINGS = ("int", "fixed", "x86", "arm")
_LEVEL = re.compile(r"int([1-9]\d?)(?:x([1-9]\d{0,4}))?(?:-(wrap|saturate))?", re.ASCII)
_FIXED = re.compile(r"fixed<\s*([1-9]\d?)\s*,\s*([1-9]\d?)\s*>", re.ASCII)
_BITS = f"{LEAST_BITS} to {MOST_BITS}"
_EXPECTED = (
    "expected int<P>-wrap, int<P>-saturate, tiles of T products int<P>x<T>/int<Q>-wrap, fixed<W,I>, x86-u8s8 or "
    f"arm-smlal16, with P, Q, W and I from {_BITS} and T from 1 to {MOST_TERMS}"
)


def is_integer(text: SpecText) -> bool:
    """Tell whether a text begins as one of this kind does."""
    return text.head.text.startswith(_BEGINNINGS)


def read_levels(text: SpecText) -> tuple[IntegerLevel, ...]:
    """Return the levels of an int text, innermost first.

    Raises:
        ValueError: It says something else.
    """
    if len(text.levels) > 2:
        raise text.error(f"{_EXPECTED}, got {len(text.levels)} levels", text.levels[2])
    *inner, last = text.levels
    outer = _level(text, last, has_terms=False)
    if outer is None:
        raise text.error(f"{_EXPECTED}, got {last.text!r}", last)
    levels = [_level(text, part, has_terms=True, overflow=outer.overflow) for part in inner]
    for part, level in zip(inner, levels, strict=True):
        if level is None:
            raise text.error(f"{_EXPECTED}, got {part.text!r}", part)
    return (*(level for level in levels if level is not None), outer)


def _level(text: SpecText, part: Part, has_terms: bool, overflow: Overflow | None = None) -> IntegerLevel | None:
    match = _LEVEL.fullmatch(part.text)
    if match is None or (match[2] is not None) != has_terms or not LEAST_BITS <= int(match[1]) <= MOST_BITS:
        return None
    own = overflow if match[3] is None else Overflow(match[3])
    if own is None or (has_terms and int(match[2]) > MOST_TERMS):
        return None
    return IntegerLevel(int(match[1]), own, int(match[2]) if has_terms else None)


def read_fixed(text: SpecText) -> tuple[int, int]:
    """Return the width and the integer bits of a fixed text.

    Raises:
        ValueError: It says something else.
    """
    match = _FIXED.fullmatch(text.head.text)
    if match is None or not all(LEAST_BITS <= int(bits) <= MOST_BITS for bits in match.groups()):
        raise text.error(f"expected fixed<W,I> with W and I from {_BITS}, got {text.head.text!r}", text.head)
    return int(match[1]), int(match[2])


def read_options(text: SpecText, choices: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the options of a text, keys to values, the first choice where one is not mentioned.

    Raises:
        ValueError: An option is none of the choices.
    """
    valid = [f"{key}={value}" for key, values in choices.items() for value in values]
    for option in text.options:
        if option.value not in choices.get(option.key, ()):
            raise text.error(_unknown(option, valid), option.part)
    return {**{key: values[0] for key, values in choices.items()}, **{o.key: o.value for o in text.options}}


def _unknown(option: Option, valid: Sequence[str]) -> str:
    expected = f"{', '.join(valid[:-1])} or {valid[-1]}" if valid else "no option"
    return f"expected {expected}, got {option.part.text!r}{nearest(option.part.text, valid)}"


def write_levels(levels: Sequence[IntegerLevel]) -> str:
    """Return the levels as `read_levels` reads them; an inner one that does as the outer says no overflow."""
    *inner, outer = levels
    tiles = (
        f"int{level.bits}x{level.terms}{'' if level.overflow is outer.overflow else f'-{level.overflow.value}'}/"
        for level in inner
    )
    return f"{''.join(tiles)}int{outer.bits}-{outer.overflow.value}"


def write_options(said: Iterable[tuple[str, str]], choices: Mapping[str, Sequence[str]]) -> str:
    """Return options that differ from the first choice, a comma before each."""
    return "".join(f",{key}={value}" for key, value in said if value != choices[key][0])
