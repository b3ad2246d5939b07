"""The arithmetic of each point of a grid: one spec for all nodes, or one per node where calibration chooses it."""

from collections.abc import Sequence
from typing import Any

from lba_onnx.calibration import calibrate
from lba_onnx.calibration.methods import as_method
from lba_onnx.data.execution import Execution
from lba_onnx.errors import DataError
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.grid import GridPoint
from lba_onnx.sweeping.job import Job


def choose_specs(grid: Sequence[GridPoint], job: Job, calibration_data: Any) -> tuple[list[Specs], str | None]:
    """Return the specs of all points, and the hash of the data that calibration used; None without calibration.

    Args:
        grid: The points.
        job: The float32 model, and what to calibrate.
        calibration_data: Samples; None where the grid needs none.

    Raises:
        DataError: Calibration data is missing, or can be read only once and not for every family.
        ValueError: There is no such method of calibration.
    """
    specs: list[Specs] = []
    hashes: set[str] = set()
    for point in grid:
        if point.spec is not None:
            specs.append(point.spec)
            continue
        method = as_method(str(point.bias))
        if calibration_data is None:
            raise DataError(f"expected data to calibrate on, for the biases {point.bias!r}, got none")
        found = calibrate(
            job.model,
            calibration_data,
            point.text,
            method,
            metric=job.metric,
            selection=job.selection,
            bias_start=job.bias_start,
            execution=Execution(job.providers),
        )
        specs.append(found.specs)
        hashes.add(found.data_sha256)
        if len(hashes) > 1:
            raise DataError(f"{point}: expected the same calibration data as before; can they be read only once?")
    return specs, next(iter(hashes), None)
