"""What emulation without a kernel looks like in PyTorch: a loop over k, fake quantization, gradients by autograd.

Each step works on the whole result [rows, columns]; quantization is a function whose gradient is that of the identity.
"""

from typing import Any

import torch
from torch import Tensor

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat

_FLOAT32_MANTISSA_BITS = 23


def matmul(a: Tensor, b: Tensor, spec: AccumulatorSpec) -> Tensor:
    """Product [rows, columns] of [rows, depth] and [depth, columns], in float32 with a mask after every operation.

    float32 rounds to nearest before the mask truncates, so that a few results are one unit in the last place off.
    """
    depth = a.shape[1]
    chunk = spec.chunk_size or depth
    total = a.new_zeros(len(a), b.shape[1])
    for begin in range(0, depth, chunk):
        partial_sum = torch.zeros_like(total)
        for k in range(begin, min(begin + chunk, depth)):
            product = quantize(a[:, k : k + 1] * b[k], spec.product_format, spec.underflow)
            partial_sum = quantize(partial_sum + product, spec.accumulator_format, spec.underflow)
        total = quantize(total + partial_sum, spec.accumulator_format, spec.underflow)
    return total


def quantize(values: Tensor, number_format: FloatFormat, underflow: bool) -> Tensor:
    """Values of the format; the gradient passes unchanged."""
    quantized: Tensor = _Quantize.apply(values, number_format, underflow)
    return quantized


class _Quantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, number_format: FloatFormat, underflow: bool) -> Tensor:
        dropped = (1 << (_FLOAT32_MANTISSA_BITS - number_format.mantissa_bits)) - 1
        clamped = values.clamp(-number_format.max_value, number_format.max_value)
        truncated = (clamped.view(torch.int32) & ~dropped).view(torch.float32)
        if underflow:
            truncated = torch.where(truncated.abs() < number_format.min_value, 0.0, truncated)
        return truncated

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient, None, None
