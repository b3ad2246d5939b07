"""Runs the models of networks in PyTorch, eagerly, with products that are given: float32's or the low-bit ones.

For machines whose onnxruntime has no CUDA: everything but the products is PyTorch's on either side.
"""

from collections.abc import Callable
from typing import Any, Protocol

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from benchmarks.cuda.networks import INPUT, OUTPUT


class Products(Protocol):
    """What computes the products of a model; `name` is the node's."""

    def conv(self, name: str, x: Tensor, w: Tensor, bias: Tensor, attributes: dict[str, Any]) -> Tensor:
        """Convolution as ONNX's Conv defines it, in two dimensions."""

    def matmul(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """Matrix product; a `b` of two dimensions is constant."""


class Float32Products:
    """PyTorch's own, by cuBLAS and cuDNN."""

    def conv(self, name: str, x: Tensor, w: Tensor, bias: Tensor, attributes: dict[str, Any]) -> Tensor:
        """As Products says."""
        pad = attributes["pads"][0]
        return torch.nn.functional.conv2d(x, w, bias, attributes["strides"], pad, groups=attributes["group"])

    def matmul(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """As Products says."""
        return torch.matmul(a, b)


class Executor:
    """One model with its weights on a device."""

    def __init__(self, model: onnx.ModelProto, device: str) -> None:
        self._nodes = [(node, _attributes(node)) for node in model.graph.node]
        arrays = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
        # Shapes, indices and single numbers stay on the host: reading them there makes nobody wait.
        self._constants = {
            name: torch.from_numpy(array.copy()).to(device if array.ndim and array.dtype.kind == "f" else "cpu")
            for name, array in arrays.items()
        }

    def run(self, x: Tensor, products: Products) -> Tensor:
        """The output of the model for this input."""
        values: dict[str, Any] = {**self._constants, INPUT: x}
        with torch.inference_mode():
            for node, attributes in self._nodes:
                inputs = [values[name] for name in node.input]
                if node.op_type == "Conv":
                    y = products.conv(node.name, *inputs, attributes)
                elif node.op_type == "MatMul":
                    y = products.matmul(node.name, *inputs)
                else:
                    y = _OPERATORS[node.op_type](*inputs, **attributes)
                values[node.output[0]] = y
        return values[OUTPUT]


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


_OPERATORS: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Clip": lambda x, low, high: x.clamp(float(low), float(high)),
    "Erf": torch.erf,
    "Gather": lambda x, index, axis: x.select(axis, int(index)),
    "GlobalAveragePool": lambda x: x.mean((2, 3), keepdim=True),
    "Identity": lambda x: x,
    "LayerNormalization": lambda x, scale, bias, axis, epsilon: torch.nn.functional.layer_norm(
        x, scale.shape, scale, bias, epsilon
    ),
    "Mul": torch.mul,
    "Reshape": lambda x, shape: x.reshape(shape.tolist()),
    "Softmax": lambda x, axis: x.softmax(axis),
    "Transpose": lambda x, perm: x.permute(perm),
}
