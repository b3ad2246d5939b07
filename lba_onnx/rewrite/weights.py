"""Where a node's weights come from, in words for the ledger."""

from collections.abc import Sequence

import onnx
import onnx_graphsurgeon as gs

from lba_onnx.rewrite.analysis import Site

DYNAMIC = "dynamic"
FUNCTION_INPUT = "function input"
UNKNOWN = "unknown"


class WeightSources:
    """Answers for the nodes of one model; what is known of a tensor once is not looked for again."""

    def __init__(self) -> None:
        self._is_constant: dict[int, bool] = {}
        self._initializers: dict[int, frozenset[str]] = {}

    def describe(self, site: Site, operands: Sequence[int]) -> tuple[str, int | None]:
        """Return where a product's weights come from, and which input, they or else the other one, is constant.

        The weights are the last operand, or the first where only that one is constant.

        Args:
            site: The node.
            operands: The inputs that are multiplied; one of them alone where the node computes the other itself.

        Returns:
            "initializer", "outer-scope initializer" or "Constant node", followed by the tensor's name; "derived from
            constants" for a chain such as DequantizeLinear and Transpose; "function input"; "dynamic"; or "unknown",
            where the graph could not be analysed. The input is None where neither follows from constants alone.
        """
        inputs = site.images[0].inputs if site.images else []
        sources = {index: self._source(inputs[index], site) for index in operands if index < len(inputs)}
        constant = [index for index, source in sources.items() if source not in (DYNAMIC, FUNCTION_INPUT)]
        if constant:
            return sources[constant[-1]], constant[-1]
        return sources.get(operands[-1], UNKNOWN), None

    def _source(self, tensor: gs.Tensor, site: Site) -> str:
        if isinstance(tensor, gs.Constant):
            own = isinstance(site.body, onnx.GraphProto) and tensor.name in self._initializers_of(site.body)
            return f"{'initializer' if own else 'outer-scope initializer'} {tensor.name!r}"
        if _is_constant_node(tensor):
            return f"Constant node {tensor.name!r}"
        if self._follows_from_constants(tensor):
            return "derived from constants"
        is_function_input = isinstance(site.body, onnx.FunctionProto) and tensor.name in site.body.input
        return FUNCTION_INPUT if is_function_input else DYNAMIC

    def _initializers_of(self, graph: onnx.GraphProto) -> frozenset[str]:
        if id(graph) not in self._initializers:
            dense = {tensor.name for tensor in graph.initializer}
            self._initializers[id(graph)] = frozenset(dense | {t.values.name for t in graph.sparse_initializer})
        return self._initializers[id(graph)]

    def _follows_from_constants(self, tensor: gs.Tensor) -> bool:
        """Tell whether a tensor follows from constants alone, through nodes without subgraphs."""
        known = self._is_constant
        pending, visited = [tensor], set()
        while pending:
            current = pending[-1]
            inputs = _constant_candidates(current)
            fresh = [t for t in inputs if id(t) not in known and id(t) not in visited]
            if id(current) not in visited and fresh:
                visited.add(id(current))
                pending += fresh
                continue
            known.setdefault(id(current), _is_source(current) or _all_known(inputs, known))
            pending.pop()
        return known[id(tensor)]


def _all_known(inputs: list[gs.Tensor], known: dict[int, bool]) -> bool:
    return bool(inputs) and all(known.get(id(tensor), False) for tensor in inputs)  # what is missing is in a cycle


def _is_source(tensor: gs.Tensor) -> bool:
    return isinstance(tensor, gs.Constant) or _is_constant_node(tensor)


def _is_constant_node(tensor: gs.Tensor) -> bool:
    return bool(tensor.inputs) and tensor.inputs[0].op == "Constant"


def _constant_candidates(tensor: gs.Tensor) -> list[gs.Tensor]:
    """Return the tensors that all have to be constant; none for a graph input, a random generator and the like."""
    if _is_source(tensor) or not tensor.inputs or tensor.inputs[0].attrs:  # attributes that are left are subgraphs
        return []
    return [t for t in tensor.inputs[0].inputs if t.name]
