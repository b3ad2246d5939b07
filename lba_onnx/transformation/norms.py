"""Normalizations over the last axis: fused operators, and the nodes that exporters write for them.

RMSNorm      Pow(x, 2) or Mul(x, x), ReduceMean, Add(eps), Sqrt, Mul(x, 1 / .) or Div(x, .), Mul(gain)
LayerNorm    d = Sub(x, ReduceMean(x)), then the same of d, Add(bias)
fused        RMSNormalization, SimplifiedLayerNormalization, LayerNormalization, and SkipSimplifiedLayerNormalization
and SkipLayerNormalization of com.microsoft, which add the residual themselves
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.transformation.graph import ModelGraph, Use, attribute, is_standard

_FUSED = {  # whether the mean is subtracted; the number of streams that are added; input of the gain; that of the bias
    "RMSNormalization": (False, 1, 1, None),
    "SimplifiedLayerNormalization": (False, 1, 1, None),
    "LayerNormalization": (True, 1, 1, 2),
    "SkipSimplifiedLayerNormalization": (False, 2, 2, None),
    "SkipLayerNormalization": (True, 2, 2, 3),
}
_ADDED_BIAS = {"SkipSimplifiedLayerNormalization": 3, "SkipLayerNormalization": 4}
_SUM_OUTPUT = 3
_IDENTITIES = ("Identity", "Cast", "Dropout")


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalization.

    Attributes:
        node: The node that makes its output.
        inputs: The values that are added and normalized; one but for the operators that add.
        output: Its result, with gain and bias.
        gain: The use of the gain; None without one.
        bias: The use of the bias; None without one.
        is_centred: Whether the mean is subtracted: LayerNorm.
        nodes: The ids of all its nodes.
        added: The use of a constant that is added to the inputs; None without one.
        total: The name of the sum of the inputs; None for a normalization that gives none.
    """

    node: onnx.NodeProto
    inputs: tuple[str, ...]
    output: str
    gain: Use | None
    bias: Use | None
    is_centred: bool
    nodes: frozenset[int]
    added: Use | None = None
    total: str | None = None


def find_norms(graph: ModelGraph) -> Iterator[Norm]:
    """Yield the normalizations of a graph, in its order."""
    for node in graph.nodes:
        found = _fused(graph, node) if node.op_type in _FUSED else _decomposed(graph, node)
        if found is not None:
            yield found


def is_identity(node: onnx.NodeProto) -> bool:
    """Return whether a node passes float32 values on as they are."""
    if not is_standard(node, *_IDENTITIES):
        return False
    return node.op_type != "Cast" or bool(attribute(node, "to", 0) == onnx.TensorProto.FLOAT)


def _fused(graph: ModelGraph, node: onnx.NodeProto) -> Norm | None:
    is_centred, streams, gain, bias = _FUSED[node.op_type]
    if streams == 1 and not graph.is_last_axis(node.input[0], attribute(node, "axis", -1)):
        return None
    used = [_constant_use(graph, node, index) for index in (gain, bias, _ADDED_BIAS.get(node.op_type))]
    total = node.output[_SUM_OUTPUT] if streams == 2 and len(node.output) > _SUM_OUTPUT else ""
    inputs = tuple(node.input[:streams])
    ids = frozenset({id(node)})
    return Norm(node, inputs, node.output[0], used[0], used[1], is_centred, ids, used[2], total or None)


def _constant_use(graph: ModelGraph, node: onnx.NodeProto, index: int | None) -> Use | None:
    given = index is not None and index < len(node.input) and bool(node.input[index])
    return Use(node, index) if given and index is not None else None


def _decomposed(graph: ModelGraph, mean: onnx.NodeProto) -> Norm | None:
    """Return the normalization whose mean of squares a node is, or None."""
    squares = graph.producer(mean.input[0]) if _is_mean(graph, mean) else None
    normalized = None if squares is None else _squared(graph, squares)
    if squares is None or normalized is None:
        return None
    found = _divided(graph, mean, normalized)
    if found is None:
        return None
    nodes, scaled = found
    nodes += [squares, mean]
    source = normalized
    centring = _centring(graph, normalized)
    if centring is not None:
        if any(id(use.node) not in map(id, nodes) for use in graph.uses(normalized)):
            return None  # the centred values are used elsewhere
        source = centring[0].input[0]
        nodes += centring
    return _with_gain(graph, source, scaled, centring is not None, nodes)


