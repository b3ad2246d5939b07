"""Builds the ONNX graph of a convolutional network from a state dict, BatchNorm folded into the convolutions.

Node names are the module names of the state dict: the weights "stem.conv.weight" give the node "stem.conv". The
number of images is the dynamic dimension "batch".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET_VERSION = 17
IR_VERSION = 8
BATCH_NORM_EPSILON = 1e-5


class GraphBuilder:
    """Appends nodes one after another; each method returns the name of the node's output."""

    def __init__(self, state: Mapping[str, NDArray[np.float32]]):
        """Args: state: the arrays of the trained network, under torch's names."""
        self._state = state
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._widths: dict[str, int] = {}

    def conv(
        self, x: str, name: str, norm: str | None, stride: int = 1, group: int = 1, padding: int | None = None
    ) -> str:
        """Appends the convolution `name` with the BatchNorm `norm`, if any, folded into it.

        The padding is kernel size // 2 unless given.
        """
        if norm is None:
            weights, bias = self._state[f"{name}.weight"], self._state[f"{name}.bias"]
        else:
            weights, bias = fold_batch_norm(self._state, name, norm)
        kernel_shape = list(weights.shape[2:])
        inputs = [x, self._constant(f"{name}.weight", weights), self._constant(f"{name}.bias", bias)]
        return self._append(
            "Conv",
            inputs,
            name,
            kernel_shape=kernel_shape,
            pads=[size // 2 if padding is None else padding for size in kernel_shape] * 2,
            strides=[stride] * 2,
            dilations=[1, 1],
            group=group,
        )

    def relu(self, x: str, name: str) -> str:
        """Appends max(x, 0)."""
        return self._append("Relu", [x], name)

    def relu6(self, x: str, name: str) -> str:
        """Appends min(max(x, 0), 6)."""
        bounds = [self._constant("relu6.min", np.float32(0)), self._constant("relu6.max", np.float32(6))]
        return self._append("Clip", [x, *bounds], name)

    def prelu(self, x: str, name: str, spatial_axes: int = 2) -> str:
        """Appends x where x > 0, else x times the slope of its channel (axis 1, before the spatial axes)."""
        slope = self._state[f"{name}.weight"].reshape(-1, *[1] * spatial_axes)
        return self._append("PRelu", [x, self._constant(f"{name}.weight", slope)], name)

    def max_pool(self, x: str, name: str, kernel_size: int, stride: int) -> str:
        """Appends the largest value of each window; windows at the end may be cut off (ceil_mode)."""
        return self._append(
            "MaxPool", [x], name, kernel_shape=[kernel_size] * 2, strides=[stride] * 2, pads=[0] * 4, ceil_mode=1
        )

    def flatten_by_columns(self, x: str, name: str) -> str:
        """Appends [batch, channels, height, width] -> [batch, width * height * channels], the channels fastest."""
        columns_first = self._append("Transpose", [x], f"{name}.transpose", perm=[0, 3, 2, 1])
        return self._append("Flatten", [columns_first], f"{name}.flatten", axis=1)

    def softmax(self, x: str, name: str) -> str:
        """Appends the softmax over the last axis of what a fully connected layer gave."""
        output = self._append("Softmax", [x], name, axis=-1)
        self._widths[output] = self._widths[x]
        return output

    def add(self, x: str, y: str, name: str) -> str:
        """Appends x + y."""
        return self._append("Add", [x, y], name)

    def mean_over_pixels(self, x: str, name: str) -> str:
        """Appends [batch, channels, height, width] -> [batch, channels]."""
        pooled = self._append("GlobalAveragePool", [x], f"{name}.pool")
        return self._append("Flatten", [pooled], f"{name}.flatten", axis=1)

    def linear(self, x: str, name: str) -> str:
        """Appends the fully connected layer `name` as a Gemm with transB = 1."""
        inputs = [x, *(self._constant(key, self._state[key]) for key in (f"{name}.weight", f"{name}.bias"))]
        output = self._append("Gemm", inputs, name, transB=1)
        self._widths[output] = int(self._state[f"{name}.weight"].shape[0])
        return output

    def build(self, graph_name: str, image_shape: Sequence[int], outputs: Mapping[str, str]) -> onnx.ModelProto:
        """Returns the checked model with the input "image" [batch, *image_shape].

        Args:
            graph_name: name of the graph.
            image_shape: sizes behind the batch axis.
            outputs: names of the model's outputs to what `linear` or `softmax` returned; each is [batch, width].
        """
        for name, output in outputs.items():
            next(node for node in self._nodes if node.output[0] == output).output[0] = name
        graph = helper.make_graph(
            self._nodes,
            graph_name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *image_shape])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", self._widths[output]])
                for name, output in outputs.items()
            ],
            self._initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET_VERSION)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model

    def _append(self, op_type: str, inputs: list[str], name: str, **attributes: object) -> str:
        output = f"{name}.output"
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))
        return output

    def _constant(self, name: str, value: NDArray[np.float32] | np.float32) -> str:
        if not any(initializer.name == name for initializer in self._initializers):
            self._initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def fold_batch_norm(
    state: Mapping[str, NDArray[np.float32]], conv: str, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Folds the BatchNorm `norm` into the convolution `conv` (which has no bias), computing in float64.

    Returns:
        The weights [out_channels, in_channels / group, height, width] and the bias [out_channels], both float32.
    """
    gamma, beta, mean, variance = (
        state[f"{norm}.{key}"].astype(np.float64) for key in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    weights = state[f"{conv}.weight"] * scale[:, np.newaxis, np.newaxis, np.newaxis]
    return weights.astype(np.float32), (beta - mean * scale).astype(np.float32)
