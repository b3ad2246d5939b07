"""MultiHeadAttention of com.microsoft that its twin cannot stand for: a product for each step.

Such a one gives its scores, too, or has values of another size than keys, beside a bias and without a past.

y, k, v, qk = MultiHeadAttention(q, k, v, bias of scores, past)

    scores = MatMul(q in heads, k in heads, transposed)          node "attention/qk"
    qk = scores * scale + bias
    y = MatMul(Softmax(qk), v in heads), heads joined            node "attention/pv"
"""

import math
from dataclasses import dataclass

import numpy as np

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_QUERY, _QUERY_RANK, _VALUE = 0, 3, 2
_ANY = -1
_OUTPUT, _PRESENT, _SCORES = 0, (1, 2), 3


@dataclass(frozen=True)
class Operands:
    """What attention multiplies: queries, keys, values, and what is added to scores.

    Attributes:
        query: [batch, rows, heads * size].
        key: [batch, keys, heads * size], or [batch, heads, keys, size].
        value: Likewise.
        is_joined: Whether keys and values are of the first form.
        past: Past keys and past values, or "" each.
        bias: What is added to scores, or "".
    """

    query: str
    key: str
    value: str
    is_joined: bool
    past: tuple[str, str]
    bias: str


def add_scored_attention(source: Source, maker: Maker, operands: Operands, why: str) -> None:
    """Add nodes that write the outputs of a MultiHeadAttention, its scores among them.

    Args:
        source: The node.
        maker: Makes the nodes.
        operands: What it multiplies.
        why: Why it becomes such nodes.
    """
    if source.dtype(_QUERY) != np.float32:
        raise Refused(f"{why}: expected float32, got {source.dtype(_QUERY)}")
    if source.attributes.get("unidirectional"):
        raise Refused(f"{why}, and is unidirectional")
    heads, size, value_size = source.required("num_heads"), _head_size(source), _value_size(source, operands)
    query = _in_heads(maker, operands.query, heads, size)
    key, value = operands.key, operands.value
    if operands.is_joined:
        key, value = _in_heads(maker, key, heads, size), _in_heads(maker, value, heads, value_size)
    key, value = (
        _with_past(source, maker, fresh, past, place)
        for fresh, past, place in zip((key, value), operands.past, _PRESENT, strict=True)
    )
    across = maker.add("Transpose", [key], perm=[0, 1, 3, 2])
    scale = source.attributes.get("scale") or 1 / math.sqrt(size)
    factor, name = maker.constant(np.asarray(scale, np.float32), "scale"), source.output(_SCORES)
    product = maker.add("MatMul", [query, across], product="qk")
    scores = maker.add("Mul", [product, factor], output="" if operands.bias else name)
    if operands.bias:
        scores = maker.add("Add", [scores, operands.bias], output=name)
    weighted = maker.add("MatMul", [maker.add("Softmax", [scores], axis=-1), value], product="pv")
    rows = maker.add("Transpose", [weighted], perm=[0, 2, 1, 3])
    joined = maker.integers([0, 0, heads * value_size if value_size > 0 else _ANY], "joined")
    maker.add("Reshape", [rows, joined], output=source.output(_OUTPUT))


def _head_size(source: Source) -> int:
    dimensions = source.dimensions(_QUERY)
    if not dimensions or len(dimensions) != _QUERY_RANK or not dimensions[-1]:
        raise Refused("its scores are nodes of their own, and the size of its queries is not known")
    return dimensions[-1] // int(source.required("num_heads"))


def _value_size(source: Source, operands: Operands) -> int:
    """Return the size of a head's values; where it is not known, what says that to a Reshape."""
    dimensions = source.dimensions(_VALUE)
    if not dimensions or not dimensions[-1]:
        return _ANY
    return dimensions[-1] // int(source.required("num_heads")) if operands.is_joined else dimensions[-1]


def _in_heads(maker: Maker, values: str, heads: int, size: int) -> str:
    split = maker.add("Reshape", [values, maker.integers([0, 0, heads, size], "in_heads")])
    return maker.add("Transpose", [split], perm=[0, 2, 1, 3])


def _with_past(source: Source, maker: Maker, fresh: str, past: str, place: int) -> str:
    """Return keys or values with those of before; they are an output of the node, if it has that."""
    output = source.output(place)
    if past:
        return maker.add("Concat", [past, fresh], output=output, axis=2)
    return maker.add("Identity", [fresh], output=output) if output else fresh
