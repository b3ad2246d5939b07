"""What a calibration found, and its JSON form.

    {"kind": "lba_onnx.calibration", "schema": 1,
     "family": "M7E4", "method": "max", "chunk_size": 16 | null, "underflow": true,
     "samples": 256, "data_sha256": "...", "versions": {"lba_onnx": "0.1.0", ...},
     "nodes": {"conv1": {"spec": {"product_format": "M7E4b12", ...},
                         "range": {"outputs": ..., "max_abs_product": ..., ...} | null,
                         "note": "" | "why the spec is not chosen by the range alone"}}}

Readers refuse other kinds and schemas; unknown entries are ignored.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.errors import DataError
from lba_onnx.json_file import read_json, write_json

KIND = "lba_onnx.calibration"
SCHEMA = 1


@dataclass(frozen=True)
class NodeCalibration:
    """What was chosen for one node, and why.

    Attributes:
        spec: The accumulator to convert the node with.
        range: The values seen; None where the node never ran.
        note: Empty where the range alone decided; otherwise what did.
    """

    spec: AccumulatorSpec
    range: NodeRange | None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of one entry of "nodes"."""
        seen = None if self.range is None else self.range.to_json()
        return {"spec": self.spec.to_json(), "range": seen, "note": self.note}

    @classmethod
    def from_json(cls, value: Any) -> "NodeCalibration":
        """Read the object that `to_json` returns.

        Raises:
            TypeError: An entry has the wrong type.
            ValueError: An entry is missing or out of range.
        """
        spec = AccumulatorSpec.from_json(_entry(value, "spec", Mapping))
        seen = _entry(value, "range", Mapping, type(None))
        return cls(spec, None if seen is None else NodeRange.from_json(seen), _entry(value, "note", str))


@dataclass(frozen=True)
class Calibration:
    """The accumulators chosen for the nodes of a model, and what they were chosen from.

    Attributes:
        nodes: Node names to choices, in the model's order.
        family: Family of formats, such as "M7E4".
        method: How the biases were chosen.
        chunk_size: Of all specs; None for the whole depth.
        underflow: Of all specs.
        samples: Number of samples.
        data_sha256: Hash of all that the model was fed (see `data.hashing.DataHash`).
        versions: Names of packages to their versions.
    """

    nodes: dict[str, NodeCalibration]
    family: str
    method: str
    chunk_size: int | None
    underflow: bool
    samples: int
    data_sha256: str
    versions: dict[str, str]

    @property
    def specs(self) -> dict[str, AccumulatorSpec]:
        """Node names to specs, as `convert` takes them."""
        return {name: node.spec for name, node in self.nodes.items()}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the specs were chosen from, without the nodes; `convert` keeps it in the model."""
        return {name: getattr(self, name) for name in _SETTINGS}

    @property
    def notes(self) -> dict[str, str]:
        """Names of the nodes whose spec the data did not fully decide, to the reasons."""
        return {name: node.note for name, node in self.nodes.items() if node.note}

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object described above."""
        nodes = {name: node.to_json() for name, node in self.nodes.items()}
        return {"kind": KIND, "schema": SCHEMA, **self.provenance, "nodes": nodes}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Calibration":
        """Read a file that `save` wrote.

        Raises:
            DataError: The file is missing, or is no calibration of a known schema.
        """
        value = read_json(path, DataError)
        try:
            return cls.from_json(value)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """Read the object that `to_json` returns.

        Raises:
            TypeError: An entry has the wrong type.
            ValueError: An entry is missing or out of range, or the object is of another kind or schema.
        """
        if (value.get("kind"), value.get("schema")) != (KIND, SCHEMA):
            found = f"kind {value.get('kind')!r}, schema {value.get('schema')!r}"
            raise ValueError(f"expected a calibration (kind {KIND!r}, schema {SCHEMA}), got {found}")
        nodes = {name: _read_node(name, node) for name, node in _entry(value, "nodes", Mapping).items()}
        settings = {name: _entry(value, name, *types) for name, types in _SETTINGS.items()}
        return cls(nodes=nodes, **settings)


_SETTINGS: dict[str, tuple[type, ...]] = {
    "family": (str,),
    "method": (str,),
    "chunk_size": (int, type(None)),
    "underflow": (bool,),
    "samples": (int,),
    "data_sha256": (str,),
    "versions": (dict,),
}


def _entry(value: Any, name: str, *types: type) -> Any:
    if not isinstance(value, Mapping) or name not in value:
        raise ValueError(f"expected an object with the entry {name!r}, got {type(value).__name__}")
    entry = value[name]
    if not isinstance(entry, types) or (isinstance(entry, bool) and bool not in types):
        expected = " or ".join("null" if t is type(None) else t.__name__ for t in types)
        raise TypeError(f"expected {name!r} as {expected}, got {entry!r}")
    return entry


def _read_node(name: str, value: Any) -> NodeCalibration:
    try:
        return NodeCalibration.from_json(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"node {name}: {error}") from None
