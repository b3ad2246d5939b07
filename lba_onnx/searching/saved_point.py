"""A point of a search that was saved: its accumulators, as `convert` takes them, and where they come from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator, parse_accumulator
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import check_file_kind, read_json
from lba_onnx.searching.search_result import KIND, SCHEMA

_PROVENANCE = ("model_sha256", "data_sha256", "versions")


@dataclass(frozen=True)
class SavedPoint:
    """A point, as far as conversion goes.

    Attributes:
        specs: Keys of products to accumulators; products in float32 are left out.
        provenance: What the converted model keeps of where they come from.
        source: The file.
    """

    specs: Mapping[str, Accumulator]
    provenance: Mapping[str, Any]
    source: str


def load_point(path: str | os.PathLike[str], number: int | None = None) -> SavedPoint:
    """Read a point from a file that `Search.save` wrote.

    Args:
        path: The file.
        number: Which of its points, from 1 on; None where there is only one.

    Raises:
        DataError: The file is missing, is no search, or has no such point.
    """
    value = read_json(path, DataError)
    check_file_kind(path, value, "a search", KIND, SCHEMA)
    points = value.get("points")
    if not isinstance(points, list) or not points:
        raise DataError(f"{path}: expected a list 'points' with at least one, got {type(points).__name__}")
    if number is None and len(points) > 1:
        raise DataError(f"{path}: expected the number of one of its {len(points)} points, got none")
    if number is not None and not 1 <= number <= len(points):
        raise DataError(f"{path}: expected the number of a point, 1 to {len(points)}, got {number}")
    number = number or 1
    try:
        specs = {str(name): parse_accumulator(text) for name, text in points[number - 1]["specs"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: point {number}: expected accumulators of nodes in 'specs': {error!r}") from None
    told = {name: value[name] for name in _PROVENANCE if name in value}
    return SavedPoint(specs, {"method": "search", "point": number, **told}, str(path))
