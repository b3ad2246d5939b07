"""GroupQueryAttention of com.microsoft in the form that its twin takes.

y, k, v = GroupQueryAttention(qkv, , , past_k, past_v, lengths, total, cos, sin)  do_rotary=1

    q, k, v = Split(qkv)
    positions = (0 of a prompt, else lengths + 1 - rows) + (0, 1, 2 ...)          where they are not given
    q, k = RotaryEmbedding(q, positions, cos, sin), RotaryEmbedding(k, positions, cos, sin)
    y, k, v = GroupQueryAttention(q, k, v, past_k, past_v, lengths, total)

smooth_softmax is a head_sink of zeros. Requires opset 13.
"""

from dataclasses import dataclass

import numpy as np

from lba_onnx.operators import MICROSOFT, OPERATORS
from lba_onnx.rewrite.lowering.attention_values import counting, empty_cache, inputs_of, size_of, split, unsqueezed
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_QUERY, _KEY, _VALUE, _PAST_KEY, _PAST_VALUE, _LENGTHS, _TOTAL, _COS, _SIN, _POSITIONS, _BIAS, _SINK = range(12)
_SCORES = 3  # the output
_REFUSED_INPUTS = {
    12: "has a quantized cache (k_scale)",
    13: "has a quantized cache (v_scale)",
    14: "normalizes its queries (q_norm_weight)",
    15: "normalizes its keys (k_norm_weight)",
    16: "has rows of several lengths (query_seqlens)",
}
_REFUSED_ATTRIBUTES = {
    "kv_cache_bit_width": "has a quantized cache",
    "sliding_window_cache": "has a cache of the window alone",
}
_OWN = frozenset(attribute.name for attribute in OPERATORS["LbaGroupQueryAttention"].own_attributes)


@dataclass(frozen=True)
class _Heads:
    queries: int
    keys: int


def group_query_attention(source: Source, maker: Maker) -> None:
    """Give GroupQueryAttention inputs without holes and without a rotation; one that has these stays as it is."""
    _check(source)
    heads = _Heads(source.required("num_heads"), source.required("kv_num_heads"))
    kept = _OWN if source.output(_SCORES) else _OWN - {"qk_output"}
    attributes = {name: value for name, value in source.attributes.items() if name in kept}
    if _is_plain(source) and len(attributes) == len(source.attributes):
        return
    query, key, value = _unpacked(source, maker, heads)
    if _is_on(source, "do_rotary"):
        query, key = _rotated(source, maker, heads, query, key)
    past = [source.input(_PAST_KEY), source.input(_PAST_VALUE)]
    if not past[0]:
        past = [empty_cache(maker, fresh, heads.keys, source.dtype(_QUERY)) for fresh in (key, value)]
    lengths, total, bias = source.input(_LENGTHS), source.input(_TOTAL), source.input(_BIAS)
    inputs = [query, key, value, *past, lengths, total, "", "", "", bias, _sink(source, maker, heads)]
    outputs = inputs_of([source.output(index) for index in range(4)])
    maker.add_several("GroupQueryAttention", inputs_of(inputs), outputs, product="", domain=MICROSOFT, **attributes)


def _check(source: Source) -> None:
    for index, reason in _REFUSED_INPUTS.items():
        if source.input(index):
            raise Refused(reason)
    for name, reason in _REFUSED_ATTRIBUTES.items():
        if source.attributes.get(name):
            raise Refused(f"{reason} ({name}={source.attributes[name]})")
    if source.output(_SCORES) and not source.attributes.get("qk_output", 0):
        raise Refused("gives its scores (output_qk), and does not say which (qk_output=0)")
    if not source.attributes.get("causal", 1) and source.attributes.get("local_window_size", -1) > 0:
        raise Refused("has a window without being causal")
    if source.attributes.get("local_window_size", -1) == 0 or source.attributes.get("softcap", 0.0) < 0:
        raise Refused("has a window of no keys (local_window_size=0), or a softcap below 0")
    if bool(source.input(_PAST_KEY)) != bool(source.input(_PAST_VALUE)):
        raise Refused("has one of past_key and past_value; expected both or neither")


def _is_on(source: Source, name: str) -> bool:
    """Return whether a switch is on: onnxruntime takes 1 as such, and the default of smooth_softmax is -1."""
    return bool(source.attributes.get(name, 0) == 1)


