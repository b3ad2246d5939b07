"""Measures a model over families, biases and chunk sizes, on one machine or many."""

from lba_onnx.sweeping.grid import GridPoint
from lba_onnx.sweeping.pools import WorkerError
from lba_onnx.sweeping.sweep_result import Sweep, SweepPoint
from lba_onnx.sweeping.sweeping import sweep

__all__ = ["GridPoint", "Sweep", "SweepPoint", "WorkerError", "sweep"]
