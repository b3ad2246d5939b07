"""Measures what a model is worth on data: accuracy, and likeness to a reference."""

from lba_onnx.evaluation.metrics import OutputComparison
from lba_onnx.evaluation.result import Evaluation
from lba_onnx.evaluation.run import evaluate

__all__ = ["Evaluation", "OutputComparison", "evaluate"]
