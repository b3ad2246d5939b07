"""MultiHeadAttention of com.microsoft that its twin cannot stand for: a product for each step.

Such a one gives its scores, too, or has values of another size than keys, beside a bias and without a past.

y, k, v, qk = MultiHeadAttention(q, k, v, bias of scores, past)

    scores = MatMul(q in heads, k in heads, transposed)          node "attention/qk"
    qk = scores * scale + bias                                   the least float32 for keys behind a causal row
    y = MatMul(Softmax(qk), v in heads), heads joined            node "attention/pv"

Of float16, operands become float32, and what the node gives is rounded once.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx

from lba_onnx.rewrite.lowering.attention_values import counting, size_of, unsqueezed, where_else
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_QUERY, _KEY, _VALUE = 0, 1, 2
_JOINED, _PACKED = 3, 5
_ANY = -1
_OUTPUT, _PRESENT, _SCORES = 0, (1, 2), 3
_HIDDEN = float(np.finfo(np.float32).min)  # as onnxruntime has it


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


def add_scored_attention(source: Source, maker: Maker, operands: Operands) -> None:
    """Add nodes that write the outputs of a MultiHeadAttention, its scores among them.

    Args:
        source: The node.
        maker: Makes the nodes.
        operands: What it multiplies.
    """
    heads, size, value_size = source.required("num_heads"), _head_size(source), _value_size(source, operands)
    values = _Values(source, maker)
    query = values.single(_in_heads(maker, operands.query, heads, size))
    key, value = operands.key, operands.value
    if operands.is_joined:
        key, value = _in_heads(maker, key, heads, size), _in_heads(maker, value, heads, value_size)
    key, value = (
        values.single(_with_past(source, maker, fresh, past, place))
        for fresh, past, place in zip((key, value), operands.past, _PRESENT, strict=True)
    )
    across = maker.add("Transpose", [key], perm=[0, 1, 3, 2])
    scale = source.attributes.get("scale") or 1 / math.sqrt(size)
    factor = maker.constant(np.asarray(scale, np.float32), "scale")
    steps = [("Mul", factor)]
    if operands.bias:
        steps.append(("Add", values.single(operands.bias)))
    if source.attributes.get("unidirectional"):
        steps.append(("Add", _hidden_behind(maker, query, key, operands.past[0])))
    scores = maker.add("MatMul", [query, across], product="qk")
    for op_type, operand in steps[:-1]:
        scores = maker.add(op_type, [scores, operand])
    op_type, operand = steps[-1]
    scores = values.give(op_type, [scores, operand], source.output(_SCORES))
    weighted = maker.add("MatMul", [maker.add("Softmax", [scores], axis=-1), value], product="pv")
    rows = maker.add("Transpose", [weighted], perm=[0, 2, 1, 3])
    joined = maker.integers([0, 0, heads * value_size if value_size > 0 else _ANY], "joined")
    values.give("Reshape", [rows, joined], source.output(_OUTPUT))


@dataclass(frozen=True)
class _Values:
    """Makes float32 of what a node is given, and what it gives of float32.

    Attributes:
        source: The node.
        maker: Makes the nodes.
    """

    source: Source
    maker: Maker

    def single(self, value: str) -> str:
        """Return a value as float32."""
        return self.maker.add("Cast", [value], to=onnx.TensorProto.FLOAT) if self._is_half else value

    def give(self, op_type: str, inputs: list[str], output: str) -> str:
        """Add a node, write its value as an output of the node, if that is there, and return it as float32."""
        value = self.maker.add(op_type, inputs, output="" if self._is_half else output)
        if self._is_half and output:
            self.maker.add("Cast", [value], output=output, to=onnx.TensorProto.FLOAT16)
        return value

    @property
    def _is_half(self) -> bool:
        return self.source.dtype(_QUERY) == np.float16


def _hidden_behind(maker: Maker, query: str, key: str, past: str) -> str:
    """Return the name of a bias that hides keys behind a row's own; queries and all keys are in heads."""
    position = counting(maker, size_of(maker, query, 2))
    if past:
        position = maker.add("Add", [position, size_of(maker, past, 2)])
    seen = maker.add("LessOrEqual", [counting(maker, size_of(maker, key, 2)), unsqueezed(maker, position, [1])])
    return where_else(maker, seen, _HIDDEN, np.float32)


def _head_size(source: Source) -> int:
    dimensions = source.dimensions(_QUERY) or ()
    if len(dimensions) not in (_JOINED, _PACKED) or not dimensions[-1]:
        raise Refused("its scores are nodes of their own, and the size of its queries is not known")
    heads = int(source.required("num_heads")) if len(dimensions) == _JOINED else 1
    return int(dimensions[-1]) // heads


def _value_size(source: Source, operands: Operands) -> int:
    """Return the size of a head's values; where it is not known, what says that to a Reshape."""
    packed = source.dimensions(_QUERY if not source.input(_KEY) else _KEY)
    if not source.input(_VALUE) and packed:
        return packed[-1] or _ANY
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
