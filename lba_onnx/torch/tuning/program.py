"""A converted model's main graph, run in PyTorch: its products in float32, or as their accumulators give them.

    program = Program(opened, accumulates=True)
    program.run(feeds, ["y"], {"conv1": Change(weights, offset)})["y"].sum().backward()

What follows from constants alone is computed once. A node whose operator has no operation here is computed by ONNX's
reference evaluator, as long as no gradient has to pass it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from lba_onnx.errors import ModelError
from lba_onnx.estimators import DEFAULT_ESTIMATOR
from lba_onnx.operators import DOMAIN
from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.candidates import Candidate, converted_products
from lba_onnx.rewrite.model_files import OpenModel, load_data, open_model
from lba_onnx.torch.tuning import arranging, elementwise  # noqa: F401  (they note their operations)
from lba_onnx.torch.tuning.operation import OPERATIONS, Call
from lba_onnx.torch.tuning.products import FLOAT32, Arithmetic, product

_STANDARD = ("", "ai.onnx")
_OF_MICROSOFT = ("Gelu", "SimplifiedLayerNormalization")
_PRODUCTS = ("LbaMatMul", "LbaGemm", "LbaConv")


@dataclass(frozen=True, eq=False)
class Change:
    """What takes the place of a layer's own weights.

    Attributes:
        operand: Which operand they are, 0 or 1.
        weights: As the node reads them.
        offset: What its sums are raised by, in a shape that broadcasts to them; None for nothing.
    """

    operand: int
    weights: Tensor
    offset: Tensor | None = None

    def applied(self, read: list[Tensor | None]) -> list[Tensor | None]:
        """Return the inputs of the node with these weights in place of its own."""
        return [self.weights if index == self.operand else value for index, value in enumerate(read)]


class Program:
    """A model that runs in PyTorch."""

    def __init__(self, opened: OpenModel, *, accumulates: bool, estimator: str = DEFAULT_ESTIMATOR) -> None:
        """Read a model.

        Args:
            opened: A converted model, which is not changed.
            accumulates: Whether its products are those of its accumulators; else they are float32.
            estimator: How gradients pass accumulators, one of `estimators.ESTIMATORS`.

        Raises:
            ModelError: It holds a product that has no gradient here.
        """
        loaded = OpenModel(open_model(opened.proto).proto, opened.path)
        load_data(loaded)
        model = loaded.proto
        self._nodes = list(model.graph.node)
        own = {name for node in self._nodes for name in node.output}
        self._products = {_check(product, own): product for product in converted_products(model)}
        self._accumulates, self._estimator = accumulates, estimator
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._outputs = [value.name for value in model.graph.output]
        constants = ((tensor.name, onnx.numpy_helper.to_array(tensor)) for tensor in model.graph.initializer)
        self._constants = {name: _tensor(name, values) for name, values in constants}
        self._fold_constants({value.name for value in model.graph.input})

    @property
    def outputs(self) -> list[str]:
        """The names of the graph's outputs."""
        return list(self._outputs)

    def operand(self, node: str, index: int) -> Tensor:
        """Return a constant operand of a converted node, as the node reads it.

        Raises:
            ModelError: It does not follow from constants.
        """
        read = next(product for product in self._products.values() if product.name == node).site.node.input[index]
        if read not in self._constants:
            raise ModelError(f"node {node!r}: expected weights that follow from constants, got {read!r}")
        return self._constants[read]

    def run(
        self, feeds: Mapping[str, NDArray[Any]], wanted: Collection[str], changes: Mapping[str, Change] | None = None
    ) -> dict[str, Tensor]:
        """Return some values of the graph.

        Args:
            feeds: By input name.
            wanted: Names of values.
            changes: By converted node.

        Raises:
            ModelError: A gradient would have to pass a node that has no operation here.
        """
        values = self._constants | {name: _tensor(name, fed) for name, fed in feeds.items()}
        changes = changes or {}
        for node, done_with in zip(self._nodes, self._last_uses(wanted), strict=True):
            if all(name in values for name in node.output if name):
                continue
            results = self._results(node, [values[name] if name else None for name in node.input], changes)
            values.update((name, value) for name, value in zip(node.output, results, strict=False) if name)
            for name in done_with:
                values.pop(name, None)
        return {name: values[name] for name in wanted}

    def _fold_constants(self, inputs: set[str]) -> None:
        """Compute what follows from constants alone."""
        with torch.no_grad():
            for node in self._nodes:
                read = [name for name in node.input if name]
                is_constant = all(name in self._constants and name not in inputs for name in read)
                if is_constant and node.output[0] not in self._products and not _has_graphs(node):
                    results = self._results(node, [self._constants.get(name) for name in node.input], {})
                    self._constants.update((name, v) for name, v in zip(node.output, results, strict=False) if name)

    def _last_uses(self, wanted: Collection[str]) -> list[list[str]]:
        """Return, for each node, the values that no node reads behind it."""
        last = {name: i for i, node in enumerate(self._nodes) for name in (*node.input, *node.output) if name}
        by_node: list[list[str]] = [[] for _ in self._nodes]
        for name, i in last.items():
            if name not in wanted and name not in self._constants:
                by_node[i].append(name)
        return by_node

    def _results(
        self, node: onnx.NodeProto, read: list[Tensor | None], changes: Mapping[str, Change]
    ) -> tuple[Tensor, ...]:
        call = Call(node.op_type, own_attributes(node), self._opsets.get(node.domain, 1), len(node.output))
        if node.output[0] in self._products:
            return (self._product(self._products[node.output[0]], call, read, changes),)
        is_known = node.domain in _STANDARD or node.op_type in _OF_MICROSOFT
        operation = OPERATIONS.get(node.op_type) if is_known else None
        if operation is None:
            return self._evaluated(node, read)
        results = operation(call, *read)
        return results if isinstance(results, tuple) else (results,)

    def _product(
        self, candidate: Candidate, call: Call, read: list[Tensor | None], changes: Mapping[str, Change]
    ) -> Tensor:
        change = changes.get(candidate.name)
        arithmetic = Arithmetic(str(candidate.present_spec), self._estimator) if self._accumulates else FLOAT32
        a, b, c = _three(read if change is None else change.applied(read))
        return product(call, arithmetic, a, b, c, None if change is None else change.offset)

    def _evaluated(self, node: onnx.NodeProto, read: list[Tensor | None]) -> tuple[Tensor, ...]:
        """Return what ONNX's reference evaluator gives for a node that no gradient passes."""
        if _has_graphs(node) or any(value is not None and value.requires_grad for value in read):
            raise ModelError(f"node {node.name!r}: expected an operator with a gradient here, got {node.op_type}")
        names = [(name, value) for name, value in zip(node.input, read, strict=True) if value is not None]
        inputs = [onnx.helper.make_empty_tensor_value_info(name) for name in dict(names)]
        outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in node.output if name]
        opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in self._opsets.items()]
        graph = onnx.helper.make_graph([node], "node", inputs, outputs)
        try:
            evaluator = ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=opsets))
            found = evaluator.run(None, {name: value.numpy() for name, value in names})
        except Exception as error:  # the evaluator's errors have no base of their own
            raise ModelError(f"node {node.name!r} ({node.op_type}) does not run in PyTorch: {error}") from error
        by_name = dict(zip((value.name for value in outputs), found, strict=True))
        return tuple(_tensor(name, by_name.get(name, 0.0)) for name in node.output)


def _check(product: Candidate, own: Collection[str]) -> str:
    """Return the name of what a product's node gives; refuse one that cannot be run here."""
    node, name = product.site.node, product.name
    if node.op_type not in _PRODUCTS or node.domain != DOMAIN:
        raise ModelError(f"node {name!r}: expected products of MatMul, Gemm and Conv, got {node.op_type}")
    if product.element_type != "float32":
        raise ModelError(f"node {name!r}: expected float32, got {product.element_type}")
    if node.output[0] not in own:
        raise ModelError(f"node {name!r}: expected nodes of the main graph, got one of a subgraph or function")
    return str(node.output[0])


def _tensor(name: str, values: Any) -> Tensor:
    """Return a copy of an array as a tensor."""
    array = np.array(values)
    try:
        return torch.from_numpy(array)
    except TypeError:
        raise ModelError(f"{name!r}: expected numbers of a type that PyTorch has, got {array.dtype}") from None


def _three(read: list[Tensor | None]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return two operands, and a bias if there is one."""
    a, b, c = (*read, None)[:3]
    assert a is not None and b is not None
    return a, b, c


def _has_graphs(node: onnx.NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
