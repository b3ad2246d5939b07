"""Measures what a model is worth on data: accuracy, the user's metric, and likeness to a reference."""

from lba_onnx.evaluation.closeness import Closeness
from lba_onnx.evaluation.estimates import MeanEstimate, PairedDifference, Perplexity, PerplexityChange, Proportion
from lba_onnx.evaluation.evaluating import Measured, compare, evaluate, gather_comparison
from lba_onnx.evaluation.evaluation_result import Comparison, Evaluation, OutputComparison
from lba_onnx.evaluation.judge import Judge

__all__ = [
    "Closeness",
    "Comparison",
    "Evaluation",
    "Judge",
    "MeanEstimate",
    "Measured",
    "OutputComparison",
    "PairedDifference",
    "Perplexity",
    "PerplexityChange",
    "Proportion",
    "compare",
    "evaluate",
    "gather_comparison",
]
