"""The operators lba_onnx::linear, ::matmul and ::conv: custom ops of torch.library that call the native library.

They take the spec and the estimator as text, so that graphs can hold them. Each has a fake kernel (shapes, for
torch.export and torch.compile), a backward formula (`gradients`) and a rule for autocast: float16 and
bfloat16 operands are taken to float32.
"""

import torch
from torch import Tensor

from lba_onnx import native
from lba_onnx.conv_sizes import output_sizes
from lba_onnx.torch.operators import gradients
from lba_onnx.torch.operators.operands import (
    array,
    as_batches,
    as_starts,
    check_call,
    conv_starts,
    geometry,
    open_key,
    read_spec,
)


def _product(a: Tensor, b: Tensor, initial: Tensor | None, spec: str, statistics: str) -> Tensor:
    left, right = as_batches(a, b)
    starts = as_starts(initial, _matmul_shape(a, b), (*left.shape[:2], right.shape[2]))
    y = native.matmul(left, right, read_spec(spec), torch.get_num_threads(), open_key(statistics), starts)
    return torch.from_numpy(y)


@torch.library.custom_op("lba_onnx::linear", mutates_args=())
def linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    bias_start: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> Tensor:
    """Return input · weightᵀ in the arithmetic of `spec`, plus the bias.

    Args:
        input: float32 [..., in_features].
        weight: float32 [out_features, in_features].
        bias: float32 [out_features], or None.
        bias_start: Whether sums start from the bias; else it is added in float32.
        spec: Text of an AccumulatorSpec.
        estimator: One of ESTIMATORS; the backward pass goes by it.
        statistics: A key "run/module", or "".

    Returns:
        float32 [..., out_features].
    """
    check_call(spec, estimator, input=input, weight=weight, bias=bias)
    _check_linear(input, weight, bias)
    initial = bias if bias_start else None
    y = _product(input.unsqueeze(0) if input.ndim == 1 else input, weight.t(), initial, spec, statistics)
    if bias is not None and not bias_start:
        y.add_(bias.detach())
    return y.view(*input.shape[:-1], weight.shape[0])


