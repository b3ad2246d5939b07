"""The kind of JSON file that a calibration is saved in, as far as conversion goes: keys of products to specs.

{"kind": "lba_onnx.calibration", "schema": 2, "family": "M7E4", ..., "nodes": {"conv1": {"spec": {...}, ...}, ...}}
"""

import os
from collections.abc import Mapping
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.registry import from_json
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import check_kind, read_json

KIND = "lba_onnx.calibration"
SCHEMA = 2
_NOT_PROVENANCE = ("kind", "schema", "nodes")


def read_biases(path: str | os.PathLike[str]) -> tuple[dict[str, Accumulator], dict[str, Any]]:
    """Read the specs from a biases file, and where they come from.

    Returns:
        Keys of products to specs, and what `Calibration.provenance` would say.

    Raises:
        DataError: The file is missing, or is none of this kind.
    """
    value = read_json(path, DataError)
    try:
        check_kind(value, "a calibration", KIND, SCHEMA)
        specs = _read_nodes(value.get("nodes"))
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: {error}") from error
    return specs, {name: entry for name, entry in value.items() if name not in _NOT_PROVENANCE}


def _read_nodes(nodes: Any) -> dict[str, Accumulator]:
    if not isinstance(nodes, Mapping):
        raise TypeError(f"expected 'nodes' as an object, got {type(nodes).__name__}")
    return {name: _read_spec(name, node) for name, node in nodes.items()}


def _read_spec(name: str, node: Any) -> Accumulator:
    try:
        if not isinstance(node, Mapping) or "spec" not in node:
            raise ValueError(f"expected an object with the entry 'spec', got {type(node).__name__}")
        return from_json(node["spec"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"node {name}: {error}") from None
