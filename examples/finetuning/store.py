"""The file of an experiment's results: a row per run; a run that it holds already is not repeated."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lba_onnx.files.json_file import write_json

Row = dict[str, Any]


@dataclass
class Store:
    """Rows, in the order in which they were added, and the file that they are kept in.

    Several processes may add to one file.

    Attributes:
        experiment: Its name.
        environment: Of the machine and the versions, for new rows' file.
        path: The file; None keeps the rows in memory only.
    """

    experiment: str
    environment: Row
    path: Path | None = None
    _rows: list[Row] = field(default_factory=list)

    @property
    def rows(self) -> list[Row]:
        """All rows, those of other processes too."""
        return self._rows if self.path is None else read_rows(self.path)

    def holds(self, key: Mapping[str, Any]) -> bool:
        """Return whether there is a row with these settings."""
        return any(_has(row, key) for row in self.rows)

    def add(self, key: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
        """Add a row, or replace that of the same settings."""
        row = {**key, **figures}
        if self.path is None:
            self._rows.append(row)
            return
        with _locked(self.path.parent):
            rows = [*(other for other in self.rows if not _has(other, key)), row]
            document = {"experiment": self.experiment, "environment": self.environment, "results": rows}
            write_json(self.path, document)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is between reading and writing a file of a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file, none where it does not exist yet."""
    rows: list[Row] = json.loads(path.read_text())["results"] if path.exists() else []
    return rows


def _has(row: Row, key: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in key.items())
