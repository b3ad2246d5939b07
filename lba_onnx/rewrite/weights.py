"""Where a node's weights come from, in words for the ledger."""

import onnx
import onnx_graphsurgeon as gs

from lba_onnx.rewrite.analysis import Site

DYNAMIC = "dynamic"
FUNCTION_INPUT = "function input"
UNKNOWN = "unknown"


def weight_source(site: Site) -> str:
    """Return where the weights come from: the second input, or the first where only that one is constant.

    Returns:
        "initializer", "outer-scope initializer" or "Constant node", followed by the tensor's name; "derived from
        constants" for a chain such as DequantizeLinear and Transpose; "function input"; "dynamic"; or "unknown",
        where the graph could not be analysed.
    """
    sources = _sources(site)
    index = constant_operand(site)
    return sources[index] if index is not None else sources.get(1, UNKNOWN)


def constant_operand(site: Site) -> int | None:
    """Return which operand, 1 or else 0, follows from constants alone; None where neither does."""
    sources = _sources(site)
    return next((index for index in (1, 0) if sources.get(index, DYNAMIC) not in (DYNAMIC, FUNCTION_INPUT)), None)


def _sources(site: Site) -> dict[int, str]:
    inputs = site.images[0].inputs[:2] if site.images else []
    return {index: _source(tensor, site) for index, tensor in enumerate(inputs)}


def _source(tensor: gs.Tensor, site: Site) -> str:
    if isinstance(tensor, gs.Constant):
        own = isinstance(site.body, onnx.GraphProto) and _is_initializer(tensor.name, site.body)
        return f"{'initializer' if own else 'outer-scope initializer'} {tensor.name!r}"
    if tensor.inputs and tensor.inputs[0].op == "Constant":
        return f"Constant node {tensor.name!r}"
    if _is_constant(tensor):
        return "derived from constants"
    is_function_input = isinstance(site.body, onnx.FunctionProto) and tensor.name in site.body.input
    return FUNCTION_INPUT if is_function_input else DYNAMIC


def _is_initializer(name: str, graph: onnx.GraphProto) -> bool:
    dense = any(tensor.name == name for tensor in graph.initializer)
    return dense or any(tensor.values.name == name for tensor in graph.sparse_initializer)


def _is_constant(tensor: gs.Tensor) -> bool:
    """Tell whether a tensor follows from constants alone, through nodes without subgraphs."""
    pending, seen = [tensor], {id(tensor)}
    while pending:
        current = pending.pop()
        if isinstance(current, gs.Constant) or (current.inputs and current.inputs[0].op == "Constant"):
            continue
        producer = current.inputs[0] if current.inputs else None
        inputs = [t for t in producer.inputs if t.name] if producer else []
        if (
            producer is None or not inputs or producer.attrs
        ):  # a graph input, a random generator, or a node with a subgraph
            return False
        fresh = [t for t in inputs if id(t) not in seen]
        seen.update(id(t) for t in fresh)
        pending.extend(fresh)
    return True
