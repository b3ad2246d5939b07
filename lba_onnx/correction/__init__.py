"""Undoes what an accumulator takes away from dot products, without training."""

from lba_onnx.correction.correcting import correct
from lba_onnx.correction.correction_report import CorrectionReport, NodeCorrection
from lba_onnx.correction.recipes import DEFAULT_EFFORT, EFFORTS, RECIPES, THOROUGH
from lba_onnx.correction.tuning import Tuning

__all__ = [
    "DEFAULT_EFFORT",
    "EFFORTS",
    "RECIPES",
    "THOROUGH",
    "CorrectionReport",
    "NodeCorrection",
    "Tuning",
    "correct",
]
