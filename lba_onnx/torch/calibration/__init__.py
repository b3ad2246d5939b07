"""Chooses the exponent biases of a PyTorch model's accumulators from batches of its data."""

from lba_onnx.torch.calibration.calibrating import calibrate

__all__ = ["calibrate"]
