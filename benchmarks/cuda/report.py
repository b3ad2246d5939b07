"""Tables in plain text, targets that are met or missed, and JSON; only the standard library is needed."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of a printed table.

    Attributes:
        key: Entry of a row.
        title: Heading.
        form: Format specification of the numbers; empty for text.
    """

    key: str
    title: str
    form: str = ""


@dataclass(frozen=True)
class Target:
    """What a figure has to reach.

    Attributes:
        name: What is measured.
        limit: Where met ends.
        is_least: Whether `limit` is the least that is allowed; else the most.
        measured: The worst figure; None where there is none.
        where: Which case it comes from.
    """

    name: str
    limit: float
    is_least: bool
    measured: float | None
    where: str = ""

    @property
    def verdict(self) -> str:
        """Met, missed or not measured."""
        if self.measured is None:
            return "not measured"
        is_met = self.measured >= self.limit if self.is_least else self.measured <= self.limit
        return "met" if is_met else "missed"

    def to_row(self) -> Row:
        """Entries of the table of targets."""
        return {**asdict(self), "bound": f"{'>=' if self.is_least else '<='} {self.limit:g}", "verdict": self.verdict}


TARGET_COLUMNS = (
    Column("name", "target"),
    Column("bound", "bound"),
    Column("measured", "measured", ".3f"),
    Column("verdict", "verdict"),
    Column("where", "where"),
)


def worst(rows: Sequence[Row], key: str, name: str, limit: float, is_least: bool) -> Target:
    """The target of one figure over all rows that have it."""
    measured = [row for row in rows if row.get(key) is not None]
    if not measured:
        return Target(name, limit, is_least, None)
    row = (min if is_least else max)(measured, key=lambda row: row[key])
    return Target(name, limit, is_least, row[key], f"worst of {len(measured)}: {row['case']}")


def format_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> str:
    """A table as text: numbers to the right, columns without any entry left out."""
    shown = [column for column in columns if any(row.get(column.key) is not None for row in rows)]
    cells = [[column.title for column in shown], *([_text(row, column) for column in shown] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(shown))]
    lines = [
        "  ".join(
            text.rjust(width) if column.form else text.ljust(width)
            for text, width, column in zip(line, widths, shown, strict=True)
        ).rstrip()
        for line in cells
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([title, rule, lines[0], rule, *lines[1:], ""])


def _text(row: Mapping[str, Any], column: Column) -> str:
    value = row.get(column.key)
    return "" if value is None else format(value, column.form)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write the whole file or nothing: whoever reads it meets no half."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        json.dump(document, file, indent=1, default=str)
        file.write("\n")
    Path(temporary).replace(path)
