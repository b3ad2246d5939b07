"""Comparisons of PyTorch layers with lba_onnx.reference, and of gradients with lba_onnx.reference.gradients."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.checks import CheckFailed, check_bits, check_conv, check_matmul
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.reference import gradients
from lba_onnx.torch import LbaConv2d, LbaLinear, lba_matmul

CHECKED_SHAPE = (24, 40, 33)  # rows, depth and columns
EXACT_STEPS = 8  # operands are multiples of 1/8: float32 adds so few of their products without rounding


def check_layers(model: nn.Module, x: Tensor) -> None:
    """Run a model, and compare random outputs of each of its converted layers with the reference."""
    layers = {name: module for name, module in model.named_modules() if isinstance(module, LbaLinear | LbaConv2d)}
    if not layers:
        raise CheckFailed("expected a model with converted layers, got none")
    hooks = [module.register_forward_hook(partial(_check_layer, name)) for name, module in layers.items()]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()


def _check_layer(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, y, weight = (tensor.detach().numpy() for tensor in (inputs[0], output, module.weight))
    bias = None if module.bias is None else module.bias.detach().numpy()
    if isinstance(module, LbaLinear):
        check_matmul(y, x, weight.T, module.spec, name, bias)
        return
    attributes = {
        "strides": module.stride,
        "pads": [*module.padding, *module.padding],
        "dilations": module.dilation,
        "group": module.groups,
    }
    check_conv(y, x, weight, attributes, module.spec, name, bias)


def check_gradients(spec: AccumulatorSpec, estimator: str) -> None:
    """Compare the gradients of a small product, whose sums of gradients are exact in float32, with the reference."""
    rows, depth, columns = CHECKED_SHAPE
    rng = np.random.default_rng(0)
    grad, a, b = (_multiples(rng, shape) for shape in ((rows, columns), (rows, depth), (depth, columns)))
    operands = [torch.from_numpy(array).requires_grad_() for array in (a, b)]
    lba_matmul(*operands, spec=spec, estimator=estimator).backward(torch.from_numpy(grad))
    expected = gradients.matmul_gradients(grad, a, b, spec, estimator)
    for name, operand, gradient in zip("ab", operands, expected, strict=True):
        check_bits(operand.grad.numpy(), gradient, f"gradient of {name} by {estimator}, {spec}")


def _multiples(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values: np.ndarray = np.round(EXACT_STEPS * rng.standard_normal(shape)) / EXACT_STEPS
    return values.astype(np.float32)
