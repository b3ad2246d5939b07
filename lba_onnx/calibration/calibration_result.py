"""What a calibration found, and its JSON form.

    {"kind": "lba_onnx.calibration", "schema": 2,
     "family": "M7E4", "method": "mse", "granularity": "layer" | "model", "tied": false,
     "percentile": 99.99 | null, "evaluations": 12 | null, "layer_evaluations": 0 | null,
     "samples": 256, "model_sha256": "...", "data_sha256": "...", "versions": {"lba-onnx": "0.1.0", ...},
     "verdict": {"unit": "dB", "samples": 64, "scores": {"max": 23.5, "mse": 24.1}, "chosen": "mse", ...} | null,
     "data_warnings": ["which sample alone sets the range of many nodes, and what that costs", ...],
     "nodes": {"conv1": {"spec": {"product_format": "M7E4b12", ...},
                         "range": {"outputs": ..., "max_abs_product": ..., "products_log2": [[-7, 104], ...]} | null,
                         "rates": {"product_overflow": 0.0, ..., "partial_sum_swamped": 0.03, ...} | null,
                         "note": "" | "why the spec is not chosen by the data alone",
                         "warning": "" | "where the family is too narrow, and which would lose less"}}}

Readers refuse other kinds and schemas; unknown entries are ignored, and "model_sha256", "data_warnings" and numbers of
methods, such as "percentile", may be missing. Files of before have "chunk_size" and "underflow" beside the family.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lba_onnx.arithmetic import Accumulator, parse_family
from lba_onnx.arithmetic.arguments import option_texts, with_defaults
from lba_onnx.arithmetic.registry import from_json
from lba_onnx.calibration.json_entry import read_entry
from lba_onnx.calibration.methods import METHODS, NUMBERS
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.verdict import Verdict
from lba_onnx.errors import DataError
from lba_onnx.files.json_file import check_kind, read_json, write_json
from lba_onnx.files.outputs import Input, check_outputs
from lba_onnx.observation.event_rates import EventRates, event_names
from lba_onnx.rewrite.biases_file import KIND, SCHEMA


@dataclass(frozen=True)
class NodeCalibration:
    """What was chosen for one node, and why.

    Attributes:
        spec: The accumulator to convert the node with.
        range: The values seen; None where the node never ran.
        rates: What becomes of the values with this accumulator; None where there were none.
        note: Empty where the data decided; otherwise what did.
        warning: Empty where the family is wide enough; otherwise where it is not, and which would be.
    """

    spec: Accumulator
    range: NodeRange | None
    rates: EventRates | None = None
    note: str = ""
    warning: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of one entry of "nodes"."""
        seen = None if self.range is None else self.range.to_json()
        rates = None if self.rates is None else self.rates.to_json()
        return {"spec": self.spec.to_json(), "range": seen, "rates": rates, "note": self.note, "warning": self.warning}

    @classmethod
    def from_json(cls, value: Any) -> "NodeCalibration":
        """Read the object that `to_json` returns.

        Raises:
            TypeError: An entry has the wrong type.
            ValueError: An entry is missing or out of range.
        """
        spec = from_json(read_entry(value, "spec", Mapping))
        seen, rates = (read_entry(value, name, Mapping, type(None)) for name in ("range", "rates"))
        return cls(
            spec,
            None if seen is None else NodeRange.from_json(seen),
            None if rates is None else EventRates.from_json(rates, event_names(spec)),
            read_entry(value, "note", str),
            read_entry(value, "warning", str),
        )


