"""Operators, and how many products of operands one execution multiplies and adds, from shapes alone.

    MatMul    outputs x depth                    Conv             outputs x kernel x channels of a group
    LSTM      steps x batch x (W and R)          ConvTranspose    inputs x kernel x channels of a group
    Attention       "qk": elements of Q x keys         "pv": elements of the output x keys

Products with padding count, as do those that a causal mask or a window hides, and steps behind the end of a sequence.
Bias, scale, softmax, gates and activations are no such products.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from lba_onnx import operators
from lba_onnx.operators import MICROSOFT
from lba_onnx.rewrite.macs.einsum import einsum_macs
from lba_onnx.rewrite.macs.execution import Execution, UnknownShapeError, elements

Rule: TypeAlias = Callable[[Execution], Mapping[str, int]]
"""Returns how many of each product, by its name; "" for the only one."""


def count(execution: Execution, product: str = "") -> int | None:
    """Return how many products one execution multiplies and adds; None where shapes or operator do not tell.

    Args:
        execution: The execution.
        product: The name of one of the operator's products; "" for all of them.
    """
    rule = RULES.get((execution.domain, execution.op_type))
    try:
        counts = {} if rule is None else rule(execution)
    except (UnknownShapeError, IndexError, ZeroDivisionError, ValueError):  # shapes that the operator does not take
        return None
    if product:
        return counts.get(product)
    return sum(counts.values()) if counts else None


def _matmul(execution: Execution) -> dict[str, int]:
    return {"": elements(execution.output()) * execution.input(0)[-1]}


def _fused_matmul(execution: Execution) -> dict[str, int]:
    axis = -1
    if execution.attribute("transA", 0):
        axis = 0 if execution.attribute("transBatchA", 0) else -2
    return {"": elements(execution.output()) * execution.input(0)[axis]}


def _gemm(execution: Execution) -> dict[str, int]:
    _, columns = execution.output()
    return {"": columns * elements(execution.input(0))}


def _conv(weights: int) -> Rule:
    return lambda execution: {"": elements(execution.output()) * elements(execution.input(weights)[1:])}


def _conv_transpose(weights: int) -> Rule:
    return lambda execution: {"": elements(execution.input(0)) * elements(execution.input(weights)[1:])}


def _recurrent(execution: Execution) -> dict[str, int]:
    x, w, r = (execution.input(index) for index in range(3))
    return {"": elements(x[:-1]) * (elements(w) + elements(r))}


def _projection(past: int) -> Rule:
    """Attention that multiplies its input by the weights of queries, keys and values first."""

    def rule(execution: Execution) -> dict[str, int]:
        (batch, length, _), weights, y = execution.input(0), execution.input(1), execution.output()
        sizes = execution.attribute("qkv_hidden_sizes", [weights[1] // 3])
        keys = length + (execution.input(past)[3] if execution.has_input(past) else 0)
        projection = elements(execution.input(0)) * weights[1]
        return {"projection": projection, "qk": batch * length * sizes[0] * keys, "pv": elements(y) * keys}

    return rule


def _attention(execution: Execution) -> dict[str, int]:
    keys = execution.input(1)[-2] + (execution.input(4)[2] if execution.has_input(4) else 0)
    return {"qk": elements(execution.input(0)) * keys, "pv": elements(execution.output()) * keys}


def _multi_head_attention(execution: Execution) -> dict[str, int]:
    """Q packed with K and V has five axes, K packed with V too; K of a cache has four."""
    query = execution.input(0)
    is_packed = len(query) == 5
    key = query if is_packed else execution.input(1)
    keys = key[2] if len(key) == 4 else key[1]
    if execution.has_input(8):
        raise UnknownShapeError("past_sequence_length")
    keys += execution.input(6)[2] if execution.has_input(6) else 0
    queries = elements(query) // 3 if is_packed else elements(query)
    return {"qk": queries * keys, "pv": elements(execution.output()) * keys}


def _group_query_attention(execution: Execution) -> dict[str, int]:
    """A cache that is larger than what it holds tells nothing of how much that is."""
    y = execution.output()
    keys = y[1] + (execution.input(3)[2] if execution.has_input(3) else 0)
    if len(execution.outputs) > 1 and execution.outputs[1] is not None and execution.output(1)[2] != keys:
        raise UnknownShapeError("the cache")
    return {"qk": elements(y) * keys, "pv": elements(y) * keys}


def _linear_attention(execution: Execution) -> dict[str, int]:
    query_heads, heads = execution.attribute("q_num_heads"), execution.attribute("kv_num_heads")
    batch, steps, width = execution.input(0)
    state = (width // query_heads) * (execution.input(2)[-1] // heads)
    updates = 2 if "delta" in execution.attribute("update_rule", "gated_delta") else 1
    return {"": batch * steps * state * (query_heads + updates * heads)}


def _mixture(*weights: int) -> Rule:
    """Each row goes through the weights of as many experts as are chosen for it."""

    def rule(execution: Execution) -> dict[str, int]:
        codes = 8 // execution.attribute("expert_weight_bits", 4) if execution.op_type == "QMoE" else 1
        chosen = execution.attribute("k", 1)
        present = [execution.input(index) for index in weights if execution.has_input(index)]
        expert = codes * sum(elements(shape[1:]) for shape in present)
        return {"": elements(execution.input(0)[:-1]) * chosen * expert}

    return rule


RULES: Mapping[tuple[str, str], Rule] = {
    **{("", op_type): _matmul for op_type in ("MatMul", "QLinearMatMul", "MatMulInteger")},
    **{("", op_type): _conv(1) for op_type in ("Conv", "ConvInteger", "DeformConv", "CausalConvWithState")},
    ("", "QLinearConv"): _conv(3),
    ("", "Gemm"): _gemm,
    ("", "ConvTranspose"): _conv_transpose(1),
    ("", "Einsum"): einsum_macs,
    **{("", op_type): _recurrent for op_type in ("LSTM", "GRU", "RNN")},
    ("", "Attention"): _attention,
    ("", "LinearAttention"): _linear_attention,
    ("ai.onnx.preview", "FlexAttention"): _attention,
    **{
        (MICROSOFT, op_type): _matmul
        for op_type in (
            "MatMulIntegerToFloat",
            "DynamicQuantizeMatMul",
            "MatMulInteger16",
            "MatMulNBits",
            "MatMulBnb4",
            "MatMulFpQ4",
        )
    },
    **{(MICROSOFT, op_type): _fused_matmul for op_type in ("FusedMatMul", "FusedMatMulActivation", "TransposeMatMul")},
    **{(MICROSOFT, op_type): _gemm for op_type in ("QGemm", "FusedGemm")},
    **{(MICROSOFT, op_type): _conv(1) for op_type in ("FusedConv", "NhwcConv", "NhwcFusedConv")},
    (MICROSOFT, "QLinearConv"): _conv(3),
    (MICROSOFT, "DynamicQuantizeLSTM"): _recurrent,
    (MICROSOFT, "Attention"): _projection(4),
    (MICROSOFT, "QAttention"): _projection(8),
    (MICROSOFT, "MultiHeadAttention"): _multi_head_attention,
    (MICROSOFT, "GroupQueryAttention"): _group_query_attention,
    (MICROSOFT, "MoE"): _mixture(2, 4, 6),
    (MICROSOFT, "QMoE"): _mixture(2, 5, 8),
    (operators.DOMAIN, "LbaConvIntegerToFloat"): _conv(1),
}
"""By domain and operator type."""
