"""Operators that multiply and accumulate, and that conversion leaves as they are: each with its reason."""

import re

from lba_onnx import operators

ALREADY_CONVERTED = "already converted"
"""Of a node that a conversion before has converted."""

_OTHER = "has no low-bit-accumulator twin; its products accumulate as onnxruntime's kernel does"

_STANDARD = {
    "DeformConv": _OTHER,
    **dict.fromkeys(("Attention", "LinearAttention", "FlexAttention", "CausalConvWithState"), _OTHER),
}
_DEFAULT_DOMAINS = ("", "ai.onnx", "ai.onnx.preview")
_ACCUMULATING_NAMES = re.compile(r"MatMul|Gemm|Conv(?!er)|Attention|MoE|LSTM|GRU|RNN|Einsum|CDist|^Linear|SVM")


def reason_to_leave(domain: str, op_type: str) -> str | None:
    """Return why an operator stays as it is, or None for one that does not multiply and accumulate.

    Operators of other domains are judged by their names: onnxruntime's fused operators, for one, say MatMul, Conv or
    Attention.
    """
    if domain == operators.DOMAIN:
        return ALREADY_CONVERTED
    if operators.is_lowered(domain, op_type):
        return "is taken apart when its model is converted"
    if domain in _DEFAULT_DOMAINS:
        return _STANDARD.get(op_type)
    if not _ACCUMULATING_NAMES.search(op_type):
        return None
    if domain.startswith("com.microsoft"):
        return f"operator of {domain}; convert the model before onnxruntime's optimizer fuses or quantizes it"
    return f"operator of the domain {domain}, whose arithmetic is its own"
