"""Nodes that multiply by a constant matrix, and that matrix with its input first, wherever the node has it.

MatMul(x, W)                       W           [inputs, outputs]
Gemm(x, B, C), transB              B or B^T    [inputs, outputs]
Gather(table, ids), axis 0         table       [entries, outputs]
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.transformation.graph import ModelGraph, Use, attribute, called, is_standard

_BLOCK_COLUMNS = 4096
Matrix = NDArray[np.float64]
Weights = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Linear:
    """A node with a constant matrix.

    Attributes:
        node: A MatMul, a Gemm, a Gather or a Conv.
        weights: The use of the matrix.
        is_transposed: Whether the constant has outputs first.
        inputs: Number of rows of the matrix.
        outputs: Number of columns of the matrix.
    """

    node: onnx.NodeProto
    weights: Use
    is_transposed: bool
    inputs: int
    outputs: int

    def read(self, graph: ModelGraph) -> Weights:
        """Return the matrix [inputs, outputs]."""
        values = graph.vector(self.weights.value)
        assert values is not None  # as `as_linear` has seen
        matrix = values.reshape(len(values), -1)
        return matrix.T if self.is_transposed else matrix

    def write(self, graph: ModelGraph, matrix: Weights, label: str) -> None:
        """Give the node another matrix [inputs, outputs]."""
        values = graph.vector(self.weights.value)
        assert values is not None  # as `as_linear` has seen
        graph.replace(self.weights, (matrix.T if self.is_transposed else matrix).reshape(values.shape), label)

    def read_bias(self, graph: ModelGraph) -> Weights | None:
        """Return the constant that the node itself adds, or None."""
        if self.node.op_type not in ("Gemm", "Conv") or len(self.node.input) < 3 or not self.node.input[2]:
            return None
        return graph.vector(self.node.input[2])


def as_linear(graph: ModelGraph, node: onnx.NodeProto) -> Linear | str:
    """Return a node as one with a constant matrix, or why it is none."""
    if is_standard(node, "Gather") and attribute(node, "axis", 0) == 0:
        return _with_matrix(graph, node, 0, False)
    if is_standard(node, "MatMul"):
        return _with_matrix(graph, node, 1, False)
    if not is_standard(node, "Gemm"):
        return f"{called(node)} is no MatMul, Gemm or Gather"
    if attribute(node, "transA", 0):
        return f"{called(node)} transposes its data"
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if has_bias and (graph.vector(node.input[2]) is None or attribute(node, "beta", 1.0) == 0):
        return f"the bias of {called(node)} is no float32 constant"
    return _with_matrix(graph, node, 1, bool(attribute(node, "transB", 0)))


def as_patches(graph: ModelGraph, node: onnx.NodeProto) -> Linear | str:
    """Return a convolution as one with a constant matrix, whose outputs are its channels, or why it is none."""
    values = graph.vector(node.input[1])
    has_bias = len(node.input) > 2 and bool(node.input[2])
    if values is None or (has_bias and graph.vector(node.input[2]) is None):
        return f"the weights of {called(node)} are no float32 constant"
    if attribute(node, "group", 1) != 1:
        return f"{called(node)} has {attribute(node, 'group', 1)} groups, expected 1"
    return Linear(node, Use(node, 1), True, values[0].size, len(values))


def _with_matrix(graph: ModelGraph, node: onnx.NodeProto, index: int, is_transposed: bool) -> Linear | str:
    values = graph.vector(node.input[index])
    if values is None:
        return f"the weights of {called(node)} are no float32 constant"
    if values.ndim != 2:
        return f"the weights of {called(node)} have {values.ndim} axes, expected 2"
    inputs, outputs = values.shape[::-1] if is_transposed else values.shape
    return Linear(node, Use(node, index), is_transposed, int(inputs), int(outputs))


def multiply(left: Matrix, weights: Weights) -> Weights:
    """Return left @ weights, computed in float64 a block of columns at a time, and rounded once."""
    result = np.empty((len(left), weights.shape[1]), np.float32)
    for start in range(0, weights.shape[1], _BLOCK_COLUMNS):
        columns = slice(start, start + _BLOCK_COLUMNS)
        result[:, columns] = left @ weights[:, columns].astype(np.float64)
    return result
