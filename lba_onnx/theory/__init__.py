"""What is expected of an accumulator's roundings without data: the formulas of docs/error_theory.md."""

from lba_onnx.theory.dot_product import ExpectedError, expected_error
from lba_onnx.theory.nodes import NodeExpectation, expectation_table, expected_nodes

__all__ = ["ExpectedError", "NodeExpectation", "expectation_table", "expected_error", "expected_nodes"]
