"""One grammar for the text of every accumulator, whatever its kind.

    text     level ("/" level)* ("," option)*       M7E4b12/M7E4b10,chunk=16,round=nearest
    option   key "=" value
    level    anything without these separators; what stands in brackets is a part of it: splitk4(fp16-fma), fixed<16,12>

What levels and options mean is the kind's own. Each part knows where it stands, so that errors can say at which
character.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A part of a text, and the index of its first character that is no blank."""

    text: str
    start: int


@dataclass(frozen=True)
class Option:
    """One `key=value`; an option without "=" has an empty value."""

    key: str
    value: str
    part: Part


@dataclass(frozen=True)
class SpecText:
    """A text taken apart.

    Attributes:
        text: The whole.
        head: All levels.
        levels: The levels, at least one.
        options: The options, in their order.
    """

    text: str
    head: Part
    levels: tuple[Part, ...]
    options: tuple[Option, ...]

    def error(self, problem: str, part: Part) -> ValueError:
        """Return an error that says where in the text the problem is."""
        return ValueError(f"{problem}, at character {part.start + 1} of the spec {self.text!r}")


def read_text(text: str) -> SpecText:
    """Take a text apart.

    Raises:
        TypeError: It is no string.
        ValueError: An option stands there twice.
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a spec as text such as 'M7E4b12/M7E4b10', got {type(text).__name__}")
    head, *rest = _split(Part(text, 0), ",")
    levels = tuple(_split(head, "/"))
    read = SpecText(text, head, levels, tuple(_option(part) for part in rest))
    seen: set[str] = set()
    for option in read.options:
        if option.key in seen:
            raise read.error(f"expected {option.key} once, got it twice", option.part)
        seen.add(option.key)
    return read


def nearest(text: str, valid: Iterable[str]) -> str:
    """Return the end of an error message: the valid text that comes nearest; empty where none resembles."""
    close = difflib.get_close_matches(text, list(valid), n=1, cutoff=0.3)
    return f" (the nearest is {close[0]!r})" if close else ""


def _option(part: Part) -> Option:
    key, _, value = part.text.partition("=")
    return Option(key.rstrip(), value.lstrip(), part)


def _split(part: Part, separator: str) -> Iterator[Part]:
    """Yield the parts between separators that stand outside brackets, without blanks around them."""
    depth, begin = 0, 0
    for end, character in enumerate(part.text + separator):
        if character == separator and (depth <= 0 or end == len(part.text)):
            piece = part.text[begin:end]
            yield Part(piece.strip(), part.start + begin + len(piece) - len(piece.lstrip()))
            begin = end + 1
        depth += (character in "(<") - (character in ")>")
