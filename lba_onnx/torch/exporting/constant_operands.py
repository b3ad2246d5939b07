"""Weights that a model computes from its parameters, turned into initializers with the values that PyTorch has.

    LbaMatMul(x, Transpose(fc.weight))                          ->  LbaMatMul(x, fc.B)
    LbaConv(x, Mul(Round(Div(conv.weight, scale)), scale))      ->  LbaConv(x, conv.W)

Kernels pack initializers once. The values come from a run of the PyTorch model, so that a quantized weight has the bits
that it was trained with, whatever onnxruntime would have made of the same operations.

Requires a program of torch.onnx.export whose nodes hold their names in `statistics`. Ensures that what is no longer
needed is gone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lba_onnx import operators
from lba_onnx.torch.exporting.calls import LbaCall, observe_calls

if TYPE_CHECKING:
    import onnx_ir as ir

_RANDOM_OPERATORS = {
    "Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
}  # fmt: skip


def fold_operands(model: "ir.Model", source: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Fold the operands of low-bit-accumulator nodes that follow from parameters and constants alone.

    Args:
        model: The exported model, changed in place.
        source: The model that it was exported from.
        args: What that model is run on.
        kwargs: Its keyword arguments.
    """
    import onnx_ir.passes.common

    computed = _computed_operands(model)
    if not computed:
        return
    folding = _Folding(model, computed)
    observe_calls(source, args, kwargs, folding.fold)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(model)


def _computed_operands(model: "ir.Model") -> "dict[str, list[tuple[ir.Node, int]]]":
    """Return nodes and indexes of operands that are, or have been, computed from constants, by the node's name."""
    import onnx_ir as ir

    found: dict[str, list[tuple[ir.Node, int]]] = {}
    known: dict[ir.Value, bool] = {}
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.domain != operators.DOMAIN:
            continue
        for index, value in enumerate(node.inputs):
            if value is not None and not _is_parameter(value) and _is_constant(value, known):
                found.setdefault(node.attributes["statistics"].as_string(), []).append((node, index))
    return found


def _is_parameter(value: "ir.Value") -> bool:
    """Tell whether a value is a tensor of the PyTorch model, and not what the exporter has made of one."""
    return value.is_initializer() and isinstance(getattr(value.const_value, "raw", None), Tensor)


def _is_constant(value: "ir.Value", known: "dict[ir.Value, bool]") -> bool:
    """Tell whether a value follows from initializers and constants alone."""
    if value not in known:
        producer = value.producer()
        if producer is None:
            known[value] = value.is_initializer() and not value.is_graph_input()
        else:
            inputs = [i for i in producer.inputs if i is not None]
            is_standard = producer.domain == "" and producer.op_type not in _RANDOM_OPERATORS
            known[value] = is_standard and all(_is_constant(i, known) for i in inputs)
    return known[value]


class _Folding:
    """Replaces operands as calls come by."""

    def __init__(self, model: "ir.Model", computed: "Mapping[str, list[tuple[ir.Node, int]]]") -> None:
        self._graph = model.graph
        self._computed = computed
        self._folded: dict[tuple[str, str, int], tuple[NDArray[Any], ir.Value]] = {}

    def fold(self, call: LbaCall) -> None:
        """Give the nodes of a call's name the values that the call was made with."""
        for node, index in self._computed.get(call.node, ()):
            node.replace_input_with(index, self._initializer(call, node, index))

    def _initializer(self, call: LbaCall, node: "ir.Node", index: int) -> "ir.Value":
        """Return an initializer with the operand's values: that of an earlier call of the site where they are equal."""
        key = call.arguments["statistics"], node.op_type, index
        array = _values(call, node, index)
        known = self._folded.get(key)
        if known is None or not np.array_equal(known[0], array, equal_nan=True):
            known = array, self._register(f"{call.node}.{operators.OPERATORS[node.op_type].inputs[index]}", array)
            self._folded[key] = known
        return known[1]

    def _register(self, name: str, array: NDArray[Any]) -> "ir.Value":
        import onnx_ir as ir

        while name in self._graph.initializers:
            name += "_"
        value = ir.Value(
            name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(array.shape), const_value=ir.tensor(array)
        )
        self._graph.register_initializer(value)
        return value


def _values(call: LbaCall, node: "ir.Node", index: int) -> NDArray[Any]:
    """Return what PyTorch has for an operand, laid out as the node takes it."""
    operand = call.operands[index]
    assert operand is not None
    is_transposed = call.operator == "linear" and node.op_type == "LbaMatMul" and index == 1
    array: NDArray[Any] = (operand.t() if is_transposed else operand).detach().contiguous().numpy().copy()
    return array
