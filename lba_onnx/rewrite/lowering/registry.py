"""The operators that are taken apart, and the rule of each."""

from collections.abc import Collection, Iterable, Mapping

import onnx

from lba_onnx.operators import MICROSOFT, is_lowered
from lba_onnx.rewrite.lowering import (
    average_pool,
    block_quantized,
    blocked_weights,
    conv_transpose,
    einsum,
    four_bit_floats,
    fused_products,
    group_query_attention,
    multi_head_attention,
    normalizations,
    projected_attention,
    recurrent,
    reductions,
    standard_attention,
)
from lba_onnx.rewrite.lowering.rule import Rule

RULES: Mapping[tuple[str, str], Rule] = {
    ("", "LSTM"): Rule(recurrent.lstm, first_opset=9, required_inputs=3),
    (MICROSOFT, "DynamicQuantizeLSTM"): Rule(recurrent.dynamic_quantize_lstm, first_opset=11, required_inputs=3),
    ("", "GRU"): Rule(recurrent.gru, first_opset=9, required_inputs=3),
    ("", "RNN"): Rule(recurrent.rnn, first_opset=9, required_inputs=3),
    ("", "ConvTranspose"): Rule(conv_transpose.conv_transpose, first_opset=7, required_inputs=2),
    ("", "Einsum"): Rule(einsum.einsum, first_opset=12, required_inputs=1),
    (MICROSOFT, "Attention"): Rule(projected_attention.attention, first_opset=13, required_inputs=2),
    (MICROSOFT, "QAttention"): Rule(projected_attention.quantized_attention, first_opset=13, required_inputs=5),
    (MICROSOFT, "FusedMatMul"): Rule(fused_products.fused_matmul, first_opset=7, required_inputs=2),
    (MICROSOFT, "TransposeMatMul"): Rule(fused_products.fused_matmul, first_opset=7, required_inputs=2),
    (MICROSOFT, "FusedGemm"): Rule(fused_products.fused_gemm, first_opset=7, required_inputs=2),
    (MICROSOFT, "FusedConv"): Rule(fused_products.fused_conv, first_opset=7, required_inputs=2),
    (MICROSOFT, "NhwcConv"): Rule(fused_products.nhwc_conv, first_opset=7, required_inputs=2),
    (MICROSOFT, "NhwcFusedConv"): Rule(fused_products.nhwc_conv, first_opset=7, required_inputs=2),
    ("", "Attention"): Rule(standard_attention.attention, first_opset=23, required_inputs=3),
    (MICROSOFT, "MultiHeadAttention"): Rule(multi_head_attention.multi_head_attention, first_opset=13),
    (MICROSOFT, "GroupQueryAttention"): Rule(group_query_attention.group_query_attention, first_opset=13),
    (MICROSOFT, "MatMulNBits"): Rule(block_quantized.matmul_nbits, first_opset=7, required_inputs=3),
    (MICROSOFT, "MatMulBnb4"): Rule(four_bit_floats.matmul_bnb4, first_opset=13, required_inputs=3),
    ("", "ReduceSum"): Rule(reductions.reduce_sum, first_opset=7),
    ("", "ReduceMean"): Rule(reductions.reduce_mean, first_opset=7),
    ("", "GlobalAveragePool"): Rule(reductions.global_average_pool, first_opset=7),
    ("", "AveragePool"): Rule(average_pool.average_pool, first_opset=7),
    ("", "Softmax"): Rule(reductions.softmax, first_opset=7),
    ("", "LayerNormalization"): Rule(normalizations.layer_normalization, first_opset=7, required_inputs=2),
    ("", "RMSNormalization"): Rule(normalizations.rms_normalization, first_opset=23, required_inputs=2),
    ("", "SimplifiedLayerNormalization"): Rule(normalizations.rms_normalization, first_opset=7, required_inputs=2),
    (MICROSOFT, "SkipLayerNormalization"): Rule(
        normalizations.skip_layer_normalization, first_opset=7, required_inputs=3
    ),
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): Rule(
        normalizations.skip_simplified_layer_normalization, first_opset=7, required_inputs=3
    ),
}

BEHIND_BLOCKS: Mapping[tuple[str, str], Rule] = {
    ("", "MatMul"): Rule(blocked_weights.matmul, first_opset=1),
    ("", "Gemm"): Rule(blocked_weights.gemm, first_opset=1),
}
"""Operators that have a twin, and are taken apart where a DequantizeLinear of blocks makes their weights."""


def rules_for(nodes: Iterable[onnx.NodeProto], groups: Collection[str]) -> dict[tuple[str, str], Rule]:
    """Return the rules that nodes may have.

    Args:
        nodes: The nodes.
        groups: Those of `operators.LOWERED_ON_REQUEST` that are asked for.
    """
    rules = {key: rule for key, rule in RULES.items() if is_lowered(*key, groups)}
    return {**rules, **BEHIND_BLOCKS} if any(map(blocked_weights.is_blocked, nodes)) else rules
