"""The specs of a PyTorch model in the kind of file that a calibration writes, for `lba_onnx.convert`."""

import os
from collections import Counter
from collections.abc import Mapping

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.result import NodeCalibration
from lba_onnx.families import FormatFamily
from lba_onnx.packages import package_version

METHOD = "torch"
_NOTE = "the spec that the PyTorch model had"


def write_specs(path: str | os.PathLike[str], specs: Mapping[str, AccumulatorSpec]) -> None:
    """Write specs as a `Calibration` without samples; what holds for the whole of it is that of most nodes.

    Args:
        path: The JSON file, written whole or not at all.
        specs: Node names to specs, at least one.

    Raises:
        OSError: It cannot be written.
    """
    chunk_size, underflow = Counter((spec.chunk_size, spec.underflow) for spec in specs.values()).most_common(1)[0][0]
    formats = [spec.accumulator_format for spec in specs.values()]
    families = dict.fromkeys(str(FormatFamily(f.mantissa_bits, f.exponent_bits)) for f in formats)
    Calibration(
        nodes={name: NodeCalibration(spec, None, note=_NOTE) for name, spec in specs.items()},
        family=", ".join(families),
        method=METHOD,
        chunk_size=chunk_size,
        underflow=underflow,
        samples=0,
        data_sha256="",
        versions={name: package_version(name) for name in ("lba-onnx", "torch")},
    ).save(path)
