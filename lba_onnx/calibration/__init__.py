"""Chooses the exponent biases of a model's accumulators from sample data.

The names below are imported when first used, so that the methods can be listed without loading what they run on.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lba_onnx.calibration.calibrating import calibrate as calibrate
    from lba_onnx.calibration.calibration_result import Calibration as Calibration
    from lba_onnx.calibration.calibration_result import NodeCalibration as NodeCalibration
    from lba_onnx.calibration.verdict import Verdict as Verdict
    from lba_onnx.observation.event_rates import EventRates as EventRates

_HOMES = {
    "Calibration": "calibration.calibration_result",
    "EventRates": "observation.event_rates",
    "NodeCalibration": "calibration.calibration_result",
    "Verdict": "calibration.verdict",
    "calibrate": "calibration.calibrating",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lba_onnx.calibration' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"lba_onnx.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
