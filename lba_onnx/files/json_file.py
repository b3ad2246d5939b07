"""JSON files: written whole or not at all, read with clear errors."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from lba_onnx.errors import DataError, LbaError
from lba_onnx.files.atomic import replacing
from lba_onnx.files.regular import check_regular

_MOST_DIGITS = 19  # all numbers of fewer fit into 64 bits


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON object; a file that was there is replaced in one step, or kept where writing fails.

    Raises:
        OSError: The file cannot be written.
        ValueError: A number is not finite.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in one step: nothing half written is ever seen under its name.

    Raises:
        OSError: The file cannot be written.
    """
    with replacing(Path(path)) as file:
        file.write(text.encode())


def read_json(path: str | os.PathLike[str], error_type: type[LbaError]) -> Mapping[str, Any]:
    """Read a JSON object.

    Raises:
        LbaError: Of the given type: the file is missing, or holds something else.
    """
    check_regular(path, error_type)
    try:
        value = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise error_type(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise error_type(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text whose numbers are finite, whole ones of 64 bits, and whose names are unique.

    Raises:
        RecursionError: It is nested too deeply.
        ValueError: It is something else.
    """
    hooks: dict[str, Any] = {"parse_constant": _refuse_number, "parse_float": _finite, "parse_int": _whole}
    return json.loads(text, object_pairs_hook=_unique, **hooks)


def check_kind(value: Any, what: str, kind: str, schema: int) -> None:
    """Refuse what a file of another kind, or of another schema, holds.

    Args:
        value: The JSON object, or the head of a file of several.
        what: What is expected, in words.
        kind: Its kind, such as "lba_onnx.search".
        schema: Its schema.

    Raises:
        ValueError: One of them differs, or the value is no object.
    """
    found = [value.get(name) if isinstance(value, Mapping) else None for name in ("kind", "schema")]
    if found != [kind, schema]:
        got = "kind {!r}, schema {!r}".format(*found)
        raise ValueError(f"expected {what} (kind {kind!r}, schema {schema}), got {got}")


def check_file_kind(path: str | os.PathLike[str], value: Any, what: str, kind: str, schema: int) -> None:
    """Refuse what a file holds as `check_kind` does, by an error that names the file.

    Raises:
        DataError: One of them differs, or the value is no object.
    """
    try:
        check_kind(value, what, kind, schema)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def differing_names(expected: Mapping[str, Any], found: Any) -> str:
    """Return the names whose values a file has otherwise, or not at all; empty where it only has more."""
    old = found if isinstance(found, Mapping) else {}
    return ", ".join(name for name, value in expected.items() if old.get(name) != value)


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"expected a number of 64 bits, got {text:.40}")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _whole(text: str) -> int:
    return int(text) if len(text) < _MOST_DIGITS else _refuse_number(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"expected each name once, got {next(n for n in names if names.count(n) > 1)!r} again")
    return value
