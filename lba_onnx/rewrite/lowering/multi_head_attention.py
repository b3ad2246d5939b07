"""MultiHeadAttention of com.microsoft in the form that its twin takes.

y = MultiHeadAttention(q, k, v, bias, mask)  ->  q, k, v = q + bias[...], k + bias[...], v + bias[...]
                                                 y = MultiHeadAttention(q, k, v, , , mask as a bias of scores)

One that gives its scores becomes a MatMul for each product (`scored_attention`). Packed queries, keys and values are
split. A bias of scores gets an empty past in front of it, since the twin has no holes among its inputs. Requires opset
13.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lba_onnx.operators import MICROSOFT, OPERATORS
from lba_onnx.rewrite.lowering.attention_values import (
    counting,
    empty_cache,
    inputs_of,
    size_of,
    split,
    unsqueezed,
    where_else,
)
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.scored_attention import Operands, add_scored_attention

_QUERY, _KEY, _VALUE, _BIAS, _MASK, _SCORE_BIAS, _PAST_KEY, _PAST_VALUE, _PAST_LENGTH, _BEAMS = range(10)
_JOINED, _SPLIT, _PACKED = 3, 4, 5
_SCORES = 3  # the output
_MASKED = -10000.0
_OWN = frozenset(attribute.name for attribute in OPERATORS["LbaMultiHeadAttention"].own_attributes)


@dataclass(frozen=True)
class MultiHeadInputs:
    """Queries, keys and values that are not packed, and what goes with them.

    Attributes:
        query: [batch, rows, heads * size].
        key: [batch, keys, heads * size], or [batch, heads, keys, size].
        value: Likewise.
        is_joined: Whether keys and values are of the first form.
        mask: What masks keys, or "".
        mask_rank: Its number of dimensions.
        bias: What is added to scores, or "".
        past: Past keys and past values, or "" each.
        typed: An input of the node whose element type they have.
    """

    query: str
    key: str
    value: str
    is_joined: bool
    mask: str
    mask_rank: int | None
    bias: str
    past: tuple[str, str]
    typed: int = _QUERY

    @property
    def is_plain(self) -> bool:
        """Whether the twin takes them as they are."""
        return not self.mask and not (self.bias and not self.past[0])


def multi_head_attention(source: Source, maker: Maker) -> None:
    """Give MultiHeadAttention inputs without holes; one that has such stays as it is."""
    if source.input(_PAST_LENGTH) or source.input(_BEAMS):
        raise Refused("reads its cache by the beams of a search (cache_indirection, past_sequence_length)")
    if source.attributes.get("unidirectional") and _differ(source):
        raise Refused("is unidirectional with other numbers of queries and keys")
    inputs = _given(source, maker)
    if _lacks_twin(source, inputs):
        bias = _with_mask(source, maker, inputs) if inputs.mask else inputs.bias
        operands = Operands(inputs.query, inputs.key, inputs.value, inputs.is_joined, inputs.past, bias)
        add_scored_attention(source, maker, operands)
        return
    attributes = {name: value for name, value in source.attributes.items() if name in _OWN}
    is_same = not maker.nodes and len(attributes) == len(source.attributes)
    if is_same and inputs.is_plain:
        return
    outputs = inputs_of([source.output(index) for index in range(3)])
    add_multi_head_attention(source, maker, inputs, outputs)


def _lacks_twin(source: Source, inputs: MultiHeadInputs) -> bool:
    """Return whether the twin cannot stand for a node, which each product can for itself."""
    takes_past = bool(inputs.mask or inputs.bias) and not inputs.past[0]
    return bool(source.output(_SCORES)) or (takes_past and _has_other_values(source))


def add_multi_head_attention(source: Source, maker: Maker, inputs: MultiHeadInputs, outputs: list[str]) -> None:
    """Add the node that has a twin, and what makes its inputs.

    Args:
        source: The node that it stands for, with the attributes of MultiHeadAttention.
        maker: Makes the nodes.
        inputs: Its inputs.
        outputs: The names of its outputs.
    """
    attributes = {name: value for name, value in source.attributes.items() if name in _OWN}
    heads = source.required("num_heads")
    if inputs.mask:
        inputs = replace(inputs, bias=_with_mask(source, maker, inputs), mask="")
    if inputs.bias and not inputs.past[0]:
        inputs = _with_empty_past(source, maker, inputs, heads)
    names = [inputs.query, inputs.key, inputs.value, "", "", inputs.bias, *inputs.past]
    maker.add_several("MultiHeadAttention", inputs_of(names), outputs, product="", domain=MICROSOFT, **attributes)


def _differ(source: Source) -> bool:
    """Return whether keys are known to be more or fewer than queries."""
    query, key = source.dimensions(_QUERY) or (), source.dimensions(_KEY) or ()
    if len(query) != _JOINED or len(key) not in (_JOINED, _SPLIT):
        return False
    rows, keys = query[1], key[1 if len(key) == _JOINED else 2]
    return None not in (rows, keys) and rows != keys


def _given(source: Source, maker: Maker) -> MultiHeadInputs:
    query, key, value = _unpacked(source, maker)
    is_joined = source.rank(_KEY) != _SPLIT
    reads_form = any(map(source.input, (_BIAS, _MASK, _SCORE_BIAS)))
    if reads_form and source.input(_KEY) and source.rank(_KEY) is None:
        raise Refused("the number of dimensions of its keys is not known, beside a bias or a mask")
    if source.input(_BIAS):
        query, key, value = _biased(source, maker, (query, key, value), is_joined)
    mask, bias = source.input(_MASK), source.input(_SCORE_BIAS)
    past = source.input(_PAST_KEY), source.input(_PAST_VALUE)
    return MultiHeadInputs(query, key, value, is_joined, mask, source.rank(_MASK), bias, past)


def _unpacked(source: Source, maker: Maker) -> tuple[str, str, str]:
    query, key, value = (source.input(index) for index in (_QUERY, _KEY, _VALUE))
    if key and value:
        return query, key, value
    packed, parts = (_KEY, 2) if key else (_QUERY, 3)
    if source.rank(packed) != _PACKED:
        raise Refused("has packed queries, keys or values whose number of dimensions is not known to be 5")
    joined = _joined_shape(maker, source.dimensions(packed), 2, 4)
    found = [maker.add("Reshape", [part, joined]) for part in split(maker, source.input(packed), [1] * parts, 3)]
    return (query, found[0], found[1]) if key else (found[0], found[1], found[2])


def _biased(source: Source, maker: Maker, values: tuple[str, str, str], is_joined: bool) -> tuple[str, ...]:
    """Return queries, keys and values with their bias; keys and values that come in heads have theirs already."""
    dimensions, biases = source.dimensions(_QUERY), source.dimensions(_BIAS)
    if not dimensions or not dimensions[-1] or not biases or not biases[0]:
        raise Refused("the sizes of its queries and of its bias are not known")
    size = dimensions[-1] * (dimensions[2] or 1) if len(dimensions) == _PACKED else dimensions[-1]
    parts = split(maker, source.input(_BIAS), [size, size, biases[0] - 2 * size], 0)
    added = [maker.add("Add", pair) for pair in zip(values, parts, strict=True)] if is_joined else []
    return tuple(added) or (maker.add("Add", [values[0], parts[0]]), values[1], values[2])


def _with_mask(source: Source, maker: Maker, inputs: MultiHeadInputs) -> str:
    """Return the name of the bias of scores, [batch, 1, rows, keys], that does what the mask does, and the bias."""
    rows = size_of(maker, inputs.query, 1)
    hidden, dtype = source.attributes.get("mask_filter_value", _MASKED), source.dtype(inputs.typed)
    if abs(hidden) > float(np.finfo(dtype).max):
        raise Refused(f"masks by {hidden:g} (mask_filter_value), which is no number of {dtype}")
    bias = where_else(maker, _seen(maker, inputs), hidden, dtype)
    if inputs.bias:
        return maker.add("Add", [bias, inputs.bias])
    one = maker.integers([1], "one")
    return maker.add("Expand", [bias, maker.add("Concat", [one, one, rows, one], axis=0)])


def _seen(maker: Maker, inputs: MultiHeadInputs) -> str:
    """Return the name of a mask that is true where a key counts."""
    if inputs.mask_rank == 1:
        batch = size_of(maker, inputs.query, 0)
        zero, axis = maker.integers([0], "start"), maker.integers([0], "axis")
        lengths = maker.add("Slice", [maker.add("Cast", [inputs.mask], to=7), zero, batch, axis])
        return maker.add("Less", [counting(maker, _keys(maker, inputs)), unsqueezed(maker, lengths, [1, 2, 3])])
    if inputs.mask_rank not in (2, 3):
        raise Refused("the number of dimensions of its key_padding_mask is not known to be 1 to 3")
    axes = [1, 2] if inputs.mask_rank == 2 else [1]
    return unsqueezed(maker, maker.add("Cast", [inputs.mask], to=9), axes)


def _keys(maker: Maker, inputs: MultiHeadInputs) -> str:
    keys = size_of(maker, inputs.key, 1 if inputs.is_joined else 2)
    return maker.add("Add", [keys, size_of(maker, inputs.past[0], 2)]) if inputs.past[0] else keys


def _with_empty_past(source: Source, maker: Maker, inputs: MultiHeadInputs, heads: int) -> MultiHeadInputs:
    """Return inputs with a past, beside which keys and values come joined."""
    dtype: np.dtype[np.generic] = source.dtype(inputs.typed)
    if _has_other_values(source):
        raise Refused("has a bias of scores, and values of another size than keys, which take no past")
    key, value = inputs.key, inputs.value
    if not inputs.is_joined:
        key, value = (
            maker.add(
                "Reshape",
                [
                    maker.add("Transpose", [heads_first], perm=[0, 2, 1, 3]),
                    _joined_shape(maker, source.dimensions(index), 1, 3),
                ],
            )
            for heads_first, index in ((key, _KEY), (value, _VALUE))
        )
    past = empty_cache(maker, key, heads, dtype), empty_cache(maker, value, heads, dtype)
    return replace(inputs, key=key, value=value, is_joined=True, past=past)


def _joined_shape(maker: Maker, dimensions: Sequence[int | None] | None, heads_axis: int, size_axis: int) -> str:
    """Return the shape of rows whose heads are joined; a size that is known serves an empty batch, too."""
    heads, size = (dimensions[axis] if dimensions else None for axis in (heads_axis, size_axis))
    return maker.integers([0, 0, heads * size if heads and size else -1], "joined")


def _has_other_values(source: Source) -> bool:
    """Return whether a node is known to have values of another size than its keys."""
    key, value = source.dimensions(_KEY), source.dimensions(_VALUE)
    return key is not None and value is not None and key[-1] != value[-1]
