"""Undoes what truncation systematically takes away from dot products, without training."""

from lba_onnx.correction.correcting import correct
from lba_onnx.correction.correction_report import CorrectionReport, NodeCorrection

__all__ = ["CorrectionReport", "NodeCorrection", "correct"]