@dataclass(frozen=True)
class Calibration:
    """The accumulators chosen for the nodes of a model, and what they were chosen from.

    Attributes:
        nodes: Node names to choices, in the model's order.
        family: Text of the family, such as "M7E4,chunk=32"; of several, a comma and a blank between.
        method: How the biases were chosen.
        samples: Number of samples.
        data_sha256: Hash of all that the model was fed (see `data.hashing.DataHash`).
        versions: Names of packages to their versions.
        granularity: "layer" for biases of each node's own, "model" for the same everywhere.
        tied: Whether the product's bias follows from the accumulator's.
        numbers: The numbers of the method that the result depends on, and its condition, by name: `percentile`,
            `evaluations`, `loss`.
        verdict: How the choices fared by the model's own output; None for methods that do not look at it.
        data_warnings: Samples that alone set the ranges of many nodes: which, what that costs and what to do.
        model_sha256: Hash of the model (see `rewrite.model_hash`); empty where that is not known, as of PyTorch's.
        sources: The files that were read, which `save` does not write over; not kept in files.
    """

    nodes: dict[str, NodeCalibration]
    family: str
    method: str
    samples: int
    data_sha256: str
    versions: dict[str, str]
    granularity: str = "layer"
    tied: bool = False
    numbers: Mapping[str, float | str] = field(default_factory=dict)
    verdict: Verdict | None = None
    data_warnings: tuple[str, ...] = ()
    model_sha256: str = ""
    sources: tuple[Input, ...] = field(default=(), repr=False, compare=False)

    @property
    def specs(self) -> dict[str, Accumulator]:
        """Node names to specs, as `convert` takes them."""
        return {name: node.spec for name, node in self.nodes.items()}

    @property
    def provenance(self) -> dict[str, Any]:
        """What the specs were chosen from, without the nodes; `convert` keeps it in the model."""
        verdict = None if self.verdict is None else self.verdict.to_json()
        settings = {name: getattr(self, name) for name in _SETTINGS}
        numbers = {**dict.fromkeys(NUMBERS), **self.numbers}
        hashed = {"model_sha256": self.model_sha256} if self.model_sha256 else {}
        return {**settings, **hashed, **numbers, "verdict": verdict, "data_warnings": list(self.data_warnings)}

    @property
    def notes(self) -> dict[str, str]:
        """Names of the nodes whose spec the data did not fully decide, to the reasons."""
        return {name: node.note for name, node in self.nodes.items() if node.note}

    @property
    def warnings(self) -> dict[str, str]:
        """Names of the nodes for which the family is too narrow, to what is lost and which family would lose less.

        What that costs, only the model's output shows: many a product is swamped in models that are as good as float32.
        """
        return {name: node.warning for name, node in self.nodes.items() if node.warning}

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object described above."""
        nodes = {name: node.to_json() for name, node in self.nodes.items()}
        return {"kind": KIND, "schema": SCHEMA, **self.provenance, "nodes": nodes}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OSError: It cannot be written.
            OutputError: It is one of the files that the calibration was made from.
        """
        check_outputs({"calibration": path}, self.sources)
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
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(f"{path}: {error}") from error

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Calibration":
        """Read the object that `to_json` returns.

        Raises:
            TypeError: An entry has the wrong type.
            ValueError: An entry is missing or out of range, or the object is of another kind or schema.
        """
        check_kind(value, "a calibration", KIND, SCHEMA)
        nodes = {name: _read_node(name, node) for name, node in read_entry(value, "nodes", Mapping).items()}
        settings = {name: read_entry(value, name, *types) for name, types in _SETTINGS.items()}
        settings["family"] = ", ".join(_read_family(family, value) for family in settings["family"].split(", "))
        verdict = read_entry(value, "verdict", Mapping, type(None))
        warnings = read_entry({"data_warnings": [], **value}, "data_warnings", list)
        if not all(isinstance(text, str) for text in warnings):
            raise TypeError(f"expected 'data_warnings' as a list of texts, got {warnings!r:.100}")
        read = None if verdict is None else Verdict.from_json(verdict)
        settings["numbers"] = _read_numbers(settings["method"], value)
        settings["model_sha256"] = read_entry({"model_sha256": "", **value}, "model_sha256", str)
        return cls(nodes=nodes, **settings, verdict=read, data_warnings=tuple(warnings))


_SETTINGS: dict[str, tuple[type, ...]] = {
    "family": (str,),
    "method": (str,),
    "granularity": (str,),
    "tied": (bool,),
    "samples": (int,),
    "data_sha256": (str,),
    "versions": (dict,),
}


def _read_family(text: str, value: Mapping[str, Any]) -> str:
    """Return the text of a family, with what files of before keep beside it."""
    told = {
        name: read_entry(value, name, *types)
        for name, types in {"chunk_size": (int, type(None)), "underflow": (bool,)}.items()
        if name in value
    }
    return str(parse_family(with_defaults(text, option_texts(**told))))


def _read_numbers(method: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a method; those that are null play no part."""
    known = {**NUMBERS, **(METHODS[method].numbers() if method in METHODS else {})}
    found = {name: read_entry(value, name, *known[name].types, type(None)) for name in known if name in value}
    numbers = {name: number for name, number in found.items() if number is not None}
    for name, number in numbers.items():
        known[name].check(name, number)
    return numbers


def _read_node(name: str, value: Any) -> NodeCalibration:
    try:
        return NodeCalibration.from_json(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"node {name}: {error}") from None
