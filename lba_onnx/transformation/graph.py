"""A model's main graph as transformations see it: who makes a value, who reads it, what is constant, and edits.

    w = initializer; t = Transpose(w); y = MatMul(x, t)
    graph.constant("t")          the transposed values
    graph.replace(use, values)   MatMul reads an initializer of its own; what nothing reads any more goes

An initializer with one reader gets the new values itself. One with several stays for the others: tied weights are
untied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx import operators
from lba_onnx.errors import ModelError
from lba_onnx.rewrite import external_data
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.model_files import OpenModel, locate
from lba_onnx.rewrite.scopes import Scope, walk_scopes
from lba_onnx.rewrite.typed import type_graphs

INSIDE = -1
"""The index of a use in a graph inside a node."""

_STANDARD = ("", "ai.onnx")


@dataclass(frozen=True, eq=False)
class Use:
    """A node that reads a value, and as which input."""

    node: onnx.NodeProto
    index: int

    @property
    def value(self) -> str:
        """The value's name."""
        return str(self.node.input[self.index])


class ModelGraph:
    """The main graph of a model that may be edited."""

    def __init__(self, opened: OpenModel) -> None:
        self.opened = opened
        self.model = opened.proto
        self._scope: Scope = next(iter(walk_scopes(self.model)))
        self._names, self._insertions = FreshNames(self.model), Insertions()
        self.nodes = list(self.model.graph.node)
        self.outputs = {value.name for value in self.model.graph.output}
        self._producers = {output: node for node in self.nodes for output in node.output if output}
        self._uses: dict[str, list[Use]] = {}
        for node in self.nodes:
            self._note_uses(node)
        self._initializers = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self._ranks = _ranks(self.model)

    def _note_uses(self, node: onnx.NodeProto) -> None:
        for index, name in enumerate(node.input):
            self._uses.setdefault(name, []).append(Use(node, index))
        for name in _read_inside(node):
            self._uses.setdefault(name, []).append(Use(node, INSIDE))

    def producer(self, value: str) -> onnx.NodeProto | None:
        """Return the node that makes a value; None for inputs and initializers."""
        return self._producers.get(value)

    def uses(self, value: str) -> list[Use]:
        """Return who reads a value; the graph's outputs are not among them."""
        return list(self._uses.get(value, ()))

    def only_use(self, value: str) -> Use | None:
        """Return the one use of a value that is no output of the graph, or None."""
        uses = self._uses.get(value, ())
        return uses[0] if len(uses) == 1 and value not in self.outputs else None

    def is_last_axis(self, value: str, axis: int) -> bool:
        """Return whether an axis of a value is known to be its last."""
        return axis == -1 or self._ranks.get(value) == axis + 1

    def is_inner_axis(self, value: str, axis: int) -> bool:
        """Return whether an axis of a value is known not to be its last."""
        rank = self._ranks.get(value)
        return axis < -1 or (axis >= 0 and rank is not None and axis < rank - 1)

    def constant(self, value: str) -> NDArray[Any] | None:
        """Return the values of an initializer or Constant node, also behind Transpose and Identity; None otherwise."""
        tensor = self._scope.constant(value) or self._initializer(value)
        if tensor is not None:
            return self._values(tensor)
        node = self.producer(value)
        if node is None or node.op_type not in ("Transpose", "Identity") or node.domain not in _STANDARD:
            return None
        source = self.constant(node.input[0])
        if source is None or node.op_type == "Identity":
            return source
        return np.transpose(source, attribute(node, "perm", None))

    def vector(self, value: str) -> NDArray[np.float32] | None:
        """Return a float32 constant; None for anything else."""
        found = self.constant(value)
        return found if found is not None and found.dtype == np.float32 else None

    def scalar(self, value: str) -> float | None:
        """Return a constant of one element; None for anything else."""
        found = self.constant(value) if value else None
        return float(found.reshape(())) if found is not None and found.size == 1 else None

    def replace(self, use: Use, values: NDArray[Any], label: str) -> None:
        """Give one use of a constant other values.

        Args:
            use: The use.
            values: float32.
            label: What a new initializer's name has behind that of the old one.
        """
        name, values = use.value, np.ascontiguousarray(values, np.float32)
        if name in self._initializers and len(self._uses[name]) == 1 and name not in self.outputs:
            self._initializers[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
            return
        self._rewire(use, self.add_constant(f"{name}_{label}", values))

    def give(self, node: onnx.NodeProto, index: int, values: NDArray[Any], label: str) -> None:
        """Give a node a constant for an input that it may not have yet."""
        if index < len(node.input) and node.input[index]:
            self.replace(Use(node, index), values, label)
            return
        while len(node.input) <= index:
            node.input.append("")
        node.input[index] = self.add_constant(f"{node.output[0]}_{label}", np.asarray(values, np.float32))
        self._uses.setdefault(node.input[index], []).append(Use(node, index))

    def add_constant(self, name: str, values: NDArray[np.float32]) -> str:
        """Add an initializer; return its name."""
        tensor = onnx.numpy_helper.from_array(values, self._names.make(name))
        self.model.graph.initializer.add().CopyFrom(tensor)
        self._initializers[tensor.name] = self.model.graph.initializer[-1]
        return str(tensor.name)

    def add_behind(self, node: onnx.NodeProto, values: NDArray[np.float32], label: str) -> None:
        """Put an Add with a constant behind a node; the node's first output becomes that of the Add."""
        result = node.output[0]
        node.output[0] = self._names.make(f"{result}_{label}_before")
        constant = self.add_constant(f"{result}_{label}", values)
        name = self._names.make(f"{node.name or result}_{label}")
        added = onnx.helper.make_node("Add", [node.output[0], constant], [result], name=name)
        self._insertions.behind(node, self.model.graph, added)
        self._producers.update({node.output[0]: node, result: added})
        self._note_uses(added)

    def finish(self) -> None:
        """Put in what was added, and take out the initializers and constant nodes that edits left without a reader."""
        self._insertions.apply()
        left = {name for name, uses in self._uses.items() if not uses and name not in self.outputs}
        graph = self.model.graph
        for items in (graph.node, graph.initializer):
            for index in reversed(range(len(items))):
                item = items[index]
                names = [item.name] if isinstance(item, onnx.TensorProto) else item.output
                if names and left.issuperset(names):
                    del items[index]

    def _rewire(self, use: Use, name: str) -> None:
        old = use.value
        use.node.input[use.index] = name
        self._uses.setdefault(name, []).append(use)
        self._forget(old, use)

    def _forget(self, value: str, use: Use) -> None:
        """Note that a use is no more, and what follows for the constant node behind it."""
        self._uses[value] = [u for u in self._uses[value] if (u.node is not use.node or u.index != use.index)]
        node = self.producer(value)
        if self._uses[value] or value in self.outputs or node is None:
            return
        for index, name in enumerate(node.input):
            self._forget(name, Use(node, index))

    def _initializer(self, value: str) -> onnx.TensorProto | None:
        """Return an initializer that an edit added, of which the scope does not know."""
        return None if self._scope.defines(value) else self._initializers.get(value)

    def _values(self, tensor: onnx.TensorProto) -> NDArray[Any]:
        if is_external(tensor):
            loaded = onnx.TensorProto()
            loaded.CopyFrom(tensor)
            external_data.load_tensor(loaded, locate(tensor, self.opened.path))
            tensor = loaded
        values: NDArray[Any] = onnx.numpy_helper.to_array(tensor)
        return values


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return a node's attribute, or the default."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)


def is_standard(node: onnx.NodeProto | None, *op_types: str) -> bool:
    """Return whether a node is one of these operators of ONNX."""
    return node is not None and node.domain in _STANDARD and node.op_type in op_types


def called(node: onnx.NodeProto) -> str:
    """Return what messages call a node."""
    return f"{node.op_type} {node.name!r}" if node.name else f"the {node.op_type} that makes {node.output[0]!r}"


def check_float32(model: onnx.ModelProto) -> None:
    """Refuse a model that has been converted.

    Raises:
        ModelError: It has low-bit-accumulator nodes.
    """
    converted = next((node for node in model.graph.node if node.domain == operators.DOMAIN), None)
    if converted is not None:
        raise ModelError(f"expected a float32 model, got {called(converted)}; transform it before it is converted")


def _read_inside(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that the graphs inside a node read, their own among them."""
    for attribute_ in node.attribute:
        graphs = [*attribute_.graphs, *([attribute_.g] if attribute_.HasField("g") else [])]
        for graph in graphs:
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from inner.input
                yield from _read_inside(inner)


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = type_graphs(model).main.graph
    known = ((value.name, value.type.tensor_type) for value in (*graph.value_info, *graph.input, *graph.output))
    return {name: len(tensor.shape.dim) for name, tensor in known if tensor.HasField("shape")}
