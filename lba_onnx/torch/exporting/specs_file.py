"""The specs of a PyTorch model in the kind of file that a calibration writes, for `lba_onnx.convert`."""

import os
from collections.abc import Mapping

from lba_onnx.arithmetic import Accumulator
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.calibration_result import NodeCalibration
from lba_onnx.packages import package_version

METHOD = "torch"
_NOTE = "the spec that the PyTorch model had"


def write_specs(path: str | os.PathLike[str], specs: Mapping[str, Accumulator]) -> None:
    """Write specs as a `Calibration` without samples.

    Args:
        path: The JSON file, written whole or not at all.
        specs: Node names to specs, at least one.

    Raises:
        OSError: It cannot be written.
    """
    families = dict.fromkeys(spec.family_text or str(spec) for spec in specs.values())
    Calibration(
        nodes={name: NodeCalibration(spec, None, note=_NOTE) for name, spec in specs.items()},
        family=", ".join(families),
        method=METHOD,
        samples=0,
        data_sha256="",
        versions={name: package_version(name) for name in ("lba-onnx", "torch")},
    ).save(path)
