"""Types and shapes of the operators' outputs, for onnx's shape inference.

    LbaConv(X, W, B)                       as Conv(X, W, B)
    LbaQGemm(A, ..., B, ..., C, ...)       as Gemm(A, B, C), of another element type
    LbaMultiHeadAttention(query, ...)      a rule of this module

An operator whose replaced one is ONNX's own, with the same inputs, is inferred by the function of that; one of whose
inputs some are those of an operator of ONNX, by that as a stand-in; the others by rules. A shape that does not fit
leaves the output open: a session says what is wrong with it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx
from onnx import TypeProto, defs, shape_inference

from lba_onnx.operators.schema import OperatorSchema
from lba_onnx.operators.table import OPERATORS

Context: TypeAlias = Any
"""onnx.shape_inference.InferenceContext, which onnx has since 1.19."""
Inference: TypeAlias = Callable[[Context], None]
Dimension: TypeAlias = int | str | None
Shape: TypeAlias = Sequence[Dimension]

_FLOAT = int(onnx.TensorProto.FLOAT)


@dataclass(frozen=True)
class _StandIn:
    """An operator of ONNX's own whose output has the same shape.

    Attributes:
        op_type: The operator.
        inputs: Which inputs it takes, in its order.
        element_type: That of the output, where it is not the one of the first input; the stand-in then sees floats.
    """

    op_type: str
    inputs: tuple[int, ...]
    element_type: Callable[[Context], int] | None = None


def _of_result(context: Context) -> int:
    """Return the type of LbaQGemm's output: of its zero point, or float32 without one."""
    return _element_type(context, OPERATORS["LbaQGemm"].inputs.index("y_zero_point")) or _FLOAT


_STAND_INS: Mapping[str, _StandIn] = {
    "LbaAttention": _StandIn("Attention", (0, 1, 2, 5, 3, 4)),
    "LbaQGemm": _StandIn("Gemm", (0, 3, 6), _of_result),
    "LbaMatMulIntegerToFloat": _StandIn("MatMul", (0, 1), lambda _: _FLOAT),
    "LbaConvIntegerToFloat": _StandIn("Conv", (0, 1), lambda _: _FLOAT),
}


def inference_of(schema: OperatorSchema) -> Inference:
    """Return the function that infers an operator's outputs."""
    if schema.op_type in _RULES:
        return _RULES[schema.op_type]
    if schema.op_type in _STAND_INS:
        return _by_stand_in(_STAND_INS[schema.op_type])
    return _lenient(defs.get_schema(schema.replaces).get_type_and_shape_inference_function())


def _lenient(infer: Inference) -> Inference:
    """Return a function that leaves open what another one cannot infer: an exception of Python would end the pass."""

    def leave_open(context: Context) -> None:
        try:
            infer(context)
        except (shape_inference.InferenceError, onnx.checker.ValidationError):
            return

    return leave_open


def _by_stand_in(stand_in: _StandIn) -> Inference:
    @_lenient
    def infer(context: Context) -> None:
        count = context.get_num_outputs()
        node, types = _as_stand_in(context, stand_in, count)
        found = shape_inference.infer_node_outputs(defs.get_schema(stand_in.op_type), node, types)
        for index in range(count):
            inferred = found.get(f"y{index}")
            if inferred is not None:
                if stand_in.element_type is not None:
                    inferred.tensor_type.elem_type = stand_in.element_type(context)
                context.set_output_type(index, inferred)

    return infer


def _as_stand_in(context: Context, stand_in: _StandIn, outputs: int) -> tuple[onnx.NodeProto, dict[str, TypeProto]]:
    """Return the node that stands in, and the types of its inputs."""
    found = [_input_type(context, place) for place in stand_in.inputs]
    for of_input in found:
        if of_input is not None and stand_in.element_type is not None:
            of_input.tensor_type.elem_type = _FLOAT
    node = onnx.NodeProto(op_type=stand_in.op_type, output=[f"y{index}" for index in range(outputs)])
    node.input.extend("" if of_input is None else f"x{index}" for index, of_input in enumerate(found))
    attributes = (context.get_attribute(name) for name in defs.get_schema(stand_in.op_type).attributes)
    node.attribute.extend(attribute for attribute in attributes if attribute is not None)
    return node, {f"x{index}": of_input for index, of_input in enumerate(found) if of_input is not None}


def _block_quantized(context: Context) -> None:
    shape = _shape(context, 0)
    _set_output(context, 0, None if shape is None else (*shape[:-1], _int(context, "N")))


def _multi_head_attention(context: Context) -> None:
    heads = _int(context, "num_heads")
    _attend(context, heads, heads, grows=True)


def _group_query_attention(context: Context) -> None:
    heads, query = _int(context, "num_heads"), _shape(context, 0)
    _attend(context, heads, _int(context, "kv_num_heads"), grows=False)
    if query is not None:
        _set_output(context, 3, (query[0], heads, query[1], None))


def _attend(context: Context, heads: int, kv_heads: int, grows: bool) -> None:
    """Set the outputs of attention on joined heads.

    Args:
        context: Of the node.
        heads: Heads of queries.
        kv_heads: Heads of keys and values.
        grows: Whether the present is the past and the new rows; else only the run tells how long it is.
    """
    query, key, value = (_shape(context, index) for index in range(3))
    if query is None or key is None or value is None:
        return
    past = _shape(context, 3) if _input_type(context, 3) is not None else (None, None, 0, None)
    size, rows = _size_and_rows(key, kv_heads)
    value_size, _ = _size_and_rows(value, kv_heads)
    present = _sum(past[2], rows) if grows and past is not None else None
    _set_output(context, 0, (*query[:2], heads * value_size if isinstance(value_size, int) else None))
    _set_output(context, 1, (query[0], kv_heads, present, size))
    _set_output(context, 2, (query[0], kv_heads, present, value_size))


def _size_and_rows(shape: Shape, heads: int) -> tuple[Dimension, Dimension]:
    """Return a head's size and the rows, of [batch, rows, heads * size] or [batch, heads, rows, size]."""
    if len(shape) == 4:
        return shape[3], shape[2]
    joined = shape[2]
    return joined // heads if isinstance(joined, int) else None, shape[1]


def _sum(first: Dimension, second: Dimension) -> Dimension:
    if first == 0:
        return second
    return first + second if isinstance(first, int) and isinstance(second, int) else None


def _input_type(context: Context, index: int) -> TypeProto | None:
    """Return the type of an input; None where it is absent, or nothing is known of it."""
    return context.get_input_type(index) if index < context.get_num_inputs() else None


def _element_type(context: Context, index: int) -> int:
    of_input = _input_type(context, index)
    return 0 if of_input is None else int(of_input.tensor_type.elem_type)


def _shape(context: Context, index: int) -> list[Dimension] | None:
    of_input = _input_type(context, index)
    if of_input is None or not of_input.tensor_type.HasField("shape"):
        return None
    dimensions = of_input.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dimensions]


def _int(context: Context, name: str) -> int:
    return int(context.get_attribute(name).i)


def _set_output(context: Context, index: int, shape: Shape | None) -> None:
    """Set an output, if the node has it, to the first input's element type."""
    if index < context.get_num_outputs() and _element_type(context, 0):
        context.set_output_type(index, onnx.helper.make_tensor_type_proto(_element_type(context, 0), shape))


_RULES: Mapping[str, Inference] = {
    "LbaMatMulNBits": _block_quantized,
    "LbaMultiHeadAttention": _multi_head_attention,
    "LbaGroupQueryAttention": _group_query_attention,
}
