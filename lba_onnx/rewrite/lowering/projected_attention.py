"""Attention and QAttention of com.microsoft: the projection of its input as a MatMul, the rest as MultiHeadAttention.

y, present = Attention(x, w, b, mask, past)  ->  p = MatMul(x, w) + b                      node "attention/projection"
                                                 q, k, v = Split(p)
                                                 y, present_k, present_v = MultiHeadAttention(q, k, v, mask, past_k,
                                                                                              past_v)
                                                 present = Concat(present_k, present_v), each with an axis in front

    QAttention      p = MatMulIntegerToFloat(x, w, their scales and zero points, b)

Requires opset 13, from which on Split takes its sizes, and Unsqueeze its axes, as inputs.
"""

from dataclasses import dataclass

from lba_onnx.operators import MICROSOFT
from lba_onnx.rewrite.lowering.attention_values import inputs_of, size_of
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.multi_head_attention import MultiHeadInputs, add_multi_head_attention
from lba_onnx.rewrite.lowering.rule import Refused, Source

_INPUT, _WEIGHTS, _BIAS = range(3)
_CODES = _INPUT, _WEIGHTS, 3, 4, 6, 7, _BIAS  # of QAttention, as MatMulIntegerToFloat takes them


@dataclass(frozen=True)
class _Places:
    """Which inputs an operator has beside the input, weights and bias of the projection.

    Attributes:
        mask: The mask.
        past: Past keys and values.
        scores: What is added to scores; None where it has no such.
        typed: One that has the element type of the projection.
    """

    mask: int
    past: int
    scores: int | None
    typed: int


_OF_FLOATS = _Places(mask=3, past=4, scores=5, typed=_INPUT)
_OF_CODES = _Places(mask=5, past=8, scores=None, typed=_BIAS)


def attention(source: Source, maker: Maker) -> None:
    """Take apart Attention of com.microsoft."""
    _take_apart(source, maker, _OF_FLOATS, _projected(source, maker))


def quantized_attention(source: Source, maker: Maker) -> None:
    """Take apart QAttention of com.microsoft."""
    inputs = inputs_of([source.input(index) for index in _CODES])
    value = maker.add("MatMulIntegerToFloat", inputs, product="projection", domain=MICROSOFT)
    _take_apart(source, maker, _OF_CODES, value)


def _take_apart(source: Source, maker: Maker, places: _Places, projected: str) -> None:
    _check(source)
    sizes = maker.integers(_sizes(source), "sizes")
    query, key, value = maker.add_several("Split", [projected, sizes], 3, axis=-1)
    past = _halves(source, maker, places.past)
    mask, bias = _mask(source, maker, places.mask), "" if places.scores is None else source.input(places.scores)
    rank = source.rank(places.mask)
    inputs = MultiHeadInputs(query, key, value, True, mask, rank, bias, past, places.typed)
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


def _projected(source: Source, maker: Maker) -> str:
    value = maker.add("MatMul", [source.input(_INPUT), source.input(_WEIGHTS)], product="projection")
    return maker.add("Add", [value, source.input(_BIAS)]) if source.input(_BIAS) else value


def _sizes(source: Source) -> list[int]:
    given = list(source.attributes.get("qkv_hidden_sizes", ()))
    if given:
        return given
    known = [dimensions[-1] for i in (_WEIGHTS, _BIAS) if (dimensions := source.dimensions(i))]
    total = next((size for size in known if size is not None), None)
    if total is None:
        raise Refused("the size of its weights is not known")
    return [total // 3] * 3


def _mask(source: Source, maker: Maker, place: int) -> str:
    """Return the mask's name; "" where it masks nothing, as one value for all keys does.

    Where a mask of one dimension may be one of both ends, which would be computed wrongly, a Reshape refuses it at run
    time.
    """
    if not source.input(place):
        return ""
    mask, data = source.dimensions(place), source.dimensions(_INPUT)
    if mask is None:
        raise Refused("the number of dimensions of its mask is not known")
    if len(mask) > 3:
        raise Refused(f"has a mask of {len(mask)} dimensions; expected 1 to 3")
    batch = data[0] if data else None
    if len(mask) == 1 and batch is not None and mask[0] == 2 * batch:
        raise Refused("has a mask of both ends of each sequence, which MultiHeadAttention does not take")
    if len(mask) == 1 and (batch is None or mask[0] is None):
        return maker.add("Reshape", [source.input(place), size_of(maker, source.input(_INPUT), 0)])
    return "" if len(mask) == 2 and mask[1] == 1 else source.input(place)


def _halves(source: Source, maker: Maker, place: int) -> tuple[str, str]:
    """Return the names of past keys and past values, which one input holds."""
    if not source.input(place):
        return "", ""
    key, value = (maker.add("Gather", [source.input(place), maker.index(half)], axis=0) for half in (0, 1))
    return key, value
