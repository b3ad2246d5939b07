"""Backward formulas of the operators.

Where the estimator gates nothing they are plain float32 PyTorch. Those of the others are operators too,
lba_onnx::matmul_gradients and ::conv_gradients, which call the native library: it recomputes the forward pass and
leaves gated products out. How many it gated goes to `gating`.
"""

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lba_onnx import native
from lba_onnx.estimators import DEFAULT_ESTIMATOR, gating_of
from lba_onnx.torch.operators.gating import GatedProducts, add_gated, is_gating_open
from lba_onnx.torch.operators.operands import array, as_batches, as_starts, conv_starts, geometry, read_spec

_Floats = npt.NDArray[np.float32]


@torch.library.custom_op("lba_onnx::matmul_gradients", mutates_args=())
def matmul_gradients(
    grad: Tensor,
    a: Tensor,
    b: Tensor,
    initial: Tensor | None,
    wants_a: bool,
    wants_b: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of lba_onnx::matmul by a gating estimator.

    Args:
        grad: float32 [..., rows, columns], of the product.
        a: float32 [..., rows, depth].
        b: float32 [..., depth, columns].
        initial: float32 that broadcasts to the product: what each sum starts from; None for zero.
        wants_a: Whether the gradient of a is asked for.
        wants_b: Whether that of b is.
        spec: Text of an AccumulatorSpec.
        estimator: One that gates products.
        statistics: A key "run/module" under which gated products are counted, or "".

    Returns:
        The gradient of a, of its shape, that of b with the last two dimensions swapped, and that of what sums start
        from; a tensor of no elements for one that was not asked for, or is not there.
    """
    left, right = as_batches(a, b)
    shape = (left.shape[0], left.shape[1], right.shape[2])
    upstream = array(grad.contiguous()).reshape(shape)
    grad_a, grad_b, grad_initial, gated = native.matmul_gradients(
        upstream,
        left,
        right,
        read_spec(spec),
        _code(estimator),
        torch.get_num_threads(),
        wants_a=wants_a,
        wants_b=wants_b,
        initial=as_starts(initial, grad.shape, shape),
    )
    _count(statistics, gated, upstream.size * left.shape[2], upstream, (grad_b, grad_a, grad_initial))
    batch = grad.shape[:-2]
    shared = left.shape[0] == 1
    return (
        grad.new_empty(0) if grad_a is None else _to_shape(torch.from_numpy(grad_a), batch, a.shape),
        grad.new_empty(0)
        if grad_b is None
        else _to_shape(torch.from_numpy(grad_b), (1,) if shared else batch, b.mT.shape),
        grad.new_empty(0)
        if grad_initial is None or initial is None
        else torch.from_numpy(grad_initial).reshape(grad.shape).sum_to_size(initial.shape).clone(),
    )


def _code(estimator: str) -> int:
    """Return an estimator's number in the native library."""
    gating = gating_of(estimator)
    if gating is None:
        raise ValueError(f"expected an estimator that gates products, got {estimator!r}")
    return gating.code


def _count(statistics: str, gated: int, products: int, upstream: _Floats, gradients: Sequence[_Floats | None]) -> None:
    """Count a backward pass by what came to it and the gradient it gives: the first one that was asked for."""
    if is_gating_open(statistics):
        gradient = next((gradient for gradient in gradients if gradient is not None), None)
        passes = gradient is not None and bool(gradient.any())
        is_blocked = gated > 0 and not passes and bool(upstream.any())
        add_gated(statistics, GatedProducts(gated, products, int(passes), int(is_blocked)))


def _to_shape(gradient: Tensor, batch: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Sum a gradient [product of batch, rows, columns] over the batch dimensions that `shape` was broadcast to."""
    full = gradient.reshape(*batch, *shape[-2:])
    return full.sum_to_size(*shape) if math.prod(full.shape) != math.prod(shape) else full.reshape(shape)


@matmul_gradients.register_fake
def _(
    grad: Tensor, a: Tensor, b: Tensor, initial: Tensor | None, wants_a: bool, wants_b: bool, *settings: object
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        grad.new_empty(a.shape if wants_a else (0,)),
        grad.new_empty(b.mT.shape if wants_b else (0,)),
        grad.new_empty((0,) if initial is None else initial.shape),
    )


@torch.library.custom_op("lba_onnx::conv_gradients", mutates_args=())
def conv_gradients(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    start: Tensor | None,
    wants_input: bool,
    wants_weight: bool,
    stride: list[int],
    pads_begin: list[int],
    pads_end: list[int],
    dilation: list[int],
    groups: int,
    spec: str,
    estimator: str,
    statistics: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of lba_onnx::conv, without that of a bias added behind the sums, by a gating estimator.

    Args:
        grad: float32 [batch, out_channels, *out_size], of the convolution.
        input: float32 [batch, channels, *size].
        weight: float32 [out_channels, channels / groups, *kernel].
        start: float32 [out_channels], a bias that sums start from; None where they start from zero.
        wants_input: Whether the gradient of the input is asked for.
        wants_weight: Whether that of the weight is.
        stride: As lba_onnx::conv takes it, like the rest.
        pads_begin: Zeros before each spatial axis.
        pads_end: Zeros after it.
        dilation: One a spatial axis.
        groups: Groups of channels.
        spec: Text of an AccumulatorSpec.
        estimator: One that gates products.
        statistics: A key "run/module" under which gated products are counted, or "".

    Returns:
        The gradients of input, weight and start; a tensor of no elements for one that was not asked for, or is not
        there.
    """
    upstream = array(grad.contiguous())
    grad_input, grad_weight, grad_initial, gated = native.conv_gradients(
        upstream,
        array(input.contiguous()),
        array(weight.contiguous()),
        read_spec(spec),
        _code(estimator),
        geometry(stride, pads_begin, pads_end, dilation, groups),
        torch.get_num_threads(),
        wants_x=wants_input,
        wants_w=wants_weight,
        initial=conv_starts(start, grad.shape),
    )
    products = upstream.size * math.prod(weight.shape[1:])
    _count(statistics, gated, products, upstream, (grad_weight, grad_input, grad_initial))
    return (
        grad.new_empty(0) if grad_input is None else torch.from_numpy(grad_input),
        grad.new_empty(0) if grad_weight is None else torch.from_numpy(grad_weight),
        grad.new_empty(0) if grad_initial is None else _of_channels(torch.from_numpy(grad_initial)),
    )


def _of_channels(grad: Tensor) -> Tensor:
    """Sum [batch, out_channels, *out_size] to [out_channels]."""
    return grad.transpose(0, 1).flatten(1).sum(1)


@conv_gradients.register_fake
def _(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    start: Tensor | None,
    wants_input: bool,
    wants_weight: bool,
    *settings: object,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        grad.new_empty(input.shape if wants_input else (0,)),
        grad.new_empty(weight.shape if wants_weight else (0,)),
        grad.new_empty((0,) if start is None else start.shape),
    )


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:
    raise RuntimeError(
        f"expected one derivative: the gating estimators define no second; use estimator={DEFAULT_ESTIMATOR!r} for it"
    )


for _op in (matmul_gradients, conv_gradients):
    _op.register_autograd(_refuse_second_derivative)


@dataclass(frozen=True)
class Formula:
    """How an operator is differentiated, as `register_autograd` takes it.

    Attributes:
        save: Keeps what `backward` needs.
        backward: Returns the gradients of the operator's arguments.
    """

    save: Callable[..., None]
    backward: Callable[..., tuple[Tensor | None, ...]]


def _save_operands(ctx: Any, first: Tensor, second: Tensor, start: Tensor | None, estimator: str) -> None:
    """Keep what a gradient asks for: without gating, each operand for the other's, and nothing for a start's."""
    wants_first, wants_second, wants_third = ctx.needs_input_grad[:3]
    gates = gating_of(estimator) is not None and (wants_first or wants_second or (wants_third and start is not None))
    ctx.save_for_backward(
        first if wants_second or gates else None, second if wants_first or gates else None, start if gates else None
    )


def _float32_arithmetic() -> contextlib.AbstractContextManager[Any]:
    """Keep autocast, which may be on during a backward pass, from narrowing a gradient."""
    if torch.is_autocast_enabled("cpu"):
        disabled: contextlib.AbstractContextManager[Any] = torch.autocast("cpu", enabled=False)
        return disabled
    return contextlib.nullcontext()


def _save_linear(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, weight, bias, bias_start, *ctx.settings = inputs
    _save_operands(ctx, input, weight, bias if bias_start else None, estimator=ctx.settings[1])


def _linear_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    input, weight, start = ctx.saved_tensors
    wants_input, wants_weight, wants_bias = ctx.needs_input_grad[:3]
    with _float32_arithmetic():
        rows = _as_rows(grad)
        grad_input, grad_weight, grad_bias = None, None, None
        if gating_of(ctx.settings[1]) is None:
            grad_input = grad @ weight if wants_input else None
            grad_weight = rows.t() @ _as_rows(input) if wants_weight else None
        elif input is not None:
            gradients = matmul_gradients(
                rows, _as_rows(input), weight.t(), start, wants_input, wants_weight, *ctx.settings
            )
            grad_input = gradients[0].view(input.shape) if wants_input else None
            grad_weight = gradients[1] if wants_weight else None
            grad_bias = gradients[2] if wants_bias and start is not None else None
        if wants_bias and grad_bias is None:
            grad_bias = rows.sum(0)
    return grad_input, grad_weight, grad_bias, None, None, None, None


def _as_rows(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0) if tensor.ndim == 1 else tensor.flatten(0, -2)


def _save_matmul(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    a, b, initial, *ctx.settings = inputs
    ctx.shapes = (a.shape, b.shape, None if initial is None else initial.shape)
    _save_operands(ctx, a, b, initial, estimator=ctx.settings[1])


def _matmul_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    a, b, initial = ctx.saved_tensors
    wants_a, wants_b, wants_initial = ctx.needs_input_grad[:3]
    with _float32_arithmetic():
        if gating_of(ctx.settings[1]) is not None:
            found = matmul_gradients(grad, a, b, initial, wants_a, wants_b, *ctx.settings)
            grad_a, grad_b = found[0] if wants_a else None, found[1].mT if wants_b else None
            return grad_a, grad_b, found[2] if wants_initial else None, None, None, None
        a_shape, b_shape, initial_shape = ctx.shapes
        grad_a = (grad @ b.mT).sum_to_size(a_shape) if wants_a else None
        if wants_b and len(b_shape) == 2:
            grad_b = _as_rows(a).t() @ _as_rows(grad)
        else:
            grad_b = (a.mT @ grad).sum_to_size(b_shape) if wants_b else None
        grad_initial = grad.sum_to_size(initial_shape) if wants_initial else None
    return grad_a, grad_b, grad_initial, None, None, None


def _save_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, weight, bias, *geometry, bias_start, spec, estimator, statistics = inputs
    ctx.settings = (*geometry, spec, estimator, statistics)
    ctx.shapes = (input.shape, weight.shape)
    _save_operands(ctx, input, weight, bias if bias_start else None, estimator=estimator)


def _conv_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    input, weight, start = ctx.saved_tensors
    wants_input, wants_weight, wants_bias = ctx.needs_input_grad[:3]
    grad_input, grad_weight, grad_bias = None, None, None
    with _float32_arithmetic():
        if gating_of(ctx.settings[-2]) is None:
            if wants_input or wants_weight:
                grad_input, grad_weight = _conv_identity(ctx, grad, input, weight)
        elif input is not None:
            gradients = conv_gradients(grad, input, weight, start, wants_input, wants_weight, *ctx.settings)
            grad_input = gradients[0] if wants_input else None
            grad_weight = gradients[1] if wants_weight else None
            grad_bias = gradients[2] if wants_bias and start is not None else None
        if wants_bias and grad_bias is None:
            grad_bias = _of_channels(grad)
    return grad_input, grad_weight, grad_bias, *(None for _ in ctx.settings), None


def _conv_identity(
    ctx: Any, grad: Tensor, input: Tensor | None, weight: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of input and weight in float32."""
    stride, pads_begin, pads_end, dilation, groups = ctx.settings[:5]
    # An operand that was not kept counts by its shape only.
    input, weight = (
        grad.new_empty(1).expand(shape) if operand is None else operand
        for operand, shape in zip((input, weight), ctx.shapes, strict=True)
    )
    pads = list(zip(pads_begin, pads_end, strict=True))
    even = [min(pad) for pad in pads]
    # What one side has more than the other, the last axis first, as constant_pad_nd takes it.
    more = [pad - common for both, common in zip(reversed(pads), reversed(even), strict=True) for pad in both]
    if any(more):
        input = torch.constant_pad_nd(input, more)
    wanted = [*ctx.needs_input_grad[:2], False]
    grad_input, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad, input, weight, None, stride, even, dilation, False, [0] * len(stride), groups, wanted
    )
    if any(more) and wanted[0]:
        grad_input = torch.constant_pad_nd(grad_input, [-pad for pad in more])
    return grad_input, grad_weight


LINEAR = Formula(_save_linear, _linear_backward)
MATMUL = Formula(_save_matmul, _matmul_backward)
CONV = Formula(_save_conv, _conv_backward)
