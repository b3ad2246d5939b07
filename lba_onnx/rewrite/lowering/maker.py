"""Makes the nodes that a node is taken apart into, with names that nothing in the model has.

maker = Maker("lstm", ...)
gates = maker.add("MatMul", [x, w], product="input")        the node "lstm/input", which multiplies and accumulates
maker.add("Add", [gates, b], output="y")                    writes what the node that is taken apart wrote
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.native.keys import product_key
from lba_onnx.rewrite.fresh_names import FreshNames


@dataclass(frozen=True)
class Names:
    """The names in a model: fresh ones, and those of its nodes, which none of a product may be."""

    fresh: FreshNames
    nodes: Set[str]

    def of_product(self, node: str, product: str) -> str:
        """Return the name of the node that computes a product."""
        name = product_key(node, product)
        while product and name in self.nodes:
            name += "_"
        return name


@dataclass
class Maker:
    """Collects nodes and constants.

    Attributes:
        node: The name of the node that is taken apart, in the model.
        key: What the ledger calls it; unique.
        names: The names in the model.
        nodes: What is made, in the order of the graph.
        constants: Tensors that the nodes read.
    """

    node: str
    key: str
    names: Names
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(
        self,
        op_type: str,
        inputs: Sequence[str],
        *,
        output: str = "",
        product: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node with one output, and return the name of its value.

        Args:
            op_type: The operator.
            inputs: Names of values; "" for an absent one.
            output: The name of its value; by default a fresh one.
            product: The name of the product that it computes; "" where it stands for the whole node, and is called by
                its name; None for a node that does not multiply and accumulate, or is to get no name of its own.
            domain: The operator's domain.
            **attributes: The node's attributes; those that are None, or lists of nothing, are left out.
        """
        return self.add_several(op_type, inputs, [output], product=product, domain=domain, **attributes)[0]

    def add_several(
        self,
        op_type: str,
        inputs: Sequence[str],
        outputs: int | Sequence[str],
        *,
        product: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Add a node with several outputs, and return the names of its values.

        Args:
            op_type: The operator.
            inputs: Names of values; "" for an absent one.
            outputs: How many values it has, or their names, "" for a fresh one.
            product: As of `add`.
            domain: The operator's domain.
            **attributes: The node's attributes; those that are None, or lists of nothing, are left out.
        """
        given = [""] * outputs if isinstance(outputs, int) else outputs
        hint = product or op_type.lower()
        values = [name or self.fresh(hint) for name in given]
        present = {attribute: value for attribute, value in attributes.items() if value not in (None, [])}
        name = self._name(product, self.fresh(hint) if given[0] else values[0])
        node = onnx.helper.make_node(op_type, inputs, values, name=name, domain=domain, **present)
        self.nodes.append(node)
        return values

    def constant(self, values: NDArray[Any], hint: str) -> str:
        """Add a constant, and return the name of its value; the hint says what it is, such as "perm"."""
        name = self.names.fresh.make(f"{self.key}_{hint}")
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))
        return name

    def integers(self, values: Sequence[int], hint: str) -> str:
        """Add a constant of int64, such as axes or sizes, and return the name of its value."""
        return self.constant(np.asarray(values, np.int64), hint)

    def index(self, value: int) -> str:
        """Add an int64 without dimensions, as Gather takes it to drop an axis, and return the name of its value."""
        return self.constant(np.asarray(value, np.int64), "index")

    def inner(self) -> "Maker":
        """Return a maker of the nodes of a graph inside.

        Its constants stand there, too, as nodes, which any IR version takes: up to onnxruntime 1.22 a node does not see
        that a value from outside is constant, and would pack its weights anew in each step of a loop.
        """
        return Maker(self.node, self.key, self.names)

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """Return a graph of this maker's nodes and constants, such as the body of a Scan.

        Args:
            name: What it is called.
            inputs: Its inputs; their names come from `fresh`.
            outputs: Its outputs: inputs, or values of the nodes.
        """
        return onnx.helper.make_graph([*self.constant_nodes(), *self.nodes], f"{self.key}_{name}", inputs, outputs)

    def constant_nodes(self) -> list[onnx.NodeProto]:
        """Return the constants as nodes, for where no initializers can stand."""
        return [onnx.helper.make_node("Constant", [], [t.name], name=t.name, value=t) for t in self.constants]

    def fresh(self, hint: str) -> str:
        """Return a fresh name for a value, such as an input of a graph inside."""
        return self.names.fresh.make(f"{self.key}_{hint}")

    def _name(self, product: str | None, fresh: str) -> str:
        if product is None:
            return fresh
        return self.names.of_product(self.key, product) if product else self.node
