"""Models of one node that is taken apart, run as they are and taken apart."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from lba_onnx.rewrite.lowering import Lowering, lower_model

MICROSOFT = "com.microsoft"
Arrays = Mapping[str, NDArray[Any]]


def one_node(
    node: onnx.NodeProto,
    feeds: Arrays,
    constants: Arrays = MappingProxyType({}),
    *,
    opset: int = 17,
    outputs: Sequence[str] = (),
) -> onnx.ModelProto:
    """Return a model of a node; inputs have the types and shapes of what they are fed, outputs are float32."""
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(fed.dtype), fed.shape)
        for name, fed in feeds.items()
    ]
    results = [helper.make_tensor_value_info(name, 1, None) for name in (outputs or [n for n in node.output if n])]
    initializers = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph([node], "graph", inputs, results, initializers)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def lowered(model: onnx.ModelProto, groups: Sequence[str] = ()) -> tuple[onnx.ModelProto, Lowering]:
    """Return a copy of a model with all taken apart that can be, and what has been done."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    lowering = lower_model(copy, groups=groups)
    return copy, lowering


def run(model: onnx.ModelProto, feeds: Arrays) -> list[NDArray[Any]]:
    """Run a model in onnxruntime, its graph as it stands."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(feeds)))


def check_equal(
    model: onnx.ModelProto, feeds: Arrays, bound: "float | NDArray[Any]" = 0.0, groups: Sequence[str] = ()
) -> onnx.ModelProto:
    """Check that a model taken apart gives what it gives whole, within a bound; return it taken apart."""
    apart, lowering = lowered(model, groups)
    assert lowering.origins, [lowering.refusal(node) for node in apart.graph.node]
    for whole, part in zip(run(model, feeds), run(apart, feeds), strict=True):
        assert whole.dtype == part.dtype and whole.shape == part.shape
        assert np.all(np.abs(whole - part) <= bound), float(np.max(np.abs(whole - part)))
    return apart


def refusal(model: onnx.ModelProto, groups: Sequence[str] = ()) -> str:
    """Return why the model's only node is not taken apart."""
    copy, lowering = lowered(model, groups)
    model.graph.node[0].name = copy.graph.node[0].name
    assert copy == model
    reason = lowering.refusal(copy.graph.node[0])
    assert reason is not None
    return reason
