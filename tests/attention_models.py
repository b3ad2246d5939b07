"""Models of one attention node, with inputs drawn for it: what the tests of its three operators share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

MICROSOFT = "com.microsoft"
Arrays = dict[str, NDArray[Any]]
RNG = np.random.default_rng(18)


def draw(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
    return RNG.uniform(-1, 1, shape).astype(dtype)


def int32(*values: int) -> NDArray[np.int32]:
    return np.array(values, np.int32)


@dataclass(frozen=True)
class Case:
    """A node: its inputs by their names, "" for one that is left out."""

    op_type: str
    inputs: Mapping[str, NDArray[Any] | None]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 3

    @property
    def feeds(self) -> Arrays:
        return {name: values for name, values in self.inputs.items() if values is not None}

    @property
    def model(self) -> onnx.ModelProto:
        names = [name if values is not None else "" for name, values in self.inputs.items()]
        while not names[-1]:
            names.pop()
        domain = MICROSOFT if self.op_type != "Attention" else ""
        results = [f"y{index}" for index in range(self.outputs)]
        node = helper.make_node(self.op_type, names, results, "node", domain=domain, **self.attributes)
        floats = next(iter(self.feeds.values())).dtype
        inputs = [_declared(name, values.dtype, values.shape) for name, values in self.feeds.items()]
        graph = helper.make_graph([node], "graph", inputs, [_declared(name, floats, None) for name in results])
        opsets = [helper.make_opsetid("", 24 if not domain else 17), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def astype(self, dtype: Any) -> "Case":
        """The same node in another type of floats."""
        cast = {
            name: values.astype(dtype) if values is not None and values.dtype == np.float32 else values
            for name, values in self.inputs.items()
        }
        return Case(self.op_type, cast, self.attributes, self.outputs)


def _declared(name: str, dtype: Any, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


BATCH, ROWS, HEADS, KV_HEADS, SIZE, PAST = 2, 5, 4, 2, 16, 6
_GROUPS = {"num_heads": HEADS, "kv_num_heads": KV_HEADS}


def group_case(
    batch: int = 1,
    rows: int = ROWS,
    buffer: int = PAST,
    lengths: Any = None,
    total: int = 0,
    outputs: int = 3,
    **more: Any,
) -> Case:
    """GroupQueryAttention with a cache of `buffer` rows; by default all of it is past, and the new rows follow."""
    total = total or buffer + rows
    inputs = {
        "query": draw(batch, rows, HEADS * SIZE),
        "key": draw(batch, rows, KV_HEADS * SIZE),
        "value": draw(batch, rows, KV_HEADS * SIZE),
        "past_key": draw(batch, KV_HEADS, buffer, SIZE),
        "past_value": draw(batch, KV_HEADS, buffer, SIZE),
        "seqlens_k": int32(*(lengths or [total - 1] * batch)),
        "total_sequence_length": int32(total),
        "cos_cache": None,
        "sin_cache": None,
        "position_ids": None,
        "attention_bias": None,
        "head_sink": None,
    }
    given = {name: more.pop(name) for name in list(more) if name in inputs}
    return Case("GroupQueryAttention", {**inputs, **given}, {**_GROUPS, **more}, outputs)


def _angles(size: int) -> Arrays:
    angle = np.arange(32)[:, None] / 100.0 ** (np.arange(size) / size)
    return {"cos_cache": np.cos(angle).astype(np.float32), "sin_cache": np.sin(angle).astype(np.float32)}


def _packed(rows: int) -> dict[str, Any]:
    return {"query": draw(1, rows, (HEADS + 2 * KV_HEADS) * SIZE), "key": None, "value": None}


def group_cases() -> dict[str, Case]:
    past = {"past_key": None, "past_value": None}
    return {
        "chunk": group_case(),
        "token": group_case(rows=1),
        "prompt": group_case(buffer=0),
        "no past": group_case(buffer=0, total=ROWS, **past),
        "large buffer": group_case(buffer=20, total=11),
        "padded prompts": group_case(batch=2, buffer=0, lengths=[4, 2], total=ROWS),
        "padded prompts in a window": group_case(batch=2, buffer=0, lengths=[4, 1], total=ROWS, local_window_size=2),
        "tokens of several lengths": group_case(batch=2, rows=1, buffer=9, lengths=[5, 8], total=9),
        "window": group_case(local_window_size=3),
        "softcap": group_case(softcap=0.7),
        "scale": group_case(scale=0.4),
        "sinks": group_case(head_sink=draw(HEADS)),
        "smooth": group_case(smooth_softmax=1),
        "bias": group_case(attention_bias=draw(1, 1, ROWS, PAST + ROWS)),
        "bias, sinks and cap": group_case(attention_bias=draw(1, HEADS, ROWS, 11), head_sink=draw(HEADS), softcap=2.0),
        "packed": group_case(**_packed(ROWS)),
        "rotary": group_case(do_rotary=1, **_angles(8)),
        "rotary of a prompt": group_case(buffer=0, do_rotary=1, rotary_interleaved=1, **_angles(8)),
        "rotary in a buffer": group_case(rows=1, buffer=20, total=8, do_rotary=1, **_angles(8)),
        "rotary, packed": group_case(**_packed(ROWS), do_rotary=1, **_angles(8)),
        "attributes of no effect": group_case(do_rotary=0, rotary_interleaved=0, smooth_softmax=0),
        "switches that are not 1": group_case(do_rotary=-1, smooth_softmax=-1, **_angles(8)),
        **_scored_groups(),
    }


def _scored_groups() -> dict[str, Case]:
    """Nodes that give their scores, before and after the softmax."""
    before, after = ({"qk_output": mode, "outputs": 4} for mode in (1, 2))
    bias = draw(1, HEADS, ROWS, PAST + ROWS)
    return {
        "scores, window and cap": group_case(local_window_size=3, softcap=0.7, **before),
        "scores, all keys": group_case(causal=0, softcap=0.9, attention_bias=bias, head_sink=draw(HEADS), **before),
        "scores, shorter than the total": group_case(batch=2, rows=1, buffer=9, lengths=[5, 6], total=9, **before),
        "probabilities, padded": group_case(batch=2, buffer=0, lengths=[4, 2], total=ROWS, **after),
        "probabilities, rotary": group_case(**_packed(ROWS), do_rotary=1, **_angles(8), **after),
        "probabilities, sinks": group_case(local_window_size=3, head_sink=draw(HEADS), **after),
    }


def heads_case(rows: int = ROWS, keys: int = 7, outputs: int = 1, **more: Any) -> Case:
    """MultiHeadAttention."""
    size = 8
    inputs = {
        "query": draw(BATCH, rows, HEADS * size),
        "key": draw(BATCH, keys, HEADS * size),
        "value": draw(BATCH, keys, HEADS * size),
        "bias": None,
        "key_padding_mask": None,
        "attention_bias": None,
        "past_key": None,
        "past_value": None,
    }
    given = {name: more.pop(name) for name in list(more) if name in inputs}
    return Case("MultiHeadAttention", {**inputs, **given}, {"num_heads": HEADS, **more}, outputs)


def _past(size: int = 8) -> Arrays:
    return {"past_key": draw(BATCH, HEADS, PAST, size), "past_value": draw(BATCH, HEADS, PAST, size)}


def heads_cases() -> dict[str, Case]:
    in_heads = {"key": draw(BATCH, HEADS, 7, 8), "value": draw(BATCH, HEADS, 7, 8)}
    some = RNG.integers(0, 2, (BATCH, 7)).astype(np.int32)
    scores = draw(BATCH, HEADS, ROWS, 7)
    return {
        "plain": heads_case(),
        "past": heads_case(outputs=3, **_past()),
        "causal": heads_case(rows=7, unidirectional=1),
        "causal behind a past": heads_case(rows=7, unidirectional=1, outputs=3, **_past()),
        "bias of scores": heads_case(attention_bias=scores),
        "bias of all": heads_case(attention_bias=draw(1, 1, ROWS, 7), outputs=3),
        "bias and past": heads_case(attention_bias=draw(1, HEADS, ROWS, 13), outputs=3, **_past()),
        "bias of operands": heads_case(bias=draw(3 * HEADS * 8)),
        "in heads": heads_case(**in_heads),
        "in heads with biases": heads_case(**in_heads, bias=draw(3 * HEADS * 8), attention_bias=scores),
        "values of another size": heads_case(value=draw(BATCH, 7, HEADS * 5)),
        "mask of keys": heads_case(key_padding_mask=some),
        "mask of keys and past": heads_case(
            key_padding_mask=RNG.integers(0, 2, (BATCH, 13)).astype(np.int32), outputs=3, **_past()
        ),
        "mask of lengths": heads_case(key_padding_mask=int32(4, 2)),
        "mask of lengths and starts": heads_case(key_padding_mask=int32(4, 2, 0, 4, 8, 0, 6, 12)),
        "mask of rows": heads_case(key_padding_mask=RNG.integers(0, 2, (BATCH, ROWS, 7)).astype(np.int32)),
        "mask and bias": heads_case(key_padding_mask=some, attention_bias=scores, mask_filter_value=-3.0),
        "scale": heads_case(scale=0.9),
    }


def standard_case(outputs: int = 1, **more: Any) -> Case:
    """Attention of ONNX, opset 24."""
    inputs = {
        "Q": draw(BATCH, HEADS, ROWS, 8),
        "K": draw(BATCH, KV_HEADS, 7, 8),
        "V": draw(BATCH, KV_HEADS, 7, 6),
        "attn_mask": None,
        "past_key": None,
        "past_value": None,
        "nonpad_kv_seqlen": None,
    }
    given = {name: more.pop(name) for name in list(more) if name in inputs}
    return Case("Attention", {**inputs, **given}, more, outputs)


def standard_cases() -> dict[str, Case]:
    past = {"past_key": draw(BATCH, KV_HEADS, PAST, 8), "past_value": draw(BATCH, KV_HEADS, PAST, 6)}
    joined = {"Q": draw(BATCH, ROWS, HEADS * 8), "K": draw(BATCH, 7, KV_HEADS * 8), "V": draw(BATCH, 7, KV_HEADS * 6)}
    counts = {"q_num_heads": HEADS, "kv_num_heads": KV_HEADS}
    truth = RNG.random((ROWS, 7)) > 0.4
    truth[2] = False
    return {
        "plain": standard_case(),
        "joined": standard_case(**joined, **counts),
        "joined with a mask": standard_case(**joined, **counts, attn_mask=draw(ROWS, 7)),
        "past": standard_case(outputs=3, **past),
        "causal with a past and a mask": standard_case(outputs=3, **past, is_causal=1, attn_mask=draw(HEADS, ROWS, 13)),
        "mask": standard_case(attn_mask=draw(BATCH, 1, ROWS, 7), softcap=0.8),
        "mask of truth values": standard_case(attn_mask=truth),
        "lengths": standard_case(nonpad_kv_seqlen=np.array([4, 7])),
        "lengths, causal": standard_case(nonpad_kv_seqlen=np.array([3, 7]), is_causal=1),
        "lengths and a mask": standard_case(nonpad_kv_seqlen=np.array([4, 7]), attn_mask=draw(ROWS, 7)),
        **{
            f"scores {mode}": standard_case(
                outputs=4, **past, softcap=0.8, attn_mask=draw(ROWS, 13), qk_matmul_output_mode=mode, scale=0.5
            )
            for mode in range(4)
        },
        **{
            f"scores {mode}, causal": standard_case(
                outputs=4, **past, softcap=0.8, is_causal=1, qk_matmul_output_mode=mode
            )
            for mode in range(4)
        },
    }


CASES = {
    f"{kind}: {name}": case
    for kind, cases in (("groups", group_cases()), ("heads", heads_cases()), ("standard", standard_cases()))
    for name, case in cases.items()
}
