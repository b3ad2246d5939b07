"""Measures a model over families and biases, on one machine or many."""

from lba_onnx.sweeping.grid import GridPoint
from lba_onnx.sweeping.pools import WorkerError
from lba_onnx.sweeping.sweep_result import Sweep, SweepPoint
from lba_onnx.sweeping.sweeping import sweep
from lba_onnx.sweeping.work import Work

__all__ = ["GridPoint", "Sweep", "SweepPoint", "Work", "WorkerError", "sweep"]
