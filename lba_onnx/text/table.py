"""Tables of text, for a terminal of some width or for a file.

What is in a column decides what happens where the width does not suffice:

    figures   formats, numbers: always whole
    names     of nodes, operators, files: shortened in the middle, so that both ends stay
    remarks   sentences: go on in further lines

Without a width nothing is shortened, and a row is a line.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from lba_onnx.text.columns import Column, Kind, Widths
from lba_onnx.text.layout import Part, arrange, side_by_side
from lba_onnx.text.visible import visible
from lba_onnx.text.width import columns_of, shorten, wrap

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

_LEAST_WIDTH = 20
_MOST_PADDING = 120
"""In a file, longer cells stand out of their column, instead of making all rows as long."""


class TextTable:
    """Rows of cells under headings: `str` is the table in full, `lines` fits it into a width.

    Columns of remarks without any are left out. Characters that are no glyphs are shown as escapes.
    """

    def __init__(self, columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str = "") -> None:
        """Keep what `lines` arranges.

        Args:
            columns: What the cells of each row hold; remarks come last.
            rows: A cell per column.
            title: A sentence to stand above.
        """
        cells = [tuple(map(visible, row)) for row in rows]
        by_column = list(zip(*cells, strict=True)) or [()] * len(columns)
        kept = [i for i, column in enumerate(columns) if column.kind is not Kind.REMARK or any(by_column[i])]
        self._columns = [Column(visible(columns[i].heading), columns[i].kind) for i in kept]
        self._widths = [Widths.of(column, by_column[i]) for column, i in zip(self._columns, kept, strict=True)]
        self._rows = list(zip(*(by_column[i] for i in kept), strict=True))
        self._title = visible(title)

    def __str__(self) -> str:
        """Return the table in full."""
        return "\n".join(self.lines())

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[Text]":
        """Give rich the table in the width that it has."""
        from rich.text import Text

        yield Text("\n".join(self.lines(options.max_width)), no_wrap=True, overflow="ignore")

    def lines(self, width: int | None = None) -> Iterator[str]:
        """Return the lines of the table.

        Args:
            width: Terminal columns that a line may take; None for no limit. Figures wider than that stay whole.
        """
        is_limited = width is not None
        parts = arrange(self._widths, max(width, _LEAST_WIDTH)) if width is not None else self._in_full()
        if self._title:
            yield from wrap(self._title, width)
        headings = [column.heading for column in self._columns]
        for part in parts:
            yield from _side_by_side(part, [_heading(headings[i], w) for i, w in part.columns])
        yield "─" * max(part.width for part in parts)
        for row in self._rows:
            yield from self._row_lines(row, parts, is_limited)

    def _in_full(self) -> tuple[Part, ...]:
        return (side_by_side(self._widths, _MOST_PADDING),)

    def _row_lines(self, row: Sequence[str], parts: Sequence[Part], is_limited: bool) -> Iterator[str]:
        for part in parts:
            if part is parts[0] or any(row[i] for i in part.places):
                cells = [self._cell_lines(i, row[i], w) if is_limited else [row[i]] for i, w in part.columns]
                yield from _side_by_side(part, cells)

    def _cell_lines(self, place: int, text: str, width: int) -> list[str]:
        kind = self._columns[place].kind
        if kind is Kind.REMARK:
            return wrap(text, width, is_breaking=True)
        return [shorten(text, width) if kind is Kind.NAME else text]


def _heading(text: str, width: int) -> list[str]:
    return [shorten(line, width) for line in wrap(text, width)]


def _side_by_side(part: Part, cells: list[list[str]]) -> Iterator[str]:
    """Return the lines of cells beside each other; one, where no cell goes on."""
    for number in range(max(map(len, cells))):
        texts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [text + " " * (width - columns_of(text)) for text, width in zip(texts, part.widths, strict=True)]
        yield (" " * part.indent + (" " * part.gap).join(padded)).rstrip()
