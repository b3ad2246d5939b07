"""Operators that multiply and accumulate, and that conversion leaves as they are: each with its reason."""

import re

from lba_onnx import operators

ALREADY_CONVERTED = "already converted"
"""Of a node that a conversion before has converted."""

_OTHER = "has no low-bit-accumulator twin; its products accumulate as onnxruntime's kernel does"

_STANDARD = {
    "DeformConv": "reads its input between its elements, at places that the data give; its products have no twin",
    **dict.fromkeys(("LinearAttention", "FlexAttention", "CausalConvWithState"), _OTHER),
}
_ROUTED = "multiplies by the weights of the experts that the data choose; its products have no twin"
_PACKED = "its weights are packed in a form that has no twin; store them as float32 or for MatMulNBits"
_SPARSE = "which of its products are computed follows from the data or a pattern; they have no twin"
_CACHED = "attention over a cache in a layout of its own; export MultiHeadAttention or GroupQueryAttention"
_FOR_DEVICES = "onnxruntime makes it for devices other than the CPU; convert the model before it is optimized for one"
_MICROSOFT = {
    **dict.fromkeys(("MoE", "QMoE"), _ROUTED),
    "MatMulFpQ4": _PACKED,
    **dict.fromkeys(("SparseAttention", "LongformerAttention", "SparseToDenseMatMul"), _SPARSE),
    **dict.fromkeys(
        ("DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "PagedAttention"), _CACHED
    ),
    **dict.fromkeys(("GemmFloat8", "GemmFastGelu"), _FOR_DEVICES),
    **dict.fromkeys(("PackedAttention", "PackedMultiHeadAttention"), _FOR_DEVICES),
    **dict.fromkeys(("QOrderedMatMul", "QOrderedAttention", "QOrderedLongformerAttention"), _FOR_DEVICES),
    "ConvTransposeWithDynamicPads": "its padding is computed from the model's inputs; its products have no twin",
    "WordConvEmbedding": _OTHER,
    "CDist": "sums squares of differences, and no products of two values",
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
    if domain == operators.MICROSOFT and op_type in _MICROSOFT:
        return _MICROSOFT[op_type]
    if domain.startswith("com.microsoft"):
        return f"operator of {domain}; convert the model before onnxruntime's optimizer fuses or quantizes it"
    return f"operator of the domain {domain}, whose arithmetic is its own"
