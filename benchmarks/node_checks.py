"""Compares every low-bit node of a converted model with the reference, on the tensors that flow through it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from benchmarks.checks import CheckFailed, Floats, check_conv, check_matmul
from benchmarks.nodes import open_session
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import DOMAIN


def check_nodes(model: onnx.ModelProto, feeds: Mapping[str, NDArray[Any]]) -> int:
    """Check random outputs of all nodes of the main graph in the domain; return how many nodes there are.

    Args:
        model: A converted model without external data; its Conv nodes are 2-D with explicit `pads`.
        feeds: One input for it.

    Raises:
        CheckFailed: Bits differ, or there is no such node.
    """
    nodes = [node for node in model.graph.node if node.domain == DOMAIN]
    if not nodes:
        raise CheckFailed("expected a model with nodes to check, got none")
    tensors = _run_with_all_tensors(model, nodes, feeds)
    for node in nodes:
        attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        spec = from_attributes(attributes)
        operands = [tensors[name] for name in node.input if name]
        _CHECKS[node.op_type](tensors[node.output[0]], operands, attributes, spec, node.name)
    return len(nodes)


def _run_with_all_tensors(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], feeds: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Initializers, feeds, and whatever else the nodes read and write."""
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer} | dict(feeds)
    wanted = {name for node in nodes for name in (*node.input, *node.output) if name and name not in tensors}
    all_out = onnx.ModelProto()
    all_out.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    all_out.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted - present))
    names = sorted(wanted)
    values = open_session(all_out, threads=1).run(names, dict(feeds))
    return tensors | dict(zip(names, values, strict=True))


def _check_conv_node(
    y: Floats, operands: list[Floats], attributes: dict[str, Any], spec: AccumulatorSpec, name: str
) -> None:
    defaults = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
    x, w, *bias = operands
    check_conv(y, x, w, defaults | attributes, spec, name, *bias)


def _check_matmul_node(
    y: Floats, operands: list[Floats], attributes: dict[str, Any], spec: AccumulatorSpec, name: str
) -> None:
    del attributes
    a, b = operands
    check_matmul(y, a, b, spec, name)


def _check_gemm_node(
    y: Floats, operands: list[Floats], attributes: dict[str, Any], spec: AccumulatorSpec, name: str
) -> None:
    a, b, *c = operands
    if {attributes.get("alpha", 1.0), attributes.get("beta", 1.0)} != {1.0}:
        raise CheckFailed(f"{name}: expected alpha and beta of 1, got {attributes}")
    a, b = (np.swapaxes(x, 0, 1) if attributes.get(key) else x for x, key in ((a, "transA"), (b, "transB")))
    check_matmul(y, a, b, spec, name, *c)


_CHECKS = {"LbaConv": _check_conv_node, "LbaMatMul": _check_matmul_node, "LbaGemm": _check_gemm_node}
