"""Scaled dot-product attention around two given products: masks, softmax and dropout are PyTorch's, in float32."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Product: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def dot_product_attention(
    scores_product: Product,
    context_product: Product,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return attention as torch.nn.functional.scaled_dot_product_attention defines it.

    The scores are (query·√scale) · (key·√scale)ᵀ, as PyTorch's plain kernel and the ONNX export form them. Where a mask
    lets a target see nothing, its context is zero.

    Args:
        scores_product: Multiplies [..., heads, targets, embedding] by [..., heads, embedding, sources].
        context_product: Multiplies [..., heads, targets, sources] by [..., heads, sources, value_embedding].
        query: float32 [..., heads, targets, embedding].
        key: float32 [..., heads, sources, embedding].
        value: float32 [..., heads, sources, value_embedding].
        attn_mask: bool (True takes part) or float32 (added to the scores), broadcast to [..., targets, sources].
        dropout_p: Probability with which a weight is dropped.
        is_causal: Whether target i sees sources 0 to i only; excludes a mask.
        scale: Factor of the scores; 1 / √embedding by default.
        enable_gqa: Whether heads of key and value are repeated to the heads of query.

    Returns:
        float32 [..., heads, targets, value_embedding].

    Raises:
        ValueError: Both a mask and `is_causal` are given.
    """
    if is_causal and attn_mask is not None:
        raise ValueError("expected an attn_mask or is_causal, got both")
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    root = math.sqrt(abs(factor))
    scores = scores_product(query * math.copysign(root, factor), key.transpose(-2, -1) * root)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    weights = _softmax(scores, attn_mask)
    if dropout_p > 0.0:
        weights = torch.dropout(weights, dropout_p, train=True)
    return context_product(weights, value)


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.softmax(scores, -1)
    masked = scores.masked_fill(mask.logical_not(), -math.inf) if mask.dtype == torch.bool else scores + mask
    return torch._safe_softmax(masked, -1)  # zeros where a row is -inf throughout
