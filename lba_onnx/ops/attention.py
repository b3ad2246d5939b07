"""The operators of attention for onnx's reference evaluator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx.reference.op_run import OpRun

from lba_onnx import kernels
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import DOMAIN, OPERATORS
from lba_onnx.reference.attention import Attended, Softmax, attention

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

_PROBABILITIES = 2  # the qk_output of LbaGroupQueryAttention


@dataclass(frozen=True, eq=False)
class _Given:
    """What a node is given.

    Attributes:
        inputs: By the names of the operator's table; None for those that are absent.
        attributes: Its attributes.
    """

    inputs: Mapping[str, Array | None]
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, operator: OpRun, operands: Sequence[Array | None], attributes: Mapping[str, Any]) -> "_Given":
        """Name the operands of an operator."""
        return cls(dict(zip(OPERATORS[type(operator).__name__].inputs, operands, strict=False)), attributes)

    def __getitem__(self, name: str) -> Array:
        """Return an input that is there."""
        found = self.inputs.get(name)
        if found is None:
            raise ValueError(f"expected an input {name}, got none")
        return found

    def floats(self, name: str) -> Floats | None:
        """Return an input as float32, or None."""
        found = self.inputs.get(name)
        return None if found is None else _float32(found)

    def joined(self, past: str, fresh: str, heads: int | None) -> Array:
        """Return keys or values in heads, behind those of before."""
        new, before = _in_heads(self[fresh], heads), self.inputs.get(past)
        return new if before is None else np.concatenate([before, new], axis=2)

    @property
    def past_rows(self) -> int:
        """How many rows are past."""
        past = self.inputs.get("past_key")
        return 0 if past is None else past.shape[2]


@dataclass(frozen=True, eq=False)
class _Call:
    """A call: operands in heads, keys and values with those of before.

    Attributes:
        q: [batch, heads, rows, size].
        k: [batch, kv heads, keys, size].
        v: Likewise.
        seen: Which keys a row sees; broadcasts to [batch, heads, rows, keys].
        bias: What is added to scores, or None.
        sinks: A score of each head that no key has, or None.
    """

    q: Array
    k: Array
    v: Array
    seen: npt.NDArray[np.bool_]
    bias: Floats | None = None
    sinks: Floats | None = None

    def run(self, attributes: Mapping[str, Any]) -> Attended:
        """Compute it in the accumulators that the attributes say."""
        scale = attributes.get("scale") or np.float32(1) / np.sqrt(np.float32(self.q.shape[-1]))
        return attention(
            (_float32(self.q), _float32(self.k), _float32(self.v)),
            (from_attributes(attributes, "qk"), from_attributes(attributes, "pv")),
            Softmax(float(scale), attributes.get("softcap", 0.0)),
            self.seen,
            self.bias,
            self.sinks,
            kernels.matmul,
        )


class LbaMultiHeadAttention(OpRun):  # type: ignore[misc]
    """com.microsoft's MultiHeadAttention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, *operands: Array | None, **attributes: Any) -> tuple[Array, ...]:
        given, heads = _Given.of(self, operands, attributes), attributes["num_heads"]
        query = given["query"]
        k, v = given.joined("past_key", "key", heads), given.joined("past_value", "value", heads)
        seen = _seen(query.shape[1], k, given.past_rows, attributes.get("unidirectional"))
        attended = _Call(_in_heads(query, heads), k, v, seen, given.floats("attention_bias")).run(attributes)
        return _outputs(self, _rows(attended.y), k, v, dtype=query.dtype)


class LbaGroupQueryAttention(OpRun):  # type: ignore[misc]
    """com.microsoft's GroupQueryAttention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, *operands: Array | None, **attributes: Any) -> tuple[Array, ...]:
        given = _Given.of(self, operands, attributes)
        query, total = given["query"], int(np.asarray(given["total_sequence_length"]).reshape(()))
        rows, keys = query.shape[1], np.asarray(given["seqlens_k"], np.int64).reshape(-1) + 1
        past = np.zeros_like(keys) if rows == total else keys - rows
        k, v = (
            _cached(before, _in_heads(fresh, attributes["kv_num_heads"]), past, max(before.shape[2], total))
            for before, fresh in ((given["past_key"], given["key"]), (given["past_value"], given["value"]))
        )
        count, bias = keys.max(), given.floats("attention_bias")
        call = _Call(
            _in_heads(query, attributes["num_heads"]),
            k[:, :, :count],
            v[:, :, :count],
            _seen_in_cache(rows, keys, past, attributes),
            None if bias is None else bias[..., :count],
            given.floats("head_sink"),
        )
        attended, mode = call.run(attributes), attributes.get("qk_output")
        scores = attended.probabilities if mode == _PROBABILITIES else np.where(call.seen, attended.biased, 0)
        scores = np.pad(scores, [(0, 0)] * 3 + [(0, total - count)])
        return _outputs(self, _rows(attended.y), k, v, scores, dtype=query.dtype)


class LbaAttention(OpRun):  # type: ignore[misc]
    """ONNX's Attention for onnx's reference evaluator."""

    op_domain = DOMAIN

    def _run(self, *operands: Array | None, **attributes: Any) -> tuple[Array, ...]:
        given, kv_heads = _Given.of(self, operands, attributes), attributes.get("kv_num_heads")
        q, keys, values = given["Q"], given.joined("past_key", "K", kv_heads), given.joined("past_value", "V", kv_heads)
        queries = _in_heads(q, attributes.get("q_num_heads"))
        seen = _seen(queries.shape[2], keys, given.past_rows, attributes.get("is_causal"))
        attended = _Call(queries, keys, values, seen, given.floats("attn_mask")).run(attributes)
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


def _seen_in_cache(
    rows: int, keys: npt.NDArray[np.int64], past: npt.NDArray[np.int64], attributes: Mapping[str, Any]
) -> npt.NDArray[np.bool_]:
    """Return which keys of a cache a row sees, [batch, 1, rows, keys]."""
    position = (past[:, np.newaxis] + np.arange(rows))[:, np.newaxis, :, np.newaxis]
    each = np.arange(keys.max())
    seen = each < keys.reshape(-1, 1, 1, 1)
    if attributes.get("causal", 1):
        seen = seen & (each <= position)
    if attributes.get("local_window_size", -1) > 0:
        seen = seen & (each > position - attributes["local_window_size"])
    return seen


def _outputs(operator: OpRun, *outputs: Array, dtype: npt.DTypeLike) -> tuple[Array, ...]:
    """Return as many outputs as the node has, of its type."""
    with np.errstate(over="ignore"):  # beyond float16 lies infinity
        return tuple(output.astype(dtype) for output in outputs[: len(operator.onnx_node.output)])


def _float32(values: Array) -> Floats:
    if values.dtype not in (np.float32, np.float16):
        raise TypeError(f"expected float32 or float16, got {values.dtype}")
    return np.ascontiguousarray(values, np.float32)