def _is_mean(graph: ModelGraph, node: onnx.NodeProto | None) -> bool:
    if node is None or not is_standard(node, "ReduceMean") or not attribute(node, "keepdims", 1):
        return False
    axes = attribute(node, "axes", None)
    if axes is None and len(node.input) > 1:
        axes = graph.constant(node.input[1])
    found = [] if axes is None else np.asarray(axes).ravel().tolist()
    return len(found) == 1 and graph.is_last_axis(node.input[0], int(found[0]))


def _squared(graph: ModelGraph, node: onnx.NodeProto) -> str | None:
    """Return the value whose square a node is."""
    is_power = is_standard(node, "Pow") and graph.scalar(node.input[1]) == 2
    is_product = is_standard(node, "Mul") and node.input[0] == node.input[1]
    return str(node.input[0]) if is_power or is_product else None


def _divided(graph: ModelGraph, mean: onnx.NodeProto, value: str) -> tuple[list[onnx.NodeProto], onnx.NodeProto] | None:
    """Return the nodes from the mean of squares to the division by its root, and the one that divides."""
    nodes: list[onnx.NodeProto] = []
    current = mean
    for op_types in (("Add",), ("Sqrt",), ("Div", "Mul", "Reciprocal")):
        use = graph.only_use(current.output[0])
        if use is None or not is_standard(use.node, *op_types):
            return None
        current = use.node
        nodes.append(current)
    if graph.scalar(next((n for n in nodes[0].input if n != mean.output[0]), "")) is None:
        return None
    if value in current.input:
        return (nodes, current) if current.op_type == "Div" and current.input[0] == value else None
    is_reciprocal = current.op_type == "Reciprocal" or (
        current.op_type == "Div" and graph.scalar(current.input[0]) == 1
    )
    use = graph.only_use(current.output[0])
    if not is_reciprocal or use is None or not is_standard(use.node, "Mul") or value not in use.node.input:
        return None
    return [*nodes, use.node], use.node


def _centring(graph: ModelGraph, value: str) -> list[onnx.NodeProto] | None:
    """Return the subtraction that makes a value, and the mean that it subtracts."""
    node = graph.producer(value)
    if node is None or not is_standard(node, "Sub"):
        return None
    mean = graph.producer(node.input[1])
    if mean is None or not _is_mean(graph, mean) or mean.input[0] != node.input[0]:
        return None
    return [node, mean]


def _with_gain(
    graph: ModelGraph, source: str, scaled: onnx.NodeProto, is_centred: bool, nodes: list[onnx.NodeProto]
) -> Norm:
    last, gain, bias = scaled, None, None
    found = _applied(graph, last, "Mul")
    if found is not None:
        gain, passed = found
        nodes, last = [*nodes, *passed], gain.node
        found = _applied(graph, last, "Add")
    if found is not None and gain is not None:
        bias, passed = found
        nodes, last = [*nodes, *passed], bias.node
    ids = frozenset(id(node) for node in nodes)
    return Norm(last, (source,), last.output[0], gain, bias, is_centred, ids)


def _applied(graph: ModelGraph, node: onnx.NodeProto, op_type: str) -> tuple[Use, list[onnx.NodeProto]] | None:
    """Return the use of a vector that the only reader of a node applies, and the nodes up to that reader."""
    passed = []
    use = graph.only_use(node.output[0])
    while use is not None and is_identity(use.node):
        passed.append(use.node)
        use = graph.only_use(use.node.output[0])
    if use is None or not is_standard(use.node, op_type):
        return None
    other = Use(use.node, 1 - use.index)
    vector = graph.vector(other.value)
    return None if vector is None or not _is_vector(vector) else (other, [*passed, use.node])


def _is_vector(values: NDArray[np.float32]) -> bool:
    return values.ndim > 0 and values.size == values.shape[-1] > 1
