"""What has been taken apart in a model, and the way back."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

import onnx

from lba_onnx.operators import standard_domain
from lba_onnx.rewrite.analysis import Body
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.scopes import Scope, walk_scopes

_OF_CONSTANTS = "Constant", "DequantizeLinear", "Transpose"


@dataclass(frozen=True, eq=False)
class Origin:
    """A node that has been taken apart.

    Attributes:
        key: What the ledger calls it; unique in the model.
        original: The node as it was.
        body: The graph or function that holds it.
        nodes: What stands in its place, in the model; the last one is the object that it was.
        constants: The names of initializers that only these read.
    """

    key: str
    original: onnx.NodeProto
    body: Body
    nodes: tuple[onnx.NodeProto, ...]
    constants: tuple[str, ...]

    def all_nodes(self) -> Iterator[onnx.NodeProto]:
        """Yield what stands in its place, with the nodes of graphs inside."""
        yield from _with_inner(self.nodes)


@dataclass
class Lowering:
    """What has been taken apart in a model, and what refuses to be.

    Attributes:
        groups: The groups of operators that were asked for (`operators.LOWERED_ON_REQUEST`).
        origins: The nodes that have been taken apart.
    """

    groups: tuple[str, ...] = ()
    origins: list[Origin] = field(default_factory=list)
    _by_node: dict[int, Origin] = field(default_factory=dict)
    _refused: dict[int, tuple[onnx.NodeProto, str]] = field(default_factory=dict)
    _kept_alive: list[onnx.NodeProto] = field(default_factory=list)

    def add(self, origin: Origin) -> None:
        """Note a node that has been taken apart."""
        self.origins.append(origin)
        nodes = list(origin.all_nodes())
        self._kept_alive += nodes  # so that their ids stay theirs
        self._by_node.update(dict.fromkeys(map(id, nodes), origin))

    def refuse(self, node: onnx.NodeProto, reason: str) -> None:
        """Note why a node cannot be taken apart."""
        self._refused[id(node)] = node, reason

    def origin(self, node: onnx.NodeProto) -> Origin | None:
        """Return the node that a node of the model stands for, or stands for a part of; None for one of its own."""
        return self._by_node.get(id(node))

    def refusal(self, node: onnx.NodeProto) -> str | None:
        """Return why a node has not been taken apart, or None."""
        return self._refused.get(id(node), (node, None))[1]

    def restore(self, origins: Collection[Origin]) -> None:
        """Put nodes back as they were; nothing else may have changed in what stands in their place."""
        removals = Insertions()
        for origin in origins:
            origin.nodes[-1].CopyFrom(origin.original)
            for node in origin.nodes[:-1]:
                removals.remove(node, origin.body)
        removals.apply()
        made: dict[int, tuple[Body, set[str]]] = {}
        for origin in origins:
            made.setdefault(id(origin.body), (origin.body, set()))[1].update(origin.constants)
        for body, names in made.values():
            _drop_values(body, names)


def drop_unread_constants(model: onnx.ModelProto, origins: Iterable[Origin]) -> None:
    """Remove the constants that nodes which have been taken apart read, and nothing reads any more.

    A DequantizeLinear or Transpose of constants goes with them.
    """
    read = {name for origin in origins for name in origin.original.input if name}
    while read:
        read = {name for scope in walk_scopes(model) for name in _drop_unread(scope, read)}


def _drop_unread(scope: Scope, names: Collection[str]) -> set[str]:
    """Remove those of some values that nothing reads, unless they are computed; return what their nodes have read."""
    unread = {name for name in names if scope.defines(name) and not scope.uses(name)} - _inputs(scope.body)
    makers = [node for node in scope.body.node if node.op_type in _OF_CONSTANTS and unread.intersection(node.output)]
    removals = Insertions()
    for node in makers:
        removals.remove(node, scope.body)
    constants = {name for name in unread if scope.constant(name) is not None}
    made = {name for node in makers for name in node.output}
    read = {name for node in makers for name in node.input if name}
    removals.apply()
    _drop_values(scope.body, constants | made)
    return read


def type_of(node: onnx.NodeProto) -> str:
    """Return a node's operator as the ledger names it: with its domain, unless that is ONNX's."""
    return f"{node.domain}.{node.op_type}" if standard_domain(node.domain) else str(node.op_type)


def _inputs(body: Body) -> set[str]:
    return {value if isinstance(value, str) else value.name for value in body.input}


def _drop_values(body: Body, names: Collection[str]) -> None:
    """Remove initializers, and what is said of the types of values that are there no more."""
    lists = (body.initializer, body.value_info) if isinstance(body, onnx.GraphProto) else (body.value_info,)
    for values in lists if names else ():
        for index in reversed(range(len(values))):
            if values[index].name in names:
                del values[index]


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _with_inner(attribute.g.node)