def _is_plain(source: Source) -> bool:
    """Return whether nothing is packed, rotated or left out."""
    if _is_on(source, "do_rotary") or any(map(source.input, (_COS, _SIN, _POSITIONS))):
        return False
    has_all = all(map(source.input, range(_COS)))
    return has_all and not _is_on(source, "smooth_softmax") and bool(source.input(_SINK) or not source.input(_BIAS))


def _unpacked(source: Source, maker: Maker, heads: _Heads) -> list[str]:
    if source.input(_KEY):
        return [source.input(index) for index in (_QUERY, _KEY, _VALUE)]
    size = _head_size(source, heads)
    sizes = [heads.queries * size, heads.keys * size, heads.keys * size]
    return split(maker, source.input(_QUERY), sizes, 2)


def _head_size(source: Source, heads: _Heads) -> int:
    packed, past = source.dimensions(_QUERY), source.dimensions(_PAST_KEY)
    if packed and packed[-1]:
        return packed[-1] // (heads.queries + 2 * heads.keys)
    if past and past[-1]:
        return past[-1]
    raise Refused("the size of its packed queries, keys and values is not known")


def _rotated(source: Source, maker: Maker, heads: _Heads, query: str, key: str) -> tuple[str, str]:
    given = source.input(_POSITIONS)
    positions = _given_positions(source, maker, query, given) if given else _positions(source, maker, query)
    cosines = source.dimensions(_COS)
    if not cosines or not cosines[-1]:
        raise Refused("the size of its rotation (cos_cache) is not known")
    caches = [source.input(_COS), source.input(_SIN)]
    attributes = {
        "interleaved": source.attributes.get("rotary_interleaved", 0),
        "rotary_embedding_dim": 2 * cosines[-1],
    }
    rotated = [
        maker.add("RotaryEmbedding", [value, positions, *caches], domain=MICROSOFT, num_heads=count, **attributes)
        for value, count in ((query, heads.queries), (key, heads.keys))
    ]
    return rotated[0], rotated[1]


def _positions(source: Source, maker: Maker, query: str) -> str:
    """Return the positions of new rows: behind the past, which is none where all that there is is new."""
    rows = size_of(maker, query, 1)
    past = maker.add("Sub", [maker.add("Add", [_flat(source, maker, _LENGTHS), maker.integers([1], "one")]), rows])
    past = maker.add("Where", [_is_prompt(source, maker, rows), maker.integers([0], "zero"), past])
    return maker.add("Add", [unsqueezed(maker, past, [1]), counting(maker, rows)])


def _given_positions(source: Source, maker: Maker, query: str, given: str) -> str:
    """Return positions that are given: of a prompt onnxruntime reads the first alone, and counts on from it."""
    rows = size_of(maker, query, 1)
    flat = maker.add("Reshape", [given, maker.integers([-1], "flat")])
    first = maker.add("Slice", [flat, maker.integers([0], "start"), maker.integers([1], "end")])
    counted = maker.add("Add", [first, counting(maker, rows)])
    return maker.add(
        "Where", [_is_prompt(source, maker, rows), maker.add("Expand", [counted, _shape(maker, given)]), given]
    )


def _shape(maker: Maker, value: str) -> str:
    return maker.add("Shape", [value])


def _is_prompt(source: Source, maker: Maker, rows: str) -> str:
    """Return whether all that there is is new, as a tensor of one element."""
    return maker.add("Equal", [rows, _flat(source, maker, _TOTAL)])


def _flat(source: Source, maker: Maker, index: int) -> str:
    return maker.add("Reshape", [maker.add("Cast", [source.input(index)], to=7), maker.integers([-1], "flat")])


def _sink(source: Source, maker: Maker, heads: _Heads) -> str:
    """Return the name of the sinks: -inf for none, where a bias follows them in the twin."""
    if source.input(_SINK):
        return source.input(_SINK)
    if _is_on(source, "smooth_softmax"):
        return maker.constant(np.zeros(heads.queries, source.dtype(_QUERY)), "sink")
    if source.input(_BIAS):
        return maker.constant(np.full(heads.queries, -np.inf, source.dtype(_QUERY)), "sink")
    return ""
