"""The file by which an interrupted calibration goes on.

    {"kind": "lba_onnx.calibration_progress", "schema": 2,
     "settings": {...}, "samples": 1024, "data_sha256": "... of these samples", "nodes": {"conv1": {...} | null},
     "peaks": {...}}

It is written whole or not at all: every few seconds, and when the run is interrupted. When the run is done, it is
removed.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lba_onnx.calibration.peaks import Peaks
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import check_file_kind, differing_names, read_json, write_json

KIND = "lba_onnx.calibration_progress"
SCHEMA = 2

_SECONDS_BETWEEN_WRITES = 10.0


@dataclass(frozen=True)
class Counted:
    """What has been counted so far.

    Attributes:
        samples: Samples counted.
        data_sha256: Hash of what the model was fed for them.
        ranges: What each node has seen; None for nodes that never ran.
        peaks: Which batches hold the largest values, as `Peaks.to_json` returns it.
    """

    samples: int = 0
    data_sha256: str = ""
    ranges: Mapping[str, NodeRange | None] = field(default_factory=dict)
    peaks: Mapping[str, Any] = field(default_factory=lambda: Peaks().to_json())


class ProgressFile:
    """Where progress is kept, if anywhere.

    Attributes:
        saved: What the file held at first.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> None:
        """Read the file if there is one.

        Args:
            path: The file; None to keep nothing.
            settings: What the progress depends on, as JSON values.

        Raises:
            DataError: The file is something else, or belongs to a calibration with other settings.
        """
        self._path = None if path is None else Path(path)
        self._settings = dict(settings)
        self._latest: Counted | None = None
        self._written_at = time.monotonic()
        self.saved = Counted()
        if self._path is not None and self._path.exists():
            self.saved = _read(self._path, self._settings)

    def update(self, counted: Counted) -> None:
        """Take note of progress; write it if the last time is long enough ago."""
        self._latest = counted
        if time.monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write the latest progress.

        Raises:
            OSError: The file cannot be written.
        """
        if self._path is None or self._latest is None:
            return
        latest = self._latest
        nodes = {name: None if seen is None else seen.to_json() for name, seen in latest.ranges.items()}
        head = {"kind": KIND, "schema": SCHEMA, "settings": self._settings}
        counted = {"samples": latest.samples, "data_sha256": latest.data_sha256, "nodes": nodes, "peaks": latest.peaks}
        write_json(self._path, {**head, **counted})
        self._written_at = time.monotonic()

    def remove(self) -> None:
        """Remove the file: nothing is left to do."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def check_data(self, samples: int, data_sha256: str) -> None:
        """Refuse data that begin differently from those that were counted.

        Args:
            samples: How many samples have been read so far.
            data_sha256: Their hash.

        Raises:
            DataError: The saved samples end here and differ, or should have ended before.
        """
        if samples > self.saved.samples or (samples == self.saved.samples and data_sha256 != self.saved.data_sha256):
            raise DataError(
                f"{self._path}: expected the data to begin with the {self.saved.samples} samples of the interrupted "
                "run, got others; remove the file to start anew"
            )


def _read(path: Path, settings: Mapping[str, Any]) -> Counted:
    value = read_json(path, DataError)
    check_file_kind(path, value, "the progress of a calibration", KIND, SCHEMA)
    found = value.get("settings")
    if found != settings:
        names = differing_names(settings, found)
        raise DataError(f"{path}: expected the settings of the interrupted run, got others{names and ': '}{names}")
    try:
        nodes = {name: None if seen is None else NodeRange.from_json(seen) for name, seen in value["nodes"].items()}
        peaks = Peaks.from_json(value["peaks"]).to_json()
        return Counted(int(value["samples"]), str(value["data_sha256"]), nodes, peaks)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {error}") from error
