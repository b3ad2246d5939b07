"""Attention of ONNX in the form that its twin takes.

y = Attention(q, k, v, mask)  ->  y, _, _ = Attention(q, k, v, mask as a bias, empty past, empty past)

A mask of truth values becomes 0 and -inf. The lengths of a cache that is kept outside (nonpad_kv_seqlen) become part of
the mask, with what is causal about them; so do windows of keys around each query's position, and what is causal where
the scores of keys that it hides are an output. A mask gets an empty past in front of it, since the twin has no holes
among its inputs.
"""

import numpy as np
import onnx

from lba_onnx.operators import OPERATORS
from lba_onnx.rewrite.lowering.attention_values import (
    counting,
    empty_cache,
    inputs_of,
    size_of,
    unsqueezed,
    where_else,
)
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_Q, _K, _V, _MASK, _PAST_KEY, _PAST_VALUE, _LENGTHS = range(7)
_SPLIT = 4
_SCORES = 3  # the output
_BEFORE_MASKS = 0, 1
_OWN = frozenset(attribute.name for attribute in OPERATORS["LbaAttention"].own_attributes)
_WINDOWS = "left_window_size", "right_window_size"
_OPEN = -1  # a side that is not bounded
_DOUBLE = onnx.TensorProto.DOUBLE


def attention(source: Source, maker: Maker) -> None:
    """Give Attention inputs without holes, and a mask to add; one that has such stays as it is."""
    _check(source)
    attributes = {name: value for name, value in source.attributes.items() if name in _OWN}
    mask = _mask(source, maker)
    if source.input(_LENGTHS):
        mask = _with_lengths(source, maker, mask, bool(attributes.pop("is_causal", 0)))
    left, right = (source.attributes.get(name, _OPEN) for name in _WINDOWS)
    if _gives_hidden_scores(source) and attributes.pop("is_causal", 0):
        right = 0
    if left != _OPEN or right != _OPEN:
        mask = _with_windows(source, maker, mask, left, right)
    past = [source.input(_PAST_KEY), source.input(_PAST_VALUE)]
    has_all = not mask or bool(past[0])
    if has_all and mask == source.input(_MASK) and len(attributes) == len(source.attributes):
        return
    outputs = inputs_of([source.output(index) for index in range(4)])
    if not has_all:
        past = [_empty_past(source, maker, index) for index in (_K, _V)]
        outputs += [""] * (3 - len(outputs))
    q, k, v = (source.input(index) for index in (_Q, _K, _V))
    maker.add_several("Attention", inputs_of([q, k, v, mask, *past]), outputs, product="", **attributes)


def _check(source: Source) -> None:
    for name in _WINDOWS:
        if source.attributes.get(name, _OPEN) < _OPEN:
            raise Refused(f"has a window of {source.attributes[name]} keys ({name})")
    if source.attributes.get("softmax_precision") == _DOUBLE:
        raise Refused("has a softmax of float64; its twin's is of float32")
    if source.attributes.get("scale", 1.0) == 0:
        raise Refused("has a scale of 0")
    if bool(source.input(_PAST_KEY)) != bool(source.input(_PAST_VALUE)):
        raise Refused("has one of past_key and past_value; expected both or neither")


def _gives_hidden_scores(source: Source) -> bool:
    """Return whether scores are an output before a mask hides any."""
    return bool(source.output(_SCORES)) and source.attributes.get("qk_matmul_output_mode", 0) in _BEFORE_MASKS


def _mask(source: Source, maker: Maker) -> str:
    mask = source.input(_MASK)
    if not mask or source.element_type(_MASK) != onnx.TensorProto.BOOL:
        return mask
    return where_else(maker, mask, -np.inf, source.dtype(_Q))


def _with_lengths(source: Source, maker: Maker, mask: str, is_causal: bool) -> str:
    """Return the name of a mask, [batch, 1, rows, keys], that hides what is behind each batch entry's keys."""
    rows, keys = (_count(source, maker, index) for index in (_Q, _K))
    lengths = unsqueezed(maker, source.input(_LENGTHS), [1, 2, 3])
    row = unsqueezed(maker, counting(maker, rows), [1])
    if is_causal:
        last = maker.add("Add", [row, maker.add("Sub", [lengths, rows])])
    else:
        last = maker.add("Sub", [maker.add("Add", [lengths, maker.add("Mul", [row, maker.index(0)])]), maker.index(1)])
    seen = maker.add("LessOrEqual", [counting(maker, keys), last])
    bias = where_else(maker, seen, -np.inf, source.dtype(_Q))
    return maker.add("Add", [bias, _padded(source, maker, mask, keys)]) if mask else bias


def _with_windows(source: Source, maker: Maker, mask: str, left: int, right: int) -> str:
    """Return the name of a mask that hides keys too far from a query's position on either side."""
    rows, keys = (_count(source, maker, index) for index in (_Q, _K))
    position = unsqueezed(maker, counting(maker, rows), [1])
    if source.input(_LENGTHS):
        lengths = unsqueezed(maker, source.input(_LENGTHS), [1, 2, 3])
        position = maker.add("Add", [position, maker.add("Sub", [lengths, rows])])
    elif source.input(_PAST_KEY):
        past = size_of(maker, source.input(_PAST_KEY), 2)
        position, keys = maker.add("Add", [position, past]), maker.add("Add", [keys, past])
    distance = maker.add("Sub", [counting(maker, keys), position])
    sides = [("GreaterOrEqual", -left)] * (left >= 0) + [("LessOrEqual", right)] * (right >= 0)
    seen = [maker.add(op_type, [distance, maker.index(bound)]) for op_type, bound in sides]
    both = maker.add("And", seen) if len(seen) > 1 else seen[0]
    bias = where_else(maker, both, -np.inf, source.dtype(_Q))
    return maker.add("Add", [mask, bias]) if mask else bias


def _count(source: Source, maker: Maker, index: int) -> str:
    """Return the name of the number of rows of queries, or of new keys."""
    rank = source.rank(index)
    if rank is None:
        raise Refused("the numbers of dimensions of its inputs are not known")
    return size_of(maker, source.input(index), 2 if rank == _SPLIT else 1)


def _padded(source: Source, maker: Maker, mask: str, keys: str) -> str:
    """Return a mask with -inf for keys that it does not reach."""
    rank = source.rank(_MASK)
    if rank is None:
        raise Refused("the number of dimensions of its mask is not known")
    missing = maker.add("Sub", [keys, size_of(maker, mask, rank - 1)])
    zeros = maker.integers([0] * (2 * rank - 1), "zeros")
    hidden = maker.constant(np.asarray(-np.inf, source.dtype(_Q)), "hidden")
    return maker.add("Pad", [mask, maker.add("Concat", [zeros, missing], axis=0), hidden])


def _empty_past(source: Source, maker: Maker, index: int) -> str:
    rank = source.rank(index)
    if rank is None:
        raise Refused("the number of dimensions of its keys and values is not known")
    heads = None if rank == _SPLIT else source.required("kv_num_heads")
    return empty_cache(maker, source.input(index), heads, source.dtype(_Q))
