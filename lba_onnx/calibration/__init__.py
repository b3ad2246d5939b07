"""Chooses the exponent biases of a model's accumulators from sample data."""

from lba_onnx.calibration.result import Calibration, NodeCalibration
from lba_onnx.calibration.run import calibrate

__all__ = ["Calibration", "NodeCalibration", "calibrate"]
