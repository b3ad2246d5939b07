"""Products with a low bit-width accumulator as functions of tensors, shaped as those of torch.nn.functional.

The bits of the results are those of `lba_onnx.matmul` and `lba_onnx.conv`; gradients follow the estimator
(`lba_onnx.reference.gradients` defines them). Operands are float32 on the CPU; torch.autocast casts them to float32.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.conv_sizes import span
from lba_onnx.estimators import DEFAULT_ESTIMATOR
from lba_onnx.torch.operators import custom_ops
from lba_onnx.torch.operators.dot_product_attention import dot_product_attention

_Sizes = int | Sequence[int]


def lba_linear(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    bias_start: bool = False,
    spec: Accumulator | str,
    estimator: str = DEFAULT_ESTIMATOR,
    statistics: str = "",
) -> Tensor:
    """Return input · weightᵀ + bias, as torch.nn.functional.linear.

    Args:
        input: float32 [..., in_features].
        weight: float32 [out_features, in_features].
        bias: float32 [out_features], or None.
        bias_start: Whether sums start from the bias, rounded to the accumulator; else it is added in float32.
        spec: The arithmetic, or its text such as "M7E4b12/M7E4b10".
        estimator: How the backward pass treats what the accumulator loses, one of `estimators.ESTIMATORS`.
        statistics: A key "run/module" under which an open run collects, or "".

    Returns:
        float32 [..., out_features].

    Raises:
        TypeError: An operand is not float32, nor taken to it by torch.autocast, or `spec` is neither a spec nor text.
        ValueError: Shapes do not fit, an operand is not on the CPU, or `spec` or `estimator` is unknown.
    """
    return custom_ops.linear(input, weight, bias, bias_start, spec_text(spec), estimator, statistics)


def lba_matmul(
    a: Tensor,
    b: Tensor,
    *,
    initial: Tensor | None = None,
    spec: Accumulator | str,
    estimator: str = DEFAULT_ESTIMATOR,
    statistics: str = "",
) -> Tensor:
    """Return the product of matrices, as torch.matmul.

    Args:
        a: float32 [..., rows, depth], or [depth].
        b: float32 [..., depth, columns], or [depth]; batch dimensions broadcast.
        initial: float32 that broadcasts to the result: what each sum starts from, rounded to the accumulator; None for
            zero.
        spec: The arithmetic, or its text such as "M7E4b12/M7E4b10".
        estimator: How the backward pass treats what the accumulator loses, one of `estimators.ESTIMATORS`.
        statistics: A key "run/module" under which an open run collects, or "".

    Returns:
        float32 [..., rows, columns], without the dimension that a 1-D operand lacks.

    Raises:
        TypeError: An operand is not float32, nor taken to it by torch.autocast, or `spec` is neither a spec nor text.
        ValueError: Shapes do not fit, an operand is not on the CPU, or `spec` or `estimator` is unknown.
    """
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(
            f"expected operands of at least one dimension, got shapes {tuple(a.shape)} and {tuple(b.shape)}"
        )
    left = a.unsqueeze(0) if a.ndim == 1 else a
    right = b.unsqueeze(1) if b.ndim == 1 else b
    if initial is not None and initial.ndim:
        initial = initial.unsqueeze(-2) if a.ndim == 1 else initial
        initial = initial.unsqueeze(-1) if b.ndim == 1 else initial
    y = custom_ops.matmul(left, right, initial, spec_text(spec), estimator, statistics)
    if b.ndim == 1:
        y = y.squeeze(-1)
        return y.squeeze(-1) if a.ndim == 1 else y
    return y.squeeze(-2) if a.ndim == 1 else y


def lba_conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sizes = 1,
    padding: _Sizes | str = 0,
    dilation: _Sizes = 1,
    groups: int = 1,
    *,
    bias_start: bool = False,
    spec: Accumulator | str,
    estimator: str = DEFAULT_ESTIMATOR,
    statistics: str = "",
) -> Tensor:
    """Return the convolution over one axis, as torch.nn.functional.conv1d; see `lba_conv2d`."""
    window = _window(1, weight, stride, padding, dilation)
    return _conv(input, weight, bias, window, groups, bias_start, spec_text(spec), estimator, statistics)


def lba_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sizes = 1,
    padding: _Sizes | str = 0,
    dilation: _Sizes = 1,
    groups: int = 1,
    *,
    bias_start: bool = False,
    spec: Accumulator | str,
    estimator: str = DEFAULT_ESTIMATOR,
    statistics: str = "",
) -> Tensor:
    """Return the convolution over two axes, as torch.nn.functional.conv2d.

    Args:
        input: float32 [batch, channels, height, width], or without the batch.
        weight: float32 [out_channels, channels / groups, height, width].
        bias: float32 [out_channels], or None.
        stride: One for all axes, or one each.
        padding: Zeros on both sides, one for all axes or one each; or "valid", or "same".
        dilation: One for all axes, or one each.
        groups: Groups of channels.
        bias_start: Whether sums start from the bias, rounded to the accumulator; else it is added in float32.
        spec: The arithmetic, or its text such as "M7E4b12/M7E4b10".
        estimator: How the backward pass treats what the accumulator loses, one of `estimators.ESTIMATORS`.
        statistics: A key "run/module" under which an open run collects, or "".

    Returns:
        float32 [batch, out_channels, out_height, out_width], or without the batch.

    Raises:
        TypeError: An operand is not float32, nor taken to it by torch.autocast, or `spec` is neither a spec nor text.
        ValueError: Shapes or settings do not fit, an operand is not on the CPU, or `spec` or `estimator` is unknown.
    """
    window = _window(2, weight, stride, padding, dilation)
    return _conv(input, weight, bias, window, groups, bias_start, spec_text(spec), estimator, statistics)


def lba_conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Sizes = 1,
    padding: _Sizes | str = 0,
    dilation: _Sizes = 1,
    groups: int = 1,
    *,
    bias_start: bool = False,
    spec: Accumulator | str,
    estimator: str = DEFAULT_ESTIMATOR,
    statistics: str = "",
) -> Tensor:
    """Return the convolution over three axes, as torch.nn.functional.conv3d; see `lba_conv2d`."""
    window = _window(3, weight, stride, padding, dilation)
    return _conv(input, weight, bias, window, groups, bias_start, spec_text(spec), estimator, statistics)


def lba_scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    spec: Accumulator | str,
    context_spec: Accumulator | str | None = None,
    estimator: str = DEFAULT_ESTIMATOR,
    context_estimator: str | None = None,
    statistics: str = "",
    context_statistics: str = "",
) -> Tensor:
    """Return attention, as torch.nn.functional.scaled_dot_product_attention, with both products in low-width sums.

    The scores are (query·√scale) · (key·√scale)ᵀ, as PyTorch's plain kernel and the ONNX export form them; mask,
    softmax and dropout are float32; the context is weights · value.

    Args:
        query: float32 [..., heads, targets, embedding].
        key: float32 [..., heads, sources, embedding].
        value: float32 [..., heads, sources, value_embedding].
        attn_mask: bool (True takes part) or float32 (added to the scores), broadcast to [..., targets, sources].
        dropout_p: Probability with which a weight is dropped.
        is_causal: Whether target i sees sources 0 to i only; excludes a mask.
        scale: Factor of the scores; 1 / √embedding by default.
        enable_gqa: Whether heads of key and value are repeated to the heads of query.
        spec: The arithmetic of the scores, or its text.
        context_spec: That of the context; None for the same.
        estimator: Estimator of the scores.
        context_estimator: Estimator of the context; None for the same.
        statistics: A key "run/module" for the scores, or "".
        context_statistics: The same for the context.

    Returns:
        float32 [..., heads, targets, value_embedding].

    Raises:
        TypeError: An operand is not float32, nor taken to it by torch.autocast, or a spec is neither a spec nor text.
        ValueError: Shapes do not fit, an operand is not on the CPU, both a mask and `is_causal` are given, or a spec or
            an estimator is unknown.
    """
    scores_product = functools.partial(lba_matmul, spec=spec, estimator=estimator, statistics=statistics)
    context_product = functools.partial(
        lba_matmul,
        spec=spec if context_spec is None else context_spec,
        estimator=estimator if context_estimator is None else context_estimator,
        statistics=context_statistics,
    )
    return dot_product_attention(
        scores_product, context_product, query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa
    )


@torch.compiler.assume_constant_result
def spec_text(spec: Accumulator | str) -> str:
    """Return the text of a spec, which the operators take.

    Raises:
        TypeError: `spec` is neither a spec nor text.
    """
    return spec if isinstance(spec, str) else str(as_spec(spec))


def _window(
    axes: int, weight: Tensor, stride: _Sizes, padding: _Sizes | str, dilation: _Sizes
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return stride, pads before, pads after and dilation, one integer a spatial axis each."""
    strides, dilations = _per_axis("stride", stride, axes), _per_axis("dilation", dilation, axes)
    if padding == "valid":
        padding = 0
    if not isinstance(padding, str):
        pads = _per_axis("padding", padding, axes)
        return strides, pads, pads, dilations
    if padding != "same":
        raise ValueError(f"expected padding as integers, 'valid' or 'same', got {padding!r}")
    if max(strides) > 1:
        raise ValueError(f"expected a stride of 1 with padding='same', got {strides}")
    more = [span(size, step) - 1 for size, step in zip(weight.shape[2:], dilations, strict=True)]
    return strides, [pads // 2 for pads in more], [pads - pads // 2 for pads in more], dilations


def _per_axis(name: str, values: _Sizes, axes: int) -> list[int]:
    if isinstance(values, int):
        return [values] * axes
    listed = list(values)
    if len(listed) == 1:
        return listed * axes
    if len(listed) != axes:
        raise ValueError(f"expected {name} as one integer or {axes}, got {listed}")
    return listed


def _conv(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    window: tuple[list[int], list[int], list[int], list[int]],
    groups: int,
    bias_start: bool,
    spec: str,
    estimator: str,
    statistics: str,
) -> Tensor:
    axes = len(window[0])
    if weight.ndim != axes + 2 or input.ndim not in (axes + 1, axes + 2):
        shapes = f"{tuple(input.shape)} and {tuple(weight.shape)}"
        raise ValueError(f"expected input and weight with {axes} spatial axes, got shapes {shapes}")
    settings = (*window, groups, bias_start, spec, estimator, statistics)
    if input.ndim == axes + 1:
        return custom_ops.conv(input.unsqueeze(0), weight, bias, *settings).squeeze(0)
    return custom_ops.conv(input, weight, bias, *settings)
