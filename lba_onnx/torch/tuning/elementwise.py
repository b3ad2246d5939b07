"""Operations of one value at a time, and those that normalize over axes."""

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from lba_onnx.torch.tuning.operation import OPERATIONS, Call, operation

_UNARY = {
    "Relu": torch.relu,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Neg": torch.neg,
    "Abs": torch.abs,
    "Erf": torch.erf,
    "Reciprocal": torch.reciprocal,
    "Softplus": functional.softplus,
    "HardSwish": functional.hardswish,
    "Mish": functional.mish,
    "Sin": torch.sin,
    "Cos": torch.cos,
}
_BINARY = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Pow": torch.pow, "Equal": torch.eq}
OPERATIONS.update({name: lambda call, x, f=function: f(x) for name, function in _UNARY.items()})
OPERATIONS.update({name: lambda call, a, b, f=function: f(a, b) for name, function in _BINARY.items()})


@operation("Identity", "Dropout")
def _identity(call: Call, x: Tensor, *_: Tensor | None) -> Tensor:
    return x


@operation("Div")
def _div(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@operation("Min", "Max")
def _extreme(call: Call, *values: Tensor) -> Tensor:
    return reduce(torch.minimum if call.op_type == "Min" else torch.maximum, values)


@operation("Sum")
def _sum(call: Call, *values: Tensor) -> Tensor:
    return reduce(torch.add, values)


@operation("Where")
def _where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operation("Clip")
def _clip(call: Call, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = call.attributes.get("min") if low is None else low.item()
    most = call.attributes.get("max") if high is None else high.item()
    return x if least is None and most is None else torch.clamp(x, least, most)


@operation("LeakyRelu")
def _leaky_relu(call: Call, x: Tensor) -> Tensor:
    return functional.leaky_relu(x, call.attributes.get("alpha", 0.01))


@operation("PRelu")
def _prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@operation("Elu")
def _elu(call: Call, x: Tensor) -> Tensor:
    return functional.elu(x, call.attributes.get("alpha", 1.0))


@operation("HardSigmoid")
def _hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    return torch.clamp(call.attributes.get("alpha", 0.2) * x + call.attributes.get("beta", 0.5), 0, 1)


@operation("Gelu")
def _gelu(call: Call, x: Tensor) -> Tensor:
    return functional.gelu(x, approximate=call.attributes.get("approximate", b"none").decode())


@operation("Softmax", "LogSoftmax")
def _softmax(call: Call, x: Tensor) -> Tensor:
    function = torch.softmax if call.op_type == "Softmax" else torch.log_softmax
    if call.opset >= 13:
        return function(x, call.attributes.get("axis", -1))
    axis = call.attributes.get("axis", 1) % max(x.ndim, 1)
    return function(x.flatten(axis), -1).reshape(x.shape)  # all axes from there on are one


@operation("BatchNormalization")
def _batch_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, scale, bias, eps=call.attributes.get("epsilon", 1e-5))


@operation("InstanceNormalization")
def _instance_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return functional.instance_norm(x, weight=scale, bias=bias, eps=call.attributes.get("epsilon", 1e-5))


@operation("LayerNormalization")
def _layer_normalization(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    axis = call.attributes.get("axis", -1) % x.ndim
    normal = functional.layer_norm(x, x.shape[axis:], eps=call.attributes.get("epsilon", 1e-5)) * scale
    return normal if bias is None else normal + bias


@operation("RMSNormalization", "SimplifiedLayerNormalization")
def _rms_normalization(call: Call, x: Tensor, scale: Tensor) -> Tensor:
    axis = call.attributes.get("axis", -1) % x.ndim
    return functional.rms_norm(x, x.shape[axis:], eps=call.attributes.get("epsilon", 1e-5)) * scale


@operation("ReduceMean", "ReduceSum")
def _reduce(call: Call, x: Tensor, given: Tensor | None = None) -> Tensor:
    axes = call.axes(given)
    if not axes and call.attributes.get("noop_with_empty_axes", 0):
        return x
    function = torch.mean if call.op_type == "ReduceMean" else torch.sum
    return function(x, dim=axes or list(range(x.ndim)), keepdim=bool(call.attributes.get("keepdims", 1)))
