"""What a sweep found: its JSON and CSV forms.

{"kind": "lba_onnx.sweep", "schema": 1, "model_sha256": "...", "reference_sha256": "...",
 "samples": 1000, "data_sha256": "...", "calibration_data_sha256": "..." | null,
 "selection": {"nodes_to_exclude": [], ...}, "versions": {"lba-onnx": "0.1.0", ...},
 "float32": {the reference alone, as in Evaluation.to_json},
 "points": [{"text": "M7E4,chunk=32", "bias": 10 | "max" | null, "accumulator": "M7E4b12/M7E4b10,chunk=32" | null,
             "family": "M7E4", "mantissa_bits": 7, "exponent_bits": 4, "chunk_size": 32 | null, "underflow": true,
             "rounding": "truncate", "product_format": "M7E4b12", "accumulator_format": "M7E4b10",
             "comparison": {as in Comparison.to_json}}]}

The accumulator is null where calibration chooses it for each node; what follows it depends on the kind.
"""

import csv
import io
import os
from dataclasses import dataclass, field
from typing import Any

from lba_onnx.evaluation import Comparison, Evaluation, MeanEstimate, Proportion
from lba_onnx.evaluation.estimates import finite_or_none
from lba_onnx.files.json_file import write_json, write_text
from lba_onnx.files.outputs import Input, check_outputs
from lba_onnx.sweeping.grid import GridPoint

KIND = "lba_onnx.sweep"
SCHEMA = 1


@dataclass(frozen=True)
class SweepPoint:
    """One arithmetic, and how the model computes with it.

    Attributes:
        grid: The arithmetic.
        comparison: The converted model beside the reference.
    """

    grid: GridPoint
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of one entry of "points"."""
        return {**self.grid.to_json(), "comparison": self.comparison.to_json()}


@dataclass(frozen=True)
class Sweep:
    """A model measured with many arithmetics on the same data.

    Attributes:
        points: In the order of families, biases, chunk sizes, underflow.
        float32: The reference alone.
        model_sha256: Hash of the model, as of a search or a calibration.
        reference_sha256: The same of the reference.
        data_sha256: Hash of all that the models were fed (see `data.hashing.DataHash`).
        calibration_data_sha256: The same of the data of calibration; None where nothing was calibrated.
        selection: Which nodes were to be converted, as `Selection.described` tells.
        versions: Names of packages to their versions.
        sources: The files that were read, which no result is written over; not kept in files.
    """

    points: tuple[SweepPoint, ...]
    float32: Evaluation
    model_sha256: str
    reference_sha256: str
    data_sha256: str
    calibration_data_sha256: str | None
    selection: dict[str, list[str]]
    versions: dict[str, str]
    sources: tuple[Input, ...] = field(default=(), repr=False, compare=False)

    @property
    def samples(self) -> int:
        """How many samples each point ran."""
        return self.float32.samples

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object described above."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "samples": self.samples,
            **{name: getattr(self, name) for name in _PROVENANCE},
            "float32": self.float32.to_json(),
            "points": [point.to_json() for point in self.points],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON file, whole or not at all.

        Raises:
            OSError: It cannot be written.
            OutputError: It is one of the files that the sweep has read.
        """
        check_outputs({"sweep": path}, self.sources)
        write_json(path, self.to_json())

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a table, whole or not at all: a line for float32, then one per point.

        Percentages are 0 to 100, `_low` and `_high` the ends of 95 % intervals; an infinite SQNR is empty.

        Raises:
            OSError: It cannot be written.
            OutputError: It is one of the files that the sweep has read.
        """
        check_outputs({"table": path}, self.sources)
        file = io.StringIO()
        rows = [_cells(point) for point in self.points]
        names = dict.fromkeys(name for row in rows for name in row)
        writer = csv.DictWriter(file, list(names), lineterminator="\n")
        writer.writeheader()
        writer.writerow({"text": "float32", **_evaluation_cells(self.float32)})
        writer.writerows(rows)
        write_text(path, file.getvalue())


_PROVENANCE = ("model_sha256", "reference_sha256", "data_sha256", "calibration_data_sha256", "selection", "versions")


def _cells(point: SweepPoint) -> dict[str, Any]:
    comparison = point.comparison
    grid = point.grid.to_json()
    if "chunk_size" in grid and grid["chunk_size"] is None:
        grid["chunk_size"] = "none"
    cells = {**grid, **_evaluation_cells(comparison.candidate), **_estimate("agreement", comparison.agreement)}
    for output in comparison.outputs:
        suffix = f"[{output.name}]" if len(comparison.outputs) > 1 else ""
        for name in ("mean_cosine", "sqnr_db", "max_abs_difference"):
            cells[name + suffix] = finite_or_none(getattr(output, name))
    return cells


def _evaluation_cells(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "samples": evaluation.samples,
        **_estimate("top1", evaluation.top1),
        **_estimate("top5", evaluation.top5),
        **_estimate("metric", evaluation.metric),
    }


def _estimate(name: str, estimate: Proportion | MeanEstimate | None) -> dict[str, Any]:
    """Return three cells; empty ones where there is nothing."""
    value = low = high = None
    if estimate is not None:
        value = estimate.percent if isinstance(estimate, Proportion) else finite_or_none(estimate.mean)
        low, high = estimate.interval or (None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
