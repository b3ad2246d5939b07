"""Where the columns of a table go: side by side, or, where the width does not suffice, in several lines a row."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lba_onnx.text.columns import Kind, Widths

_GAP = 2
_INDENT = 4
_LEAST_REMARK = 30


@dataclass(frozen=True)
class Part:
    """Columns side by side, which take one line of each row.

    Attributes:
        places: Which columns.
        widths: How wide each is.
        gap: Spaces between them.
        indent: Spaces before them.
    """

    places: tuple[int, ...]
    widths: tuple[int, ...]
    gap: int = _GAP
    indent: int = 0

    @property
    def columns(self) -> Iterator[tuple[int, int]]:
        """The place and the width of each column."""
        return zip(self.places, self.widths, strict=True)

    @property
    def width(self) -> int:
        """How wide all of it is."""
        return self.indent + sum(self.widths) + self.gap * max(len(self.widths) - 1, 0)


def side_by_side(columns: Sequence[Widths], most: int) -> Part:
    """Return all columns in full, none wider than `most`."""
    return Part(tuple(range(len(columns))), tuple(min(column.full, most) for column in columns))


def arrange(columns: Sequence[Widths], width: int) -> tuple[Part, ...]:
    """Return the parts that a row takes within a width.

    Names give way first; then remarks go under the row; then the other columns take several lines.
    """
    others = [place for place, column in enumerate(columns) if column.kind is not Kind.REMARK]
    remarks = [place for place, column in enumerate(columns) if column.kind is Kind.REMARK]
    one = _one_line(columns, others, width)
    parts = _folded(columns, others, width) if one is None else (one,)
    beside = None if one is None else _beside(columns, one, remarks, width)
    if beside is not None:
        return (beside,)
    return (
        *parts,
        *(Part((place,), (min(columns[place].full, width - _INDENT),), indent=_INDENT) for place in remarks),
    )


def _one_line(columns: Sequence[Widths], places: list[int], width: int) -> Part | None:
    """Return the places side by side, as roomy as they fit; None where they do not."""
    attempts: tuple[tuple[int, Callable[[Widths], int], Callable[[Widths], int]], ...] = (
        (_GAP, lambda c: c.full, lambda c: c.full),
        (_GAP, lambda c: c.compact, lambda c: c.compact),
        (_GAP, lambda c: c.least, lambda c: c.compact),
        (1, lambda c: c.least, lambda c: c.compact),
    )
    for gap, least, most in attempts:
        limits = [(least(columns[place]), most(columns[place])) for place in places]
        room = width - gap * (len(places) - 1)
        if sum(low for low, _ in limits) <= room:
            return Part(tuple(places), _share(limits, room), gap)
    return None


def _folded(columns: Sequence[Widths], places: list[int], width: int) -> tuple[Part, ...]:
    """Return as many columns in each part as fit, all but the first part indented."""
    lines: list[list[int]] = [[]]
    for place in places:
        taken = sum(columns[other].least + _GAP for other in lines[-1]) + columns[place].least
        if lines[-1] and taken > width - _INDENT * (len(lines) > 1):
            lines.append([])
        lines[-1].append(place)
    parts: list[Part] = []
    for line in lines:
        indent = _INDENT if parts else 0
        limits = [(columns[place].least, columns[place].compact) for place in line]
        parts.append(Part(tuple(line), _share(limits, width - indent - _GAP * (len(line) - 1)), indent=indent))
    return tuple(parts)


def _beside(columns: Sequence[Widths], part: Part, remarks: list[int], width: int) -> Part | None:
    """Return the part with the remarks at its end; None where they have too little room."""
    limits = [(min(columns[place].full, _LEAST_REMARK), columns[place].full) for place in remarks]
    room = width - part.width - part.gap * len(remarks)
    if sum(low for low, _ in limits) > room:
        return None
    return Part((*part.places, *remarks), (*part.widths, *_share(limits, room)), part.gap)


def _share(limits: Iterable[tuple[int, int]], room: int) -> tuple[int, ...]:
    """Return widths between the limits that fit the room: the widest give way until they are alike."""
    limits = tuple(limits)
    cap = max((high for _, high in limits), default=0)
    while cap > 0 and sum(min(max(cap, low), high) for low, high in limits) > room:
        cap -= 1
    return tuple(min(max(cap, low), high) for low, high in limits)
