"""Measures what a model is worth on data: accuracy, the user's metric, and likeness to a reference."""

from lba_onnx.evaluation.closeness import Closeness
from lba_onnx.evaluation.estimates import MeanEstimate, PairedDifference, Proportion
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.result import Comparison, Evaluation, OutputComparison
from lba_onnx.evaluation.run import compare, evaluate

__all__ = [
    "Closeness",
    "Comparison",
    "Evaluation",
    "Judge",
    "MeanEstimate",
    "OutputComparison",
    "PairedDifference",
    "Proportion",
    "compare",
    "evaluate",
]
