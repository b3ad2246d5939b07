"""What the columns of a table hold, and how wide each may be."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from lba_onnx.text.width import columns_of

_LEAST_NAME = 16


class Kind(Enum):
    """What the cells of a column hold."""

    FIGURE = "figure"
    NAME = "name"
    REMARK = "remark"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        heading: What stands above.
        kind: What its cells hold.
    """

    heading: str
    kind: Kind


def names(*headings: str) -> tuple[Column, ...]:
    """Return columns of names, which may be shortened."""
    return tuple(Column(heading, Kind.NAME) for heading in headings)


def figures(*headings: str) -> tuple[Column, ...]:
    """Return columns of formats or numbers, which are always whole."""
    return tuple(Column(heading, Kind.FIGURE) for heading in headings)


def remarks(*headings: str) -> tuple[Column, ...]:
    """Return columns of sentences, which may take several lines."""
    return tuple(Column(heading, Kind.REMARK) for heading in headings)


@dataclass(frozen=True)
class Widths:
    """How wide a column may be, in columns of a terminal.

    Attributes:
        kind: What its cells hold.
        full: Everything whole.
        compact: All cells whole, the heading in several lines.
        least: Names shortened as far as they may be.
    """

    kind: Kind
    full: int
    compact: int
    least: int

    @classmethod
    def of(cls, column: Column, cells: Sequence[str]) -> "Widths":
        """Return the widths of a column of printable cells."""
        longest = max(map(columns_of, cells), default=0)
        word = min(max(map(columns_of, column.heading.split()), default=0), _LEAST_NAME)
        compact = max(longest, word)
        least = min(compact, _LEAST_NAME) if column.kind is Kind.NAME else compact
        return cls(column.kind, max(longest, columns_of(column.heading)), compact, least)
