"""Results of other commands that a report is fed with: JSON files, each checked where its section is made."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lba_onnx.errors import DataError
from lba_onnx.files.json_file import read_json

COMMANDS = {
    "compare": "what `lba-onnx compare --json` prints",
    "evaluate": "what `lba-onnx evaluate --json` prints",
    "debug": "what `lba-onnx debug --json` prints",
    "cost": "what `lba-onnx cost --json` prints",
    "calibration": "what `lba-onnx calibrate` writes",
    "sweep": "what `lba-onnx sweep` writes",
    "search": "what `lba-onnx search` writes",
}
"""Names of results to what they are, in words."""

_HASHES = ("model_sha256", "reference_sha256", "data_sha256", "calibration_data_sha256")
_OF_ONE_SECTION = (("compare", "evaluate"),)
_WRONG = (AttributeError, LookupError, TypeError, ValueError)
Section = TypeVar("Section")


@dataclass(frozen=True)
class Results:
    """Results by the name of their command.

    Attributes:
        values: The JSON objects.
        sources: Where each comes from, for the page and for errors.
    """

    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Mapping[str, str | os.PathLike[str] | None]) -> "Results":
        """Read files.

        Args:
            paths: Names, of `COMMANDS`, to files; None for one that is not there.

        Raises:
            DataError: A file is missing, or holds no JSON object.
            ValueError: A name is another.
        """
        unknown = [name for name in paths if name not in COMMANDS]
        if unknown:
            raise ValueError(f"expected results of {', '.join(COMMANDS)}, got {unknown[0]!r}")
        given = {name: Path(path) for name, path in paths.items() if path is not None}
        values = {name: read_json(path, DataError) for name, path in given.items()}
        return cls(values, {name: str(path) for name, path in given.items()})

    @property
    def hashes(self) -> dict[str, str]:
        """The hashes of data and models that results tell of, by command and name."""
        found = ((name, key, value[key]) for name, value in self.values.items() for key in _HASHES if key in value)
        return {f"{name}: {key}": text for name, key, text in found if isinstance(text, str)}

    def check_sections(self) -> None:
        """Refuse results of which only one would be shown.

        Raises:
            DataError: There are several for one section.
        """
        for names in _OF_ONE_SECTION:
            given = [name for name in names if name in self.values]
            if len(given) > 1:
                files = " and ".join(f"{self.sources[name]} of {name}" for name in given)
                raise DataError(f"expected a result of {' or '.join(names)}, which fill one section, got {files}")

    def with_measured(self, measured: Mapping[str, Mapping[str, Any] | None], source: str) -> "Results":
        """Return the results with those besides that were measured; what was given counts more."""
        found = {name: value for name, value in measured.items() if value is not None}
        return Results({**found, **self.values}, {**dict.fromkeys(found, source), **self.sources})

    def section(self, name: str, make: Callable[[Mapping[str, Any]], Section]) -> Section | None:
        """Return what `make` makes of a result; None without it.

        Raises:
            DataError: The result is not of the command that it is said to be of.
        """
        value = self.values.get(name)
        if value is None:
            return None
        try:
            return make(value)
        except _WRONG as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(f"{self.sources[name]}: expected {COMMANDS[name]}, got something else: {why}") from error
