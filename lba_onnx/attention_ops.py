"""The operators of attention for onnx's reference evaluator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.reference.op_run import OpRun

from lba_onnx import kernels
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import DOMAIN
from lba_onnx.reference_attention import Attended, Softmax, attention

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Call:
    """A call: operands in heads, keys and values with those of before.

    Attributes:
        q: [batch, heads, rows, size].
        k: [batch, kv heads, keys, size].
        v: Likewise.
        seen: Which keys a row sees; broadcasts to [batch, heads, rows, keys].
    """

    q: Array
    k: Array
    v: Array
    seen: npt.NDArray[np.bool_]

    def run(
        self, attributes: Mapping[str, Any], bias: Array | None, sinks: Array | None = None, softcap: float = 0.0
    ) -> Attended:
        """Compute it in the accumulators that the attributes say."""
        scale = attributes.get("scale") or np.float32(1) / np.sqrt(np.float32(self.q.shape[-1]))
        return attention(
            (_float32(self.q), _float32(self.k), _float32(self.v)),
            (from_attributes(attributes, "qk"), from_attributes(attributes, "pv")),
            Softmax(float(scale), softcap),
            self.seen,
            None if bias is None else _float32(bias),
            None if sinks is None else _float32(sinks),
            kernels.matmul,
        )


class LbaMultiHeadAttention(OpRun):  # type: ignore[misc]
    """com.microsoft's MultiHeadAttention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        query: Array,
        key: Array,
        value: Array,
        past_key: Array | None = None,
        past_value: Array | None = None,
        attention_bias: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        heads = attributes["num_heads"]
        k, v = _joined(past_key, _in_heads(key, heads)), _joined(past_value, _in_heads(value, heads))
        seen = _seen(query.shape[1], k, 0 if past_key is None else past_key.shape[2], attributes.get("unidirectional"))
        attended = _Call(_in_heads(query, heads), k, v, seen).run(attributes, attention_bias)
        return _outputs(self, _rows(attended.y), k, v, dtype=query.dtype)


class LbaGroupQueryAttention(OpRun):  # type: ignore[misc]
    """com.microsoft's GroupQueryAttention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        query: Array,
        key: Array,
        value: Array,
        past_key: Array,
        past_value: Array,
        seqlens_k: Array,
        total_sequence_length: Array,
        head_sink: Array | None = None,
        attention_bias: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        rows, total = query.shape[1], int(np.asarray(total_sequence_length).reshape(()))
        keys = np.asarray(seqlens_k, np.int64).reshape(-1) + 1
        past = np.zeros_like(keys) if rows == total else keys - rows
        k, v = (
            _cached(before, _in_heads(fresh, attributes["kv_num_heads"]), past, max(before.shape[2], total))
            for before, fresh in ((past_key, key), (past_value, value))
        )
        position = (past[:, np.newaxis] + np.arange(rows))[:, np.newaxis, :, np.newaxis]
        each = np.arange(keys.max())
        seen = each < keys.reshape(-1, 1, 1, 1)
        if attributes.get("causal", 1):
            seen = seen & (each <= position)
        if attributes.get("local_window_size", -1) > 0:
            seen = seen & (each > position - attributes["local_window_size"])
        call = _Call(_in_heads(query, attributes["num_heads"]), k[:, :, : len(each)], v[:, :, : len(each)], seen)
        bias = None if attention_bias is None else attention_bias[..., : len(each)]
        attended = call.run(attributes, bias, head_sink, attributes.get("softcap", 0.0))
        return _outputs(self, _rows(attended.y), k, v, dtype=query.dtype)


class LbaAttention(OpRun):  # type: ignore[misc]
    """ONNX's Attention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(
        self,
        q: Array,
        k: Array,
        v: Array,
        past_key: Array | None = None,
        past_value: Array | None = None,
        attn_mask: Array | None = None,
        **attributes: Any,
    ) -> tuple[Array, ...]:
        kv_heads = attributes.get("kv_num_heads")
        keys, values = _joined(past_key, _in_heads(k, kv_heads)), _joined(past_value, _in_heads(v, kv_heads))
        queries = _in_heads(q, attributes.get("q_num_heads"))
        past = 0 if past_key is None else past_key.shape[2]
        seen = _seen(queries.shape[2], keys, past, attributes.get("is_causal"))
        attended = _Call(queries, keys, values, seen).run(attributes, attn_mask, None, attributes.get("softcap", 0.0))
        stages = attended.scaled, attended.capped, attended.biased, attended.probabilities
        mode = attributes.get("qk_matmul_output_mode", 0)
        scores = stages[mode] if mode == len(stages) - 1 else np.where(seen, stages[mode], np.float32(-np.inf))
        return _outputs(self, attended.y if q.ndim == 4 else _rows(attended.y), keys, values, scores, dtype=q.dtype)


def _in_heads(values: Array, heads: int | None) -> Array:
    """Return [batch, heads, rows, size] of that, or of [batch, rows, heads * size]."""
    if values.ndim == 4:
        return values
    if heads is None:
        raise ValueError(f"expected an attribute with the number of heads beside values of shape {values.shape}")
    batch, rows, size = values.shape
    in_heads: Array = values.reshape(batch, rows, heads, size // heads).transpose(0, 2, 1, 3)
    return in_heads


def _rows(y: Array) -> Array:
    joined: Array = y.transpose(0, 2, 1, 3).reshape(y.shape[0], y.shape[2], -1)
    return joined


def _joined(past: Array | None, fresh: Array) -> Array:
    return fresh if past is None else np.concatenate([past, fresh], axis=2)


def _cached(past: Array, fresh: Array, counts: npt.NDArray[np.int64], rows: int) -> Array:
    """Return a cache: of each batch entry as many past rows as count, the new ones, and zeros."""
    cache = np.zeros((*fresh.shape[:2], rows, fresh.shape[3]), fresh.dtype)
    for entry, count in enumerate(counts):
        cache[entry, :, :count] = past[entry, :, :count]
        cache[entry, :, count : count + fresh.shape[2]] = fresh[entry]
    return cache


def _seen(rows: int, keys: Array, past: int, is_causal: Any) -> npt.NDArray[np.bool_]:
    if not is_causal:
        return np.ones((rows, keys.shape[2]), np.bool_)
    return np.tri(rows, keys.shape[2], past, dtype=np.bool_)


def _outputs(operator: OpRun, *outputs: Array, dtype: npt.DTypeLike) -> tuple[Array, ...]:
    """Return as many outputs as the node has, of its type."""
    with np.errstate(over="ignore"):  # beyond float16 lies infinity
        return tuple(output.astype(dtype) for output in outputs[: len(operator.onnx_node.output)])


def _float32(values: Array) -> npt.NDArray[np.float32]:
    if values.dtype not in (np.float32, np.float16):
        raise TypeError(f"expected float32 or float16, got {values.dtype}")
    return np.ascontiguousarray(values, np.float32)
