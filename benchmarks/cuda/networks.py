"""Models of the shapes of MobileNetV2 and BERT-base with random weights, as ONNX: only their speed is of interest."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUT, OUTPUT = "input", "output"
TOKENS, HIDDEN, HEADS, LAYERS, INNER = 128, 768, 12, 12, 3072  # of BERT-base
IMAGE_SIDE, CLASSES = 224, 1000
# Expansion, channels, blocks and first stride of each stage of MobileNetV2.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM_CHANNELS, LAST_CHANNELS = 32, 1280
_OPSET, _IR_VERSION = 17, 8


@dataclass
class Builder:
    """Collects nodes and random weights; every method returns the name of its result."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, op_type: str, inputs: Sequence[str], **attributes: object) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def constant(self, values: NDArray[np.generic]) -> str:
        name = f"constant{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, shape: tuple[int, ...], fan_in: int) -> str:
        scale = np.float32((2 / fan_in) ** 0.5)
        return self.constant(self.rng.standard_normal(shape, np.float32) * scale)

    def scalar(self, value: float) -> str:
        return self.constant(np.float32(value))

    def conv(self, x: str, channels: int, out_channels: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        shape = (out_channels, channels // group, kernel, kernel)
        inputs = (x, self.weight(shape, shape[1] * kernel**2), self.weight((out_channels,), 100))
        window = {"strides": [stride] * 2, "pads": [kernel // 2] * 4, "dilations": [1, 1], "group": group}
        return self.node("Conv", inputs, **window)

    def linear(self, x: str, features: int, out_features: int) -> str:
        product = self.node("MatMul", (x, self.weight((features, out_features), 2 * features)))
        return self.node("Add", (product, self.weight((out_features,), 100)))

    def relu6(self, x: str) -> str:
        return self.node("Clip", (x, self.scalar(0), self.scalar(6)))

    def reshape(self, x: str, *shape: int) -> str:
        return self.node("Reshape", (x, self.constant(np.array(shape, np.int64))))

    def normalize(self, x: str) -> str:
        scale, bias = (self.constant(np.full(HIDDEN, value, np.float32)) for value in (1, 0))
        return self.node("LayerNormalization", (x, scale, bias), axis=-1, epsilon=1e-5)

    def model(self, name: str, output: str, shape: tuple[int, ...], features: int) -> onnx.ModelProto:
        self.node("Identity", (output,))
        self.nodes[-1].output[0] = OUTPUT
        x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", *shape])
        y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", features])
        graph = helper.make_graph(self.nodes, name, [x], [y], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def mobilenet_v2(side: int = IMAGE_SIDE) -> onnx.ModelProto:
    """float32 [batch, 3, side, side] -> [batch, 1000]."""
    net = Builder()
    x = net.relu6(net.conv(INPUT, 3, STEM_CHANNELS, 3, 2))
    channels = STEM_CHANNELS
    for expansion, out_channels, blocks, first_stride in STAGES:
        for block in range(blocks):
            stride = first_stride if block == 0 else 1
            y = _inverted_residual(net, x, channels, channels * expansion, out_channels, stride)
            x = net.node("Add", (x, y)) if stride == 1 and channels == out_channels else y
            channels = out_channels
    x = net.relu6(net.conv(x, channels, LAST_CHANNELS, 1))
    pooled = net.reshape(net.node("GlobalAveragePool", (x,)), -1, LAST_CHANNELS)
    return net.model("mobilenet_v2", net.linear(pooled, LAST_CHANNELS, CLASSES), (3, side, side), CLASSES)


def _inverted_residual(net: Builder, x: str, channels: int, inner: int, out_channels: int, stride: int) -> str:
    if inner != channels:
        x = net.relu6(net.conv(x, channels, inner, 1))
    x = net.relu6(net.conv(x, inner, inner, 3, stride, group=inner))
    return net.conv(x, inner, out_channels, 1)


def bert_base(layers: int = LAYERS, tokens: int = TOKENS) -> onnx.ModelProto:
    """The encoder and its pooler: float32 [batch, tokens, 768], embedded -> [batch, 768]."""
    net = Builder()
    x = INPUT
    for _ in range(layers):
        x = net.normalize(net.node("Add", (x, _attention(net, x, tokens))))
        inner = _gelu(net, net.linear(x, HIDDEN, INNER))
        x = net.normalize(net.node("Add", (x, net.linear(inner, INNER, HIDDEN))))
    first = net.node("Gather", (x, net.constant(np.int64(0))), axis=1)
    return net.model("bert_base", net.linear(first, HIDDEN, HIDDEN), (tokens, HIDDEN), HIDDEN)


def _attention(net: Builder, x: str, tokens: int) -> str:
    width = HIDDEN // HEADS
    query, key, value = (net.reshape(net.linear(x, HIDDEN, HIDDEN), -1, tokens, HEADS, width) for _ in range(3))
    query, value = (net.node("Transpose", (part,), perm=[0, 2, 1, 3]) for part in (query, value))
    key = net.node("Transpose", (key,), perm=[0, 2, 3, 1])
    scores = net.node("Mul", (net.node("MatMul", (query, key)), net.scalar(width**-0.5)))
    mixed = net.node("MatMul", (net.node("Softmax", (scores,), axis=-1), value))
    return net.linear(
        net.reshape(net.node("Transpose", (mixed,), perm=[0, 2, 1, 3]), -1, tokens, HIDDEN), HIDDEN, HIDDEN
    )


def _gelu(net: Builder, x: str) -> str:
    bell = net.node("Erf", (net.node("Mul", (x, net.scalar(0.5**0.5))),))
    half = net.node("Mul", (x, net.scalar(0.5)))
    return net.node("Mul", (half, net.node("Add", (bell, net.scalar(1)))))


NETWORKS = {"mobilenet_v2": mobilenet_v2, "bert_base": bert_base}
INPUT_SHAPES = {"mobilenet_v2": (3, IMAGE_SIDE, IMAGE_SIDE), "bert_base": (TOKENS, HIDDEN)}


def make_model_and_inputs(name: str, batch: int) -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    """One of NETWORKS and a random batch for it."""
    values = np.random.default_rng(0).standard_normal((batch, *INPUT_SHAPES[name]), np.float32)
    return NETWORKS[name](), values
