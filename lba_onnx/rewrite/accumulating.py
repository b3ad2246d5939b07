"""The nodes of a model that multiply and accumulate, each with a name; those that stay as they are with the reason."""

from collections.abc import Collection, Sequence, Set

import onnx

from lba_onnx import operators
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.left_operators import reason_to_leave
from lba_onnx.rewrite.node_names import name_nodes
from lba_onnx.rewrite.twins import has_twin


def find_accumulating(
    model: onnx.ModelProto, sites: Sequence[Site], groups: Collection[str] = ()
) -> list[tuple[Site, str | None]]:
    """Return the nodes that multiply and accumulate, and why each stays as it is; name nodes without a name.

    Args:
        model: The model; nodes without a name get one, nothing else changes.
        sites: All of its nodes.
        groups: Those of `operators.LOWERED_ON_REQUEST` that are asked for.

    Returns:
        The nodes in their order, each with a reason, or with None where its operator has a twin or is taken apart.
    """
    functions = {(function.domain, function.name) for function in model.functions}
    found = [site for site in sites if _accumulates(site.node, functions, groups)]
    name_nodes([site.node for site in found], {site.node.name for site in sites})
    return [(site, _reason(site.node, groups)) for site in found]


def _accumulates(node: onnx.NodeProto, functions: Set[tuple[str, str]], groups: Collection[str]) -> bool:
    if has_twin(node):
        return True
    if (node.domain, node.op_type) in functions and node.domain != operators.DOMAIN:
        return False  # the nodes in the function's body are candidates instead
    return _is_convertible(node, groups) or reason_to_leave(node.domain, node.op_type) is not None


def _reason(node: onnx.NodeProto, groups: Collection[str]) -> str | None:
    return None if _is_convertible(node, groups) else reason_to_leave(node.domain, node.op_type)


def _is_convertible(node: onnx.NodeProto, groups: Collection[str]) -> bool:
    return has_twin(node) or operators.is_lowered(node.domain, node.op_type, groups)
