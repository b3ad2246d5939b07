"""Undoes what truncation systematically takes away from dot products, without training."""

from lba_onnx.correction.result import CorrectionReport, NodeCorrection
from lba_onnx.correction.run import correct

__all__ = ["CorrectionReport", "NodeCorrection", "correct"]
