"""Which outputs of a model are scores of classes: its graph decides, before anything runs.

Walking back from the output there is a product over channels (MatMul, Gemm, Conv, their integer and low-bit twins), and
on the way nothing but steps that leave a sample's scores in their order: softmax, sigmoid, a bias, a constant factor,
pooling, a change of shape or type. So embeddings (a norm, or a mean weighted by a mask, ends them), hidden states and
inputs that are passed through are none. What the graph cannot tell, the shape does: [samples, 2 classes or more], or
[samples, 1] behind a sigmoid.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx import operators
from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import has_sample_axis
from lba_onnx.evaluation.outputs import Outputs
from lba_onnx.rewrite.model_files import ModelSource, open_model
from lba_onnx.rewrite.twins import has_twin

_PRODUCTS = {
    *("FusedMatMul", "FusedGemm", "FusedConv", "MatMulNBits"),
    *("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm"),
    *("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"),
}
_PROBABILITIES = {"Softmax", "LogSoftmax", "Sigmoid", "Normalizer", "SVMClassifier", "TreeEnsembleClassifier"}
_KEEPING = {
    *("Softmax", "LogSoftmax", "Sigmoid", "Relu", "LeakyRelu", "Clip", "Dropout", "Identity", "Cast", "Normalizer"),
    *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "QuantizeLinear", "DequantizeLinear"),
    *("ReduceMean", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "BatchNormalization"),
}
_ADDING, _SCALING = {"Add", "Sub", "Sum"}, {"Mul", "Div"}


@dataclass(frozen=True)
class ClassOutputs:
    """The outputs that may hold scores of classes, by name.

    Attributes:
        probabilities: Those behind a softmax, a sigmoid or a classifier. Where one of them has the right shape, only
            they count: other outputs (boxes, landmarks) end in a product too.
        scores: Those that end in a product without one.
        is_binary: Those of `probabilities` behind a sigmoid, for which [samples, 1] is the second of two classes.
    """

    probabilities: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    is_binary: frozenset[str] = frozenset()

    def find(self, outputs: Outputs, batch: Batch) -> Outputs:
        """Return the scores among the outputs of a batch, each [samples, 2 classes or more]; none where there are none.

        Args:
            outputs: By name.
            batch: What was run. A feed without an axis for samples may give [classes].
        """
        for names in (self.probabilities, self.scores):
            scores = {name: self._as_scores(name, outputs[name], batch) for name in names if name in outputs}
            found = {name: values for name, values in scores.items() if values is not None}
            if found:
                return found
        return {}

    def _as_scores(self, name: str, values: NDArray[Any], batch: Batch) -> NDArray[Any] | None:
        if not np.issubdtype(values.dtype, np.floating):
            return None
        if values.ndim == 1 and batch.rows is None:
            values = values[np.newaxis]
        elif values.ndim == 1 and name in self.is_binary:
            values = values[:, np.newaxis]
        if values.ndim != 2 or not (has_sample_axis(values, batch) or len(values) == batch.samples):
            return None
        if values.shape[1] == 1 and name in self.is_binary:
            return np.concatenate([1 - values, values], axis=1)
        return values if values.shape[1] > 1 else None


def find_class_outputs(model: ModelSource) -> ClassOutputs:
    """Return which outputs of a model are scores of classes.

    Args:
        model: Path, bytes or ModelProto, converted or not.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: The model cannot be read.
    """
    graph = (model if isinstance(model, onnx.ModelProto) else open_model(model).proto).graph
    walk = _Walk(graph)
    met = {output.name: walk.back_from(output.name) for output in graph.output}
    classes = {name: steps for name, steps in met.items() if steps is not None}
    return ClassOutputs(
        probabilities=tuple(name for name, steps in classes.items() if steps & _PROBABILITIES),
        scores=tuple(name for name, steps in classes.items() if not steps & _PROBABILITIES),
        is_binary=frozenset(name for name, steps in classes.items() if "Sigmoid" in steps),
    )


def by_shape(names: Iterable[str]) -> ClassOutputs:
    """Return that any of these outputs may be scores, for models of which there is no graph."""
    return ClassOutputs(scores=tuple(names))


class _Walk:
    """Walks back from outputs of the main graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._constants = {tensor.name for tensor in graph.initializer}
        self._constants |= {tensor.values.name for tensor in graph.sparse_initializer}

    def back_from(self, name: str) -> set[str] | None:
        """Return the operators on the way to a product, that among them; None where the way leads to none."""
        steps: set[str] = set()
        pending, seen = [name], {name}
        while pending:
            node = self._producers.get(pending.pop())
            if node is None:
                continue
            if has_twin(node) or node.domain == operators.DOMAIN or node.op_type in _PRODUCTS:
                return steps | {node.op_type}
            inputs = self._inputs_to_follow(node)
            if not inputs:
                continue
            steps.add(node.op_type)
            pending += [value for value in inputs if value not in seen]
            seen.update(inputs)
        return None

    def _inputs_to_follow(self, node: onnx.NodeProto) -> list[str]:
        if node.op_type in _KEEPING:
            return list(node.input[:1])
        if node.op_type in _ADDING | _SCALING:
            computed = [value for value in node.input if not self._is_constant(value)]
            return computed if node.op_type in _ADDING or len(computed) == 1 else []
        return []

    def _is_constant(self, name: str) -> bool:
        node = self._producers.get(name)
        return name in self._constants or (node is not None and node.op_type == "Constant")
