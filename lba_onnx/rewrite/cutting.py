"""Parts of a model as models of their own: what comes before a change, and what depends on it.

    model      a = f(x);  b = LbaMatMul(a, w);  c = g(b);  d = h(x);  y = c + d
    suffix     a, d -> LbaMatMul, g, + -> y                   all that the change of one product can change
    prefix     x -> f, h -> a, d                              what the suffix is fed, of the model without the change

Requires nodes in an order in which they can run, as ONNX does. Both parts hold only the initializers that they read.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx


@dataclass(frozen=True, eq=False)
class Suffix:
    """The part of a changed model that depends on the change.

    Attributes:
        model: The part; its inputs have no types yet.
        inputs: What it is fed: values that the change does not reach.
        outputs: Outputs of the whole model that it yields.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut_suffix(changed: onnx.ModelProto, source: onnx.ModelProto) -> Suffix:
    """Return the part of a model that differs from another one, and all that depends on it.

    Args:
        changed: The model.
        source: The same model without the change.
    """
    same = {node.SerializeToString() for node in source.graph.node}
    functions = _changed_functions(changed, source)
    nodes: list[onnx.NodeProto] = []
    made: set[str] = set()
    for node in changed.graph.node:
        is_changed = node.SerializeToString() not in same or bool(_called(node) & functions)
        if is_changed or not made.isdisjoint(_reads(node)):
            nodes.append(node)
            made.update(output for output in node.output if output)
    constants = _constants(changed.graph)
    read = dict.fromkeys(name for node in nodes for name in _reads(node))
    inputs = tuple(name for name in read if name not in made and name not in constants)
    outputs = tuple(output.name for output in changed.graph.output if output.name in made)
    return Suffix(_part(changed, nodes, outputs), inputs, outputs)


def cut_prefix(
    source: onnx.ModelProto, outputs: Sequence[str], known: Collection[str]
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return the part of a model that computes some values, and what it is fed.

    Args:
        source: The model.
        outputs: The values wanted: none of them known.
        known: Values that need not be computed: the model's inputs, and others that are at hand.
    """
    constants = _constants(source.graph)
    wanted, nodes, inputs = set(outputs), [], set()
    for node in reversed(source.graph.node):
        if wanted.isdisjoint(node.output):
            continue
        nodes.append(node)
        read = set(_reads(node)) - constants
        inputs |= read & set(known)
        wanted |= read - set(known)
    return _part(source, nodes[::-1], outputs), tuple(sorted(inputs))


def with_inputs(model: onnx.ModelProto, values: Mapping[str, Any]) -> onnx.ModelProto:
    """Return a part with inputs that take such arrays, of any size; it shares nothing with the one given.

    Args:
        model: The part.
        values: By name an array.
    """
    fed = onnx.ModelProto()
    fed.CopyFrom(model)
    del fed.graph.input[:]
    for name, value in values.items():
        array = np.asarray(value)
        element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        fed.graph.input.append(onnx.helper.make_tensor_value_info(name, element, [None] * array.ndim))
    return fed


def _part(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str]) -> onnx.ModelProto:
    """Return a model of some nodes of another one."""
    part = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    part.graph.name = model.graph.name
    part.graph.node.extend(nodes)
    read = {name for node in part.graph.node for name in _reads(node)} | set(outputs)
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    sparse = (tensor for tensor in model.graph.sparse_initializer if tensor.values.name in read)
    part.graph.sparse_initializer.extend(sparse)
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return part


def _reads(node: onnx.NodeProto) -> list[str]:
    """Return the values that a node reads; of those that the graphs inside of it read, the ones from outside."""
    names = [name for name in node.input if name]
    for graph in _subgraphs(node):
        own = _constants(graph) | {value.name for value in graph.input}
        own |= {output for inner in graph.node for output in inner.output}
        read = [name for inner in graph.node for name in _reads(inner)]
        read += [output.name for output in graph.output]
        names += [name for name in read if name not in own]
    return names


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    return (attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _constants(graph: onnx.GraphProto) -> set[str]:
    return {tensor.name for tensor in graph.initializer} | {tensor.values.name for tensor in graph.sparse_initializer}


def _called(node: onnx.NodeProto) -> set[tuple[str, str]]:
    """Return domain and type of a node, and of those in the graphs inside of it."""
    inner = (_called(other) for graph in _subgraphs(node) for other in graph.node)
    return {(node.domain, node.op_type)}.union(*inner)


def _changed_functions(changed: onnx.ModelProto, source: onnx.ModelProto) -> set[tuple[str, str]]:
    """Return the functions that differ, and those that call them."""
    same = {function.SerializeToString() for function in source.functions}
    found = {(f.domain, f.name) for f in changed.functions if f.SerializeToString() not in same}
    while True:
        callers = {
            (function.domain, function.name)
            for function in changed.functions
            if any(_called(node) & found for node in function.node)
        }
        if callers <= found:
            return found
        found |= callers
