"""What gates, energy and area are computed from: a JSON file, of which a user may give any part anew.

    {"cells": {"source": "my library", "gates": {"DFF": 4.5}}}                                  flip-flops of 4.5 gates
    {"measured": [{"accumulator": "M7E4b12/M7E4b10", "operands": "M4E3", "gates": 851, "source": "synthesis, 7 nm"}]}

What a file leaves out is that of the package, `lba_onnx/costing/tables/default.json`; names and sources are those of
the figures beside them, and are not taken over.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.arithmetic.operands import Operand, Operands
from lba_onnx.costing.cells import CELLS
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import read_json

_SORTS = ("float", "integer")
_OPERATIONS = ("add", "multiply")
_FIGURES = ("gates", "pj", "um2")
_ANCHOR = ("format", "pj", "um2")
_ORIGINS = ("name", "process", "source", "notes")


@dataclass(frozen=True)
class Anchor:
    """The published figures of one operation in one format.

    Attributes:
        format: The format.
        pj: Energy in picojoules.
        um2: Area in square micrometres.
    """

    format: Operand
    pj: float
    um2: float


@dataclass(frozen=True)
class Measured:
    """What somebody measured of an accumulator; it takes the place of what the model says.

    Attributes:
        accumulator: The accumulator's text, as `str` writes it.
        operands: The formats of its operands, likewise.
        gates: Gates of all that one product takes.
        pj: Energy in picojoules; None for what the model says.
        um2: Area in square micrometres, likewise.
        source: Where the figures come from.
    """

    accumulator: str
    operands: str
    gates: float
    pj: float | None
    um2: float | None
    source: str


@dataclass(frozen=True)
class CostTable:
    """A table of costs.

    Attributes:
        name: What it is called.
        cells: Gates of each cell.
        anchors: The published operations, by "float" or "integer" and "add" or "multiply".
        measured: What was measured.
        process: Of which process energy and area are.
        sources: Where cells and operations come from.
    """

    name: str
    cells: Mapping[str, float]
    anchors: Mapping[tuple[str, str], tuple[Anchor, ...]]
    measured: tuple[Measured, ...]
    process: str
    sources: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return its name, the gates of each cell, what was measured, the process of energy and area, and sources."""
        return {
            "name": self.name,
            "cells": dict(self.cells),
            "measured": [vars(entry) for entry in self.measured],
            "process": self.process,
            "sources": dict(self.sources),
        }

    def measured_of(self, spec: Accumulator, operands: Operands) -> Measured | None:
        """Return what was measured of an accumulator with such operands, or None."""
        key = str(spec), str(operands)
        return next((entry for entry in self.measured if (entry.accumulator, entry.operands) == key), None)


def load_table(path: "str | os.PathLike[str] | None" = None) -> CostTable:
    """Read a table.

    Args:
        path: A JSON file; None for the table of the package.

    Raises:
        DataError: The file cannot be read, or holds something else.
    """
    if path is None:
        return _default()
    try:
        completed = _completed(read_json(path, DataError), _default_json(), "")
        return _read({"name": os.path.basename(path), **completed})
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None


@cache
def _default() -> CostTable:
    return _read(_default_json())


def _default_json() -> dict[str, Any]:
    value: dict[str, Any] = json.loads(files("lba_onnx.costing").joinpath("tables/default.json").read_text("utf-8"))
    return value


def _completed(value: Mapping[str, Any], default: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a part of a file with all that it leaves out, but for what tells where figures come from."""
    _check_keys(value, default, where)
    completed = {key: inherited for key, inherited in default.items() if key not in _ORIGINS}
    for key, given in value.items():
        place, inherited = f"{where}.{key}".lstrip("."), default[key]
        is_part = isinstance(inherited, Mapping)
        completed[key] = _completed(_object(given, place), inherited, place) if is_part else given
    return completed


def _check_keys(value: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ValueError(f"{where}{': ' if where else ''}expected some of {', '.join(known)}, got {unknown[0]!r}")


def _read(value: Mapping[str, Any]) -> CostTable:
    cells, operations = _object(value["cells"], "cells"), _object(value["operations"], "operations")
    gates = _object(cells["gates"], "cells.gates")
    return CostTable(
        _text(value["name"], "name"),
        {name: _positive(gates[name], f"cells.gates.{name}") for name in CELLS},
        {(sort, operation): _anchors(operations, sort, operation) for sort in _SORTS for operation in _OPERATIONS},
        _all_measured(_list(value["measured"], "measured")),
        _text(operations.get("process", ""), "operations.process"),
        {
            "cells": _text(cells.get("source", ""), "cells.source"),
            "operations": _text(operations.get("source", ""), "operations.source"),
        },
    )


def _anchors(operations: Mapping[str, Any], sort: str, operation: str) -> tuple[Anchor, ...]:
    place = f"operations.{sort}.{operation}"
    entries = _list(_object(operations.get(sort), f"operations.{sort}").get(operation), place)
    anchors = []
    for index, entry in enumerate(entries):
        where = f"{place}[{index}]"
        _check_keys(_object(entry, where), _ANCHOR, where)
        held = Operand.parse(_text(entry.get("format"), f"{where}.format"))
        if (held.exponent_bits == 0) != (sort == "integer"):
            raise ValueError(f"{where}.format: expected {sort}s, got {held.text}")
        pj, um2 = (_positive(entry.get(figure), f"{where}.{figure}") for figure in ("pj", "um2"))
        anchors.append(Anchor(held, pj, um2))
    if not anchors:
        raise ValueError(f"{place}: expected at least one entry, got none")
    return tuple(sorted(anchors, key=lambda anchor: anchor.format.significant_bits))


def _all_measured(values: Sequence[Any]) -> tuple[Measured, ...]:
    found: dict[tuple[str, str], Measured] = {}
    for index, value in enumerate(values):
        entry = _measured(value, f"measured[{index}]")
        key = entry.accumulator, entry.operands
        if key in found:
            first = list(found).index(key)
            raise ValueError(f"measured[{index}]: {' with operands '.join(key)} has been measured in measured[{first}]")
        found[key] = entry
    return tuple(found.values())


def _measured(value: Any, where: str) -> Measured:
    entry = _object(value, where)
    _check_keys(entry, ("accumulator", "operands", "source", *_FIGURES), where)
    figures = [_positive(entry[key], f"{where}.{key}") if key in entry else None for key in ("pj", "um2")]
    return Measured(
        str(as_spec(_text(entry.get("accumulator"), f"{where}.accumulator"), f"{where}.accumulator")),
        str(Operands.parse(_text(entry.get("operands"), f"{where}.operands"))),
        _positive(entry.get("gates"), f"{where}.gates"),
        figures[0],
        figures[1],
        _text(entry.get("source", ""), f"{where}.source"),
    )


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list, got {type(value).__name__}")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a text, got {type(value).__name__}")
    return value


def _positive(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f"{where}: expected a number above 0, got {value!r}")
    return float(value)
