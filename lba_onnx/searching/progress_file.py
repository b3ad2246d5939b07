"""The file by which an interrupted search goes on: a JSON object a line.

    {"kind": "lba_onnx.search_progress", "schema": 2, "settings": {...}}
    {"key": "calibration M7E4", "value": {...}}
    {"key": "sensitivity conv1", "value": {...}}
    {"key": "model M7E4 M7E4 M5E4", "value": {...}}

The file comes into being with the first thing that is found, and each is added at once; a last line that was cut off
does not count. When the search is done, the file is removed.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lba_onnx.errors import DataError
from lba_onnx.files.atomic import append
from lba_onnx.files.json_file import check_file_kind, differing_names, parse_json
from lba_onnx.files.regular import check_regular

KIND = "lba_onnx.search_progress"
SCHEMA = 2


class ProgressFile:
    """Where progress is kept, if anywhere."""

    def __init__(self, path: str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> None:
        """Read the file if there is one.

        Args:
            path: The file; None to keep nothing.
            settings: What the progress depends on, as JSON values.

        Raises:
            DataError: The file is something else, or belongs to a search with other settings.
        """
        self._path = None if path is None else Path(path)
        self._settings: dict[str, Any] = dict(settings)
        self._known: dict[str, Any] = {}
        if self._path is not None and self._path.exists():
            self._read(self._path)

    def find(self, key: str) -> Any:
        """Return what was noted; None where it was not."""
        return self._known.get(key)

    def add(self, key: str, value: Any) -> None:
        """Note a value.

        Raises:
            OSError: The file cannot be written.
        """
        self._known[key] = value
        if self._path is None:
            return
        lines = [{"key": key, "value": value}]
        if not self._path.exists():
            lines.insert(0, {"kind": KIND, "schema": SCHEMA, "settings": self._settings})
        append(self._path, "".join(json.dumps(line) + "\n" for line in lines))

    def remove(self) -> None:
        """Remove the file: nothing is left to do."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        check_regular(path, DataError)
        text = path.read_bytes()
        end = text.rfind(b"\n") + 1
        try:
            head, *entries = [parse_json(line) for line in text[:end].splitlines()]
            self._check_head(path, head)
            self._known = {str(entry["key"]): entry["value"] for entry in entries}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(
                f"{path}: expected what an unfinished search has left; remove the file: {error!r}"
            ) from None
        os.truncate(path, end)  # only now that it is known to be one of ours

    def _check_head(self, path: Path, head: Any) -> None:
        check_file_kind(path, head, "the progress of a search", KIND, SCHEMA)
        settings, found = self._settings, head.get("settings")
        if found != json.loads(json.dumps(settings)):
            names = differing_names(settings, found)
            raise DataError(
                f"{path}: expected the settings of the interrupted run, got others{names and ': '}{names}; "
                "remove the file to start anew"
            )
