"""The file by which an interrupted correction goes on.

    {"kind": "lba_onnx.correction_progress", "schema": 1, "settings": {...}}
    {"recipe": "refit", "node": "conv1", "shapes": {"scale": [32], "offset": [32], ...}, "sha256": "..."}
    values of these arrays, float32, little-endian, one after the other
    {"recipe": "refit", "node": "conv2", ...}
    ...
    {"recipe": "refit", "node": null, "shapes": {}, "sha256": "..."}                        the recipe is done

Each layer is added as soon as it is corrected. An entry that was cut off, or is damaged, is cut away with all that
follows it. When the run is done, the file is removed.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lba_onnx.correction.corrected_layer import Corrected, Floats, corrected_from
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import check_file_kind, parse_json
from lba_onnx.files.regular import check_regular

KIND = "lba_onnx.correction_progress"
SCHEMA = 1
_FLOAT = np.dtype("<f4")


class LayerNotes(dict[str, Corrected]):
    """The corrected layers of a recipe by name; what is added is written to the file, if there is one.

    Attributes:
        is_done: Whether there are no others.
    """

    def __init__(self, file: "ProgressFile", recipe: str) -> None:
        super().__init__(file.saved.get(recipe, {}))
        self.is_done = recipe in file.done
        self._file, self._recipe = file, recipe

    def __setitem__(self, name: str, layer: Corrected) -> None:
        super().__setitem__(name, layer)
        self._file.append(self._recipe, name, layer.to_arrays())

    def finish(self) -> None:
        """Note that there are no others."""
        self.is_done = True
        self._file.append(self._recipe, None, {})


class ProgressFile:
    """Where progress is kept, if anywhere.

    Attributes:
        saved: The layers that the file held at first, by recipe and by name.
        done: The recipes that were done.
    """

    def __init__(self, path: str | os.PathLike[str] | None, settings: Mapping[str, Any]) -> None:
        """Read the file if there is one.

        Args:
            path: The file; None to keep nothing.
            settings: What the progress depends on, as JSON values.

        Raises:
            DataError: The file is something else, or belongs to a correction with other settings.
        """
        self.saved: dict[str, dict[str, Corrected]] = {}
        self.done: set[str] = set()
        self._path = None if path is None else Path(path)
        self._head = {"kind": KIND, "schema": SCHEMA, "settings": dict(settings)}
        if self._path is not None and self._path.exists():
            check_regular(self._path, DataError)
            self._read(self._path)

    def append(self, recipe: str, node: str | None, arrays: Mapping[str, Floats]) -> None:
        """Add a layer; without a node, the end of a recipe.

        Raises:
            OSError: The file cannot be written.
        """
        if self._path is None:
            return
        entry = {"recipe": recipe, "node": node, "shapes": {name: array.shape for name, array in arrays.items()}}
        values = b"".join(np.ascontiguousarray(array, _FLOAT).tobytes() for array in arrays.values())
        with self._path.open("ab") as file:
            if file.tell() == 0:
                file.write(_line(self._head))
            file.write(_line({**entry, "sha256": _digest(entry, values)}) + values)

    def remove(self) -> None:
        """Remove the file: nothing is left to do."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._check_head(path, file.readline())
            whole = file.tell()
            for recipe, node, arrays in _entries(file):
                if node is None:
                    self.done.add(recipe)
                else:
                    self.saved.setdefault(recipe, {})[node] = corrected_from(arrays)
                whole = file.tell()
            file.truncate(whole)

    def _check_head(self, path: Path, line: bytes) -> None:
        head = _parsed(line)
        check_file_kind(path, head, "the progress of a correction", KIND, SCHEMA)
        if head.get("settings") != self._head["settings"]:
            raise DataError(
                f"{path}: expected the model, the data and the version of the interrupted run, got others; "
                "remove the file to start anew"
            )


def _entries(file: BinaryIO) -> Iterator[tuple[str, str | None, dict[str, Floats]]]:
    """Yield recipe, node and arrays of each entry, up to the first that is not whole."""
    while entry := _parsed(file.readline()):
        try:
            shapes = {name: tuple(map(int, shape)) for name, shape in entry["shapes"].items()}
            values = file.read(sum(map(math.prod, shapes.values())) * _FLOAT.itemsize)
            if entry.pop("sha256") != _digest(entry, values):
                return
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return
        flat, arrays, begin = np.frombuffer(values, _FLOAT).astype(np.float32), {}, 0
        for name, shape in shapes.items():
            arrays[name] = flat[begin : begin + math.prod(shape)].reshape(shape)
            begin += math.prod(shape)
        yield entry["recipe"], entry["node"], arrays


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a whole line; nothing where it is none."""
    try:
        value = parse_json(line) if line.endswith(b"\n") else None
    except (RecursionError, ValueError):
        value = None
    return value if isinstance(value, dict) else {}


def _digest(entry: Mapping[str, Any], values: bytes) -> str:
    return hashlib.sha256(_line(entry) + values).hexdigest()


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
