"""Layers with constant weights whose output channels and input channels can be scaled: Conv, Gemm, MatMul.

Conv W [outputs, inputs / groups, ...], groups     channels on axis 1
Gemm B [inputs, outputs] or, transB, [outputs, inputs]; MatMul W [inputs, outputs]     channels on the last axis
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.transformation.graph import ModelGraph, Use, attribute, called, is_standard

Weights = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ChannelLayer:
    """A Conv, Gemm or MatMul with constant weights.

    Attributes:
        node: The node.
        weights: The use of its weights.
        outputs: Number of output channels.
        inputs: Number of input channels.
        groups: Of a convolution.
        output_axis: The axis of the weights that runs over outputs; of a convolution's input channels it is 1.
        axis: The axis of the output that runs over channels: 1, or -1 for the last.
        rank: Number of axes of a convolution's output; None where it may be any.
    """

    node: onnx.NodeProto
    weights: Use
    outputs: int
    inputs: int
    groups: int
    output_axis: int
    axis: int
    rank: int | None

    def read_bias(self, graph: ModelGraph) -> Weights | float:
        """Return what the layer adds to each channel after its sums."""
        if len(self.node.input) < 3 or not self.node.input[2]:
            return 0.0
        bias = graph.vector(self.node.input[2])
        assert bias is not None  # as `as_channel_layer` has seen
        added: Weights = np.float32(attribute(self.node, "beta", 1.0)) * bias.reshape(-1, self.outputs)[0]
        return added

    def scale_outputs(self, graph: ModelGraph, scales: Weights, label: str) -> None:
        """Scale the output channels, and the layer's own bias with them."""
        values = self._values(graph)
        shape = [1] * values.ndim
        shape[self.output_axis] = -1
        graph.replace(self.weights, values * scales.reshape(shape), label)
        if len(self.node.input) > 2 and self.node.input[2]:
            use = Use(self.node, 2)
            bias = graph.vector(use.value)
            assert bias is not None  # as `as_channel_layer` has seen
            graph.replace(use, bias * scales, label)

    def scale_inputs(self, graph: ModelGraph, scales: Weights, label: str) -> None:
        """Scale what the layer multiplies its input channels by; each stands for several inputs behind a Flatten."""
        values = self._values(graph)
        scales = np.repeat(scales, self.inputs // len(scales))
        if self.axis == 1:
            grouped = values.reshape(self.groups, -1, *values.shape[1:])
            by = scales.reshape(self.groups, 1, -1, *[1] * (values.ndim - 2))
            graph.replace(self.weights, (grouped * by).reshape(values.shape), label)
        else:
            graph.replace(self.weights, values * (scales if self.output_axis == 0 else scales[:, None]), label)

    def takes_vector(self, values: Weights | None) -> bool:
        """Return whether a constant that is added to the output is one number per channel."""
        if values is None or values.size == 1:
            return False
        if self.axis == -1:
            return bool(values.shape[-1] == self.outputs)
        return self.rank is not None and values.shape[1 - self.rank : 2 - self.rank] == (self.outputs,)

    def scaled_vector(self, values: Weights, scales: Weights) -> Weights:
        """Return a constant that `takes_vector` takes, scaled as the channels are."""
        behind = 0 if self.rank is None else self.rank - 2
        return values * scales.reshape(-1, *[1] * behind)

    def _values(self, graph: ModelGraph) -> Weights:
        values = graph.vector(self.weights.value)
        assert values is not None  # as `as_channel_layer` has seen
        return values


def as_channel_layer(graph: ModelGraph, node: onnx.NodeProto) -> ChannelLayer | str:
    """Return a node as a layer with constant weights, or why it is none."""
    if not is_standard(node, "Conv", "Gemm", "MatMul"):
        return f"{called(node)} is no Conv, Gemm or MatMul"
    values = graph.vector(node.input[1])
    if values is None:
        return f"the weights of {called(node)} are no float32 constant"
    found = _as_conv(node, values) if node.op_type == "Conv" else _as_matrix(node, values)
    if isinstance(found, ChannelLayer) and len(node.input) > 2 and node.input[2]:
        bias = graph.vector(node.input[2])
        if bias is None or bias.shape[-1:] != (found.outputs,):
            return f"the bias of {called(node)} is no float32 constant with a number for each channel"
    return found


def _as_conv(node: onnx.NodeProto, values: Weights) -> ChannelLayer:
    groups = int(attribute(node, "group", 1))
    outputs, inputs = int(values.shape[0]), int(values.shape[1]) * groups
    return ChannelLayer(node, Use(node, 1), outputs, inputs, groups, 0, 1, values.ndim)


def _as_matrix(node: onnx.NodeProto, values: Weights) -> ChannelLayer | str:
    if values.ndim != 2:
        return f"the weights of {called(node)} have {values.ndim} axes, expected 2"
    if node.op_type == "Gemm" and attribute(node, "transA", 0):
        return f"{called(node)} transposes its data"
    output_axis = 0 if node.op_type == "Gemm" and attribute(node, "transB", 0) else 1
    outputs, inputs = int(values.shape[output_axis]), int(values.shape[1 - output_axis])
    return ChannelLayer(node, Use(node, 1), outputs, inputs, 1, output_axis, -1, None)
