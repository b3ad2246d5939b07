"""Chooses the exponent biases of a model's accumulators from sample data."""

from lba_onnx.calibration.rates import EventRates
from lba_onnx.calibration.result import Calibration, NodeCalibration
from lba_onnx.calibration.run import calibrate
from lba_onnx.calibration.verdict import Verdict

__all__ = ["Calibration", "EventRates", "NodeCalibration", "Verdict", "calibrate"]
