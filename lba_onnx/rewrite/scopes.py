"""Where the values of a model are defined, and how often they are used: names resolved through nested graphs.

main graph          initializer w
If:then_branch    MatMul(x, w)        w is found in the main graph; a `w` of the branch's own would hide it
function f          sees only its own names
"""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from lba_onnx.rewrite.analysis import Body


@dataclass(frozen=True, eq=False)
class Scope:
    """A graph or function body, and the graph around it.

    Attributes:
        body: The graph or function.
        outer: The scope whose names it sees too; None in the main graph and in functions.
    """

    body: Body
    outer: "Scope | None"

    def owner(self, name: str) -> "Scope | None":
        """Return the scope that defines a value, or None."""
        scope: Scope | None = self
        while scope is not None and not scope.defines(name):
            scope = scope.outer
        return scope

    def defines(self, name: str) -> bool:
        """Return whether a value of this name is an input, an initializer or a node's output here."""
        return name in _defined_names(self.body)

    def constant(self, name: str) -> onnx.TensorProto | None:
        """Return the values of an initializer or a Constant node that is defined here, or None.

        An initializer that is an input too is none: its value may be fed. Neither is a Constant node of a function
        whose value each call gives.
        """
        if isinstance(self.body, onnx.GraphProto) and not any(value.name == name for value in self.body.input):
            for tensor in self.body.initializer:
                if tensor.name == name:
                    return tensor
        for node in self.body.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and name in node.output:
                return next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)
        return None

    def uses(self, name: str) -> int:
        """Return how often a value that is defined here is read, here and in the graphs inside."""
        results = [value if isinstance(value, str) else value.name for value in self.body.output]
        return results.count(name) + sum(_uses_by(node, name) for node in self.body.node)


def walk_scopes(model: onnx.ModelProto) -> Iterator[Scope]:
    """Yield the scopes of the main graph, of its subgraphs, and of the functions with theirs."""
    pending = [Scope(model.graph, None), *(Scope(function, None) for function in model.functions)]
    while pending:
        scope = pending.pop(0)
        yield scope
        pending += [Scope(graph, scope) for node in scope.body.node for graph in _subgraphs(node)]


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _uses_by(node: onnx.NodeProto, name: str) -> int:
    inner = (graph for graph in _subgraphs(node) if name not in _defined_names(graph))
    return list(node.input).count(name) + sum(Scope(graph, None).uses(name) for graph in inner)


def _defined_names(body: Body) -> set[str]:
    names = {output for node in body.node for output in node.output}
    if isinstance(body, onnx.FunctionProto):
        return names | set(body.input)
    names |= {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    return names | {tensor.values.name for tensor in body.sparse_initializer}
