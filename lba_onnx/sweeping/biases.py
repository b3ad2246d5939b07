"""The arithmetic of each point of a grid: one spec for all nodes, or one per node where calibration chooses it."""

from collections.abc import Mapping, Sequence
from typing import Any

from lba_onnx.calibration import calibrate
from lba_onnx.errors import DataError
from lba_onnx.rewrite.given_specs import Specs
from lba_onnx.sweeping.grid import GridPoint
from lba_onnx.sweeping.models import Packed


def choose_specs(
    grid: Sequence[GridPoint], model: Packed, calibration_data: Any, settings: Mapping[str, Any]
) -> tuple[list[Specs], str | None]:
    """Return the specs of all points, and the hash of the data that calibration used; None without calibration.

    Args:
        grid: The points.
        model: The float32 model.
        calibration_data: Samples; None where the grid needs none.
        settings: Further keyword arguments of `calibrate`.

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
        if calibration_data is None:
            raise DataError(f"expected data to calibrate on, for the biases {point.bias!r}, got none")
        found = calibrate(model, calibration_data, point.text, str(point.bias), **settings)
        specs.append(found.specs)
        hashes.add(found.data_sha256)
        if len(hashes) > 1:
            raise DataError(f"{point}: expected the same calibration data as before; can they be read only once?")
    return specs, next(iter(hashes), None)
