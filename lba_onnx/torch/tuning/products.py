"""Products of matrices, convolutions and pools: in float32, or as an accumulator gives them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lba_onnx.estimators import DEFAULT_ESTIMATOR
from lba_onnx.operators import BIAS_START
from lba_onnx.ops.windows import conv_pads
from lba_onnx.torch.operators import custom_ops
from lba_onnx.torch.operators.functional import lba_matmul
from lba_onnx.torch.tuning.operation import Call, operation

_CONVS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


@dataclass(frozen=True)
class Arithmetic:
    """How sums of products are taken.

    Attributes:
        spec: Text of the accumulator; None for float32.
        estimator: How gradients pass it.
    """

    spec: str | None = None
    estimator: str = DEFAULT_ESTIMATOR

    def matmul(self, a: Tensor, b: Tensor, initial: Tensor | None = None) -> Tensor:
        """Return the product of matrices, or of stacks of them, whose sums start from values, if any are given."""
        if self.spec is None:
            return _plus(a @ b, initial)
        return lba_matmul(a, b, initial=initial, spec=self.spec, estimator=self.estimator)

    def conv(self, call: Call, x: Tensor, w: Tensor, start: Tensor | None = None) -> Tensor:
        """Return the convolution that a node says; sums start from a value for each channel, if any are given."""
        axes, attributes = w.ndim - 2, call.attributes
        strides = list(attributes.get("strides", [1] * axes))
        dilations = list(attributes.get("dilations", [1] * axes))
        group, pads = attributes.get("group", 1), _pads(call, x, list(w.shape[2:]))
        if self.spec is None:
            return _CONVS[axes](_padded(x, pads, 0.0), w, start, strides, 0, dilations, group)
        begins, ends = pads[:axes], pads[axes:]
        window = (strides, begins, ends, dilations, group)
        return custom_ops.conv(x, w, start, *window, True, self.spec, self.estimator, "")


FLOAT32 = Arithmetic()


def product(
    call: Call,
    arithmetic: Arithmetic,
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:
    """Return what MatMul, Gemm, Conv or a twin of theirs gives.

    Args:
        call: The node.
        arithmetic: How it sums.
        a: Its first operand.
        b: Its second operand.
        c: Its bias, if any.
        offset: What its sums are raised by; where they start from a bias, what it is raised by.
    """
    kind, attributes = call.op_type.removeprefix("Lba"), call.attributes
    start = c if attributes.get(BIAS_START.name) else None
    if kind == "MatMul":
        return _plus(arithmetic.matmul(a, b), offset)
    if kind == "Conv":
        if start is not None:
            return arithmetic.conv(call, a, b, _plus(start, None if offset is None else offset.flatten()))
        y = _plus(arithmetic.conv(call, a, b), offset)
        return _plus(y, None if c is None else c.reshape(-1, *[1] * (y.ndim - 2)))
    a, b = a.t() if attributes.get("transA") else a, b.t() if attributes.get("transB") else b
    beta = attributes.get("beta", 1.0)
    addend = None if c is None or beta == 0 else c * beta
    if start is not None:
        return arithmetic.matmul(a, b, offset if addend is None else _plus(addend, offset))
    return _plus(_plus(arithmetic.matmul(a, b), offset) * attributes.get("alpha", 1.0), addend)


def _plus(values: Tensor, addend: Tensor | None) -> Tensor:
    return values if addend is None else values + addend


@operation("MatMul", "Gemm", "Conv")
def _float32_product(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    return product(call, FLOAT32, a, b, c)


@operation("GlobalAveragePool")
def _global_average_pool(call: Call, x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


@operation("GlobalMaxPool")
def _global_max_pool(call: Call, x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.ndim)), keepdim=True)


@operation("MaxPool")
def _max_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, ceil = _window(call)
    dilations = call.attributes.get("dilations", 1)
    x = _padded(x, _pads(call, x, kernel), -torch.inf)
    return _MAX_POOLS[len(kernel)](x, kernel, strides, 0, dilations, ceil)


@operation("AveragePool")
def _average_pool(call: Call, x: Tensor) -> Tensor:
    kernel, strides, ceil = _window(call)
    pads, pool = _pads(call, x, kernel), _AVERAGE_POOLS[len(kernel)]
    mean = pool(_padded(x, pads, 0.0), kernel, strides, 0, ceil)
    if call.attributes.get("count_include_pad", 0) or not any(pads):
        return mean
    return mean / pool(_padded(torch.ones_like(x[:1, :1]), pads, 0.0), kernel, strides, 0, ceil)


def _window(call: Call) -> tuple[list[int], list[int], bool]:
    kernel = list(call.attributes["kernel_shape"])
    return kernel, list(call.attributes.get("strides", [1] * len(kernel))), bool(call.attributes.get("ceil_mode", 0))


def _pads(call: Call, x: Tensor, kernel: list[int]) -> list[int]:
    attributes = dict(call.attributes)
    attributes["auto_pad"] = attributes.get("auto_pad", b"NOTSET").decode()
    return list(conv_pads(attributes, x.shape[2:], kernel))


def _padded(x: Tensor, pads: list[int], value: float) -> Tensor:
    """Return values with some before and behind each spatial axis."""
    axes = len(pads) // 2
    sides = [side for axis in range(axes - 1, -1, -1) for side in (pads[axis], pads[axes + axis])]
    return functional.pad(x, sides, value=value) if any(pads) else x
