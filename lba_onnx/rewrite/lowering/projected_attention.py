"""Attention of com.microsoft: the projection of its input as a MatMul, the rest as MultiHeadAttention.

y, present = Attention(x, w, b, mask, past)  ->  p = MatMul(x, w) + b                      node "attention/projection"
                                                 q, k, v = Split(p)
                                                 y, present_k, present_v = MultiHeadAttention(q, k, v, mask, past_k,
                                                                                              past_v)
                                                 present = Concat(present_k, present_v), each with an axis in front

Requires opset 13, from which on Split takes its sizes, and Unsqueeze its axes, as inputs.
"""

from lba_onnx.rewrite.lowering.attention_values import size_of
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.multi_head_attention import MultiHeadInputs, add_multi_head_attention
from lba_onnx.rewrite.lowering.rule import Refused, Source

_INPUT, _WEIGHTS, _BIAS, _MASK, _PAST, _ATTENTION_BIAS = range(6)


def attention(source: Source, maker: Maker) -> None:
    """Take apart Attention of com.microsoft."""
    _check(source)
    query, key, value = _projected(source, maker)
    past = _halves(source, maker)
    mask, bias = _mask(source, maker), source.input(_ATTENTION_BIAS)
    inputs = MultiHeadInputs(query, key, value, True, mask, source.rank(_MASK), bias, past)
    outputs = [source.output(0)]
    if source.output(1):
        outputs += [maker.fresh("present_key"), maker.fresh("present_value")]
    add_multi_head_attention(source, maker, inputs, outputs)
    if source.output(1):
        axis = maker.integers([0], "axis")
        parts = [maker.add("Unsqueeze", [part, axis]) for part in outputs[1:]]
        maker.add("Concat", parts, output=source.output(1), axis=0)


def _check(source: Source) -> None:
    attributes = source.attributes
    if attributes.get("do_rotary"):
        raise Refused("rotates queries and keys itself, which onnxruntime's kernel for the CPU does not")
    if attributes.get("past_present_share_buffer"):
        raise Refused("writes keys and values into the buffer of the past, which onnxruntime's CPU kernel does not")
    if not source.output(0):
        raise Refused("has no output of its own")
    given = attributes.get("qkv_hidden_sizes")
    if source.output(1) and given and given[1] != given[2]:
        raise Refused("gives keys and values of different sizes as one output, which has room for one size")


def _projected(source: Source, maker: Maker) -> list[str]:
    """Return the names of queries, keys and values."""
    sizes = _sizes(source)
    value = maker.add("MatMul", [source.input(_INPUT), source.input(_WEIGHTS)], product="projection")
    if source.input(_BIAS):
        value = maker.add("Add", [value, source.input(_BIAS)])
    return maker.add_several("Split", [value, maker.integers(sizes, "sizes")], 3, axis=-1)


def _sizes(source: Source) -> list[int]:
    given = list(source.attributes.get("qkv_hidden_sizes", ()))
    if given:
        return given
    known = [dimensions[-1] for i in (_WEIGHTS, _BIAS) if (dimensions := source.dimensions(i))]
    total = next((size for size in known if size is not None), None)
    if total is None:
        raise Refused("the size of its weights is not known")
    return [total // 3] * 3


def _mask(source: Source, maker: Maker) -> str:
    """Return the mask's name; "" where it masks nothing, as one value for all keys does.

    Where a mask of one dimension may be one of both ends, which would be computed wrongly, a Reshape refuses it at run
    time.
    """
    if not source.input(_MASK):
        return ""
    mask, data = source.dimensions(_MASK), source.dimensions(_INPUT)
    if mask is None:
        raise Refused("the number of dimensions of its mask is not known")
    if len(mask) > 3:
        raise Refused(f"has a mask of {len(mask)} dimensions; expected 1 to 3")
    batch = data[0] if data else None
    if len(mask) == 1 and batch is not None and mask[0] == 2 * batch:
        raise Refused("has a mask of both ends of each sequence, which MultiHeadAttention does not take")
    if len(mask) == 1 and (batch is None or mask[0] is None):
        return maker.add("Reshape", [source.input(_MASK), size_of(maker, source.input(_INPUT), 0)])
    return "" if len(mask) == 2 and mask[1] == 1 else source.input(_MASK)


def _halves(source: Source, maker: Maker) -> tuple[str, str]:
    """Return the names of past keys and past values, which one input holds."""
    if not source.input(_PAST):
        return "", ""
    key, value = (maker.add("Gather", [source.input(_PAST), maker.index(half)], axis=0) for half in (0, 1))
    return key, value
