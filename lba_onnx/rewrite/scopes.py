"""Where the values of a model are defined, and how often they are used: names resolved through nested graphs.

main graph          initializer w
If:then_branch    MatMul(x, w)        w is found in the main graph; a `w` of the branch's own would hide it
function f          sees only its own names
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx

from lba_onnx.rewrite.analysis import Body

FIRST_IR_WITH_SEPARATE_INITIALIZERS = 4
"""Up to IR version 3 initializers are inputs too, and constant all the same."""

_LOOPS = "Loop", "Scan"


@dataclass(frozen=True, eq=False)
class Scope:
    """A graph or function body, and the graph around it, as they are when first asked.

    Attributes:
        body: The graph or function.
        outer: The scope whose names it sees too; None in the main graph and in functions.
        has_fixed_initializers: Whether initializers that are inputs too are constants, as up to IR version 3.
        repeats: Whether it runs as often as a Loop or Scan says that it stands in.
    """

    body: Body
    outer: "Scope | None"
    has_fixed_initializers: bool = False
    repeats: bool = False

    def owner(self, name: str) -> "Scope | None":
        """Return the scope that defines a value, or None."""
        scope: Scope | None = self
        while scope is not None and not scope.defines(name):
            scope = scope.outer
        return scope

    def defines(self, name: str) -> bool:
        """Return whether a value of this name is an input, an initializer or a node's output here."""
        return name in self._defined

    def constant(self, name: str) -> onnx.TensorProto | None:
        """Return the values of an initializer or a Constant node that is defined here, or None.

        An initializer that may be fed as an input is none. Neither is a Constant node of a function whose value each
        call gives.
        """
        return self._constants.get(name)

    def uses(self, name: str) -> int:
        """Return how often a value that is defined here is read, here and in the graphs inside."""
        return self._uses[name]

    @cached_property
    def _defined(self) -> set[str]:
        return _defined_names(self.body)

    @cached_property
    def _uses(self) -> Counter[str]:
        return _uses(self.body)

    @cached_property
    def _constants(self) -> dict[str, onnx.TensorProto]:
        nodes = (n for n in self.body.node if n.op_type == "Constant" and n.domain in ("", "ai.onnx"))
        tensors = ((n, held) for n in nodes for a in n.attribute if (held := _held(a)) is not None)
        constants = {output: tensor for node, tensor in tensors for output in node.output}
        if isinstance(self.body, onnx.GraphProto):
            inputs = set() if self.has_fixed_initializers else {value.name for value in self.body.input}
            constants.update((t.name, t) for t in self.body.initializer if t.name not in inputs)
        return constants


def _held(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """Return what an attribute of a Constant node holds, a tensor or int64; None of others and of what calls give."""
    if attribute.name == "value" and attribute.HasField("t"):
        return attribute.t
    if attribute.ref_attr_name or attribute.name not in ("value_int", "value_ints"):
        return None
    shape, values = ([], [attribute.i]) if attribute.name == "value_int" else ([len(attribute.ints)], attribute.ints)
    return onnx.helper.make_tensor(attribute.name, onnx.TensorProto.INT64, shape, values)


def walk_scopes(model: onnx.ModelProto) -> Iterator[Scope]:
    """Yield the scopes of the main graph, of its subgraphs, and of the functions with theirs."""
    main = Scope(model.graph, None, model.ir_version < FIRST_IR_WITH_SEPARATE_INITIALIZERS)
    pending = deque([main, *(Scope(function, None) for function in model.functions)])
    while pending:
        scope = pending.popleft()
        yield scope
        for node in scope.body.node:
            repeats = scope.repeats or node.op_type in _LOOPS
            pending += [Scope(graph, scope, repeats=repeats) for graph in _subgraphs(node)]


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _uses(body: Body) -> Counter[str]:
    """Count how often each name is read in a body and, unless they define it themselves, in the graphs inside."""
    uses = Counter(value if isinstance(value, str) else value.name for value in body.output)
    for node in body.node:
        uses.update(node.input)
        for graph in _subgraphs(node):
            defined = _defined_names(graph)
            uses.update({name: count for name, count in _uses(graph).items() if name not in defined})
    return uses


def _defined_names(body: Body) -> set[str]:
    names = {output for node in body.node for output in node.output}
    if isinstance(body, onnx.FunctionProto):
        return names | set(body.input)
    names |= {value.name for value in body.input} | {tensor.name for tensor in body.initializer}
    return names | {tensor.values.name for tensor in body.sparse_initializer}