@linear.register_fake
def _(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    bias_start: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> Tensor:
    check_call(spec, estimator, input=input, weight=weight, bias=bias)
    _check_linear(input, weight, bias)
    return input.new_empty((*input.shape[:-1], weight.shape[0]))


def _check_linear(input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if input.ndim < 1 or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        raise ValueError(
            "expected input [..., in_features] and weight [out_features, in_features], "
            f"got shapes {tuple(input.shape)} and {tuple(weight.shape)}"
        )
    _check_bias(bias, weight)


def _check_bias(bias: Tensor | None, weight: Tensor) -> None:
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"expected a bias of shape {(weight.shape[0],)}, got {tuple(bias.shape)}")


@torch.library.custom_op("lba_onnx::matmul", mutates_args=())
def matmul(a: Tensor, b: Tensor, initial: Tensor | None, spec: str, estimator: str, statistics: str) -> Tensor:
    """Return the products of matrices in the arithmetic of `spec`; batch dimensions broadcast.

    Args:
        a: float32 [..., rows, depth].
        b: float32 [..., depth, columns].
        initial: float32 that broadcasts to the result: what each sum starts from; None for zero.
        spec: Text of an AccumulatorSpec.
        estimator: One of ESTIMATORS; the backward pass goes by it.
        statistics: A key "run/module", or "".

    Returns:
        float32 [..., rows, columns].
    """
    check_call(spec, estimator, a=a, b=b, initial=initial)
    shape = _matmul_shape(a, b)
    _check_initial(initial, shape)
    return _product(a, b, initial, spec, statistics).view(shape)


@matmul.register_fake
def _(a: Tensor, b: Tensor, initial: Tensor | None, spec: str, estimator: str, statistics: str) -> Tensor:
    check_call(spec, estimator, a=a, b=b, initial=initial)
    shape = _matmul_shape(a, b)
    _check_initial(initial, shape)
    return a.new_empty(shape)


def _check_initial(initial: Tensor | None, shape: tuple[int, ...]) -> None:
    if initial is None:
        return
    try:
        fits = tuple(torch.broadcast_shapes(initial.shape, shape)) == tuple(shape)
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(f"expected initial to broadcast to {tuple(shape)}, got shape {tuple(initial.shape)}")


def _matmul_shape(a: Tensor, b: Tensor) -> tuple[int, ...]:
    if min(a.ndim, b.ndim) < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(
            f"expected a [..., rows, depth] and b [..., depth, columns], got shapes {tuple(a.shape)}, {tuple(b.shape)}"
        )
    try:
        batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except RuntimeError:
        raise ValueError(
            f"expected batch dimensions that broadcast, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        ) from None
    return (*batch, a.shape[-2], b.shape[-1])


@torch.library.custom_op("lba_onnx::conv", mutates_args=())
def conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    pads_begin: list[int],
    pads_end: list[int],
    dilation: list[int],
    groups: int,
    bias_start: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> Tensor:
    """Return the convolution over one to three spatial axes in the arithmetic of `spec`, plus the bias.

    Args:
        input: float32 [batch, channels, *size].
        weight: float32 [out_channels, channels / groups, *kernel].
        bias: float32 [out_channels], or None.
        stride: One a spatial axis.
        pads_begin: Zeros before each spatial axis.
        pads_end: Zeros after it.
        dilation: One a spatial axis.
        groups: Groups of channels.
        bias_start: Whether sums start from the bias; else it is added in float32.
        spec: Text of an AccumulatorSpec.
        estimator: One of ESTIMATORS; the backward pass goes by it.
        statistics: A key "run/module", or "".

    Returns:
        float32 [batch, out_channels, *out_size].
    """
    check_call(spec, estimator, input=input, weight=weight, bias=bias)
    shape = _conv_shape(input, weight, bias, stride, pads_begin, pads_end, dilation, groups)
    addend = None if bias is None else array(bias.contiguous())
    y = native.conv(
        array(input.contiguous()),
        array(weight.contiguous()),
        read_spec(spec),
        geometry(stride, pads_begin, pads_end, dilation, groups),
        shape,
        torch.get_num_threads(),
        open_key(statistics),
        None if bias_start else addend,
        conv_starts(bias, shape) if bias_start else None,
    )
    return torch.from_numpy(y)


@conv.register_fake
def _(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    pads_begin: list[int],
    pads_end: list[int],
    dilation: list[int],
    groups: int,
    bias_start: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> Tensor:
    check_call(spec, estimator, input=input, weight=weight, bias=bias)
    return input.new_empty(_conv_shape(input, weight, bias, stride, pads_begin, pads_end, dilation, groups))


def _conv_shape(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    pads_begin: list[int],
    pads_end: list[int],
    dilation: list[int],
    groups: int,
) -> tuple[int, ...]:
    rank = input.ndim - 2
    _check_conv(input, weight, groups)
    _check_bias(bias, weight)
    for name, values, least in (
        ("stride", stride, 1),
        ("pads_begin", pads_begin, 0),
        ("pads_end", pads_end, 0),
        ("dilation", dilation, 1),
    ):
        if len(values) != rank or any(not least <= value < 2**31 for value in values):
            raise ValueError(f"expected {name} as {rank} integers from {least} to 2^31 - 1, got {list(values)}")
    sizes = output_sizes(input.shape[2:], weight.shape[2:], stride, dilation, pads_begin, pads_end)
    if sizes is None:
        raise ValueError(
            f"expected a kernel that fits the padded input, got shapes {tuple(input.shape)} and "
            f"{tuple(weight.shape)}, pads {list(pads_begin)} and {list(pads_end)}, dilation {list(dilation)}"
        )
    return (input.shape[0], weight.shape[0], *sizes)


def _check_conv(input: Tensor, weight: Tensor, groups: int) -> None:
    shapes = f"got shapes {tuple(input.shape)} and {tuple(weight.shape)}"
    if not 3 <= input.ndim <= 5 or weight.ndim != input.ndim:
        raise ValueError(f"expected input and weight with the same 1 to 3 spatial axes, {shapes}")
    if groups < 1 or weight.shape[0] % groups or input.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"expected weight [out_channels, channels / groups, ...] for groups {groups}, {shapes}")
    if min(weight.shape[2:]) < 1:
        raise ValueError(f"expected a kernel of at least 1 in each axis, {shapes}")


for _op, _formula in (
    (linear, gradients.LINEAR),
    (matmul, gradients.MATMUL),
    (conv, gradients.CONV),
):
    _op.register_autograd(_formula.backward, setup_context=_formula.save)
    _op.register_autocast("cpu", torch.float32)
