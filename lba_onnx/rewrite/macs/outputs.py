"""What is known of a node's outputs: by onnx's inference, by rules for operators it does not know, by evaluation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import onnx

from lba_onnx import operators
from lba_onnx.operators import MICROSOFT, standard_domain
from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.macs.known import Known

ShapeRule: TypeAlias = "Callable[[Sequence[Known], Mapping[str, Any]], Sequence[Known]]"

_EVALUATED = frozenset(
    (
        *("Abs", "Add", "And", "Cast", "Ceil", "Div", "Equal", "Floor", "Greater", "GreaterOrEqual", "Identity"),
        *("Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Round", "Sqrt", "Sub", "Where"),
        *("Concat", "ConstantOfShape", "Expand", "Gather", "NonZero", "Range", "Reshape", "ScatterND", "Slice"),
        *("Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
        *("ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"),
    )
)
"""What sizes are computed with."""


def infer_outputs(node: onnx.NodeProto, inputs: Sequence[Known], opsets: Mapping[str, int]) -> list[Known]:
    """Return what is known of a node's outputs; nothing where inference fails.

    Args:
        node: A node without graphs, and none of this package's operators that replace others.
        inputs: What is known of its inputs.
        opsets: The operator sets that the node's model or function imports.
    """
    try:
        outputs = _infer(node, inputs, opsets)
    except Exception:  # operators without schema, invalid nodes, and whatever inference cannot digest
        outputs = []
    return [outputs[i] if i < len(outputs) else Known() for i in range(len(node.output))]


def _infer(node: onnx.NodeProto, inputs: Sequence[Known], opsets: Mapping[str, int]) -> Sequence[Known]:
    domain, op_type = standard_domain(node.domain), node.op_type
    if not domain and op_type == "Constant":
        return _constant(node)
    if not domain and op_type in ("Shape", "Size"):
        return _measured(node, inputs)
    if (domain, op_type) in _RULES:
        return _RULES[domain, op_type](inputs, own_attributes(node))
    if (domain, op_type) in _STAND_INS:
        return _by_stand_in(node, inputs, opsets, _STAND_INS[domain, op_type])
    return _evaluated(node, inputs, _by_schema(node, domain, op_type, inputs, opsets), opsets)


def _constant(node: onnx.NodeProto) -> list[Known]:
    for attribute in node.attribute:
        if attribute.name == "value":
            return [Known.of_tensor(attribute.t)]
        if attribute.name in ("value_int", "value_ints"):
            return [Known.of_array(np.asarray(onnx.helper.get_attribute_value(attribute), np.int64))]
        if attribute.name in ("value_float", "value_floats"):
            return [Known.of_array(np.asarray(onnx.helper.get_attribute_value(attribute), np.float32))]
    return []


def _measured(node: onnx.NodeProto, inputs: Sequence[Known]) -> list[Known]:
    """Return what a node that gives its input's shape, or a part of it, or the number of elements, gives."""
    shape = inputs[0].shape
    attributes = own_attributes(node)
    if shape is None:
        return [Known(onnx.TensorProto.INT64)]
    if node.op_type == "Shape":
        shape = shape[attributes.get("start", 0) : attributes.get("end", len(shape))]
    if None in shape:
        return [Known(onnx.TensorProto.INT64, (len(shape),) if node.op_type == "Shape" else ())]
    sizes = np.asarray(shape, np.int64)
    return [Known.of_array(sizes if node.op_type == "Shape" else np.asarray(sizes.prod(), np.int64))]


def _by_stand_in(
    node: onnx.NodeProto, inputs: Sequence[Known], opsets: Mapping[str, int], stand_in: "_StandIn"
) -> list[Known]:
    """Return the shapes that another operator's outputs would have of floats, with the element type of these."""
    floats = [replace(known, element_type=onnx.TensorProto.FLOAT, data=None) for known in inputs[stand_in.inputs]]
    bare = onnx.NodeProto(input=node.input[stand_in.inputs], output=node.output, attribute=node.attribute)
    element_type = inputs[0].element_type if stand_in.gives_codes else onnx.TensorProto.FLOAT
    found = _by_schema(bare, "", stand_in.op_type, floats, opsets)
    return [replace(known, element_type=element_type) for known in found]


def _by_schema(
    node: onnx.NodeProto, domain: str, op_type: str, inputs: Sequence[Known], opsets: Mapping[str, int]
) -> list[Known]:
    """Return what onnx infers of a node as of one of some operator, whose attributes alone count."""
    named = {name: known for name, known in zip(node.input, inputs, strict=True) if name}
    data = {name: onnx.numpy_helper.from_array(k.data, name) for name, k in named.items() if k.data is not None}
    types = {name: known.type for name, known in named.items()}
    imports = [onnx.helper.make_opsetid(name, version) for name, version in opsets.items()]
    schema = _schema(op_type, opsets.get(domain, 1), domain)
    attributes = [attribute for attribute in node.attribute if attribute.name in schema.attributes]
    of_schema = onnx.NodeProto(op_type=op_type, input=node.input, output=node.output, attribute=attributes)
    found = onnx.shape_inference.infer_node_outputs(schema, of_schema, types, data, opset_imports=imports)
    return [Known.of_type(found[name]) if name in found else Known() for name in node.output]


@lru_cache(maxsize=1024)
def _schema(op_type: str, version: int, domain: str) -> Any:
    return onnx.defs.get_schema(op_type, version, domain)


def _evaluated(
    node: onnx.NodeProto, inputs: Sequence[Known], outputs: Sequence[Known], opsets: Mapping[str, int]
) -> Sequence[Known]:
    """Return what a node computes of constants, where that is of few elements."""
    data = [known.data for name, known in zip(node.input, inputs, strict=True) if name]
    if node.op_type not in _EVALUATED or standard_domain(node.domain) or any(array is None for array in data):
        return outputs
    if any(known.is_large for known in outputs):
        return outputs
    feeds = tuple((a.dtype.str, a.shape, a.tobytes()) for a in data if a is not None)
    bare = onnx.NodeProto(op_type=node.op_type, attribute=node.attribute)
    bare.input.extend(name and f"x{place}" for place, name in enumerate(node.input))
    bare.output.extend(f"y{place}" for place in range(len(node.output)))
    arrays = _evaluate(bare.SerializeToString(deterministic=True), feeds, opsets.get("", 1))
    return outputs if arrays is None else [Known.of_array(array) for array in arrays]


@lru_cache(maxsize=4096)
def _evaluate(node: bytes, feeds: tuple[tuple[str, tuple[int, ...], bytes], ...], opset: int) -> list[Any] | None:
    """Return the outputs of a node, or None; layers that are alike ask the same over and over."""
    from onnx.reference import ReferenceEvaluator

    proto = onnx.NodeProto.FromString(node)
    names = [name for name in proto.input if name]
    arrays = {
        name: np.frombuffer(values, dtype).reshape(shape)
        for name, (dtype, shape, values) in zip(names, feeds, strict=True)
    }
    graph = onnx.GraphProto(node=[proto])
    graph.input.extend(onnx.ValueInfoProto(name=name) for name in names)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in proto.output)
    model = onnx.ModelProto(graph=graph, ir_version=8, opset_import=[onnx.helper.make_opsetid("", opset)])
    try:
        return [np.asarray(array) for array in ReferenceEvaluator(model).run(None, arrays)]
    except Exception:  # a node that is not valid, or older than its evaluator
        return None


def _like_first(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    return [inputs[0].with_shape(inputs[0].shape)]


def _skip_normalization(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    same = inputs[0].with_shape(inputs[0].shape)
    return [same, Known(), Known(), same]


def _global_pool(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    shape = inputs[0].shape
    if shape is None:
        return [inputs[0].with_shape(None)]
    ones = (1,) * (len(shape) - 2)
    is_last = attributes.get("channels_last", 0)
    return [inputs[0].with_shape((shape[0], *ones, shape[-1]) if is_last else (*shape[:2], *ones))]


def _block_quantized(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    shape = inputs[0].shape
    return [inputs[0].with_shape(None if shape is None else (*shape[:-1], attributes["N"]))]


def _multi_head_attention(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    query, heads = inputs[0], attributes["num_heads"]
    value = inputs[2].shape if len(inputs) > 2 else None
    if query.shape is not None and len(query.shape) == 5:
        batch, length, _, _, size = query.shape
        return [query.with_shape((batch, length, None if size is None else heads * size))]
    if query.shape is None or value is None:
        return [query.with_shape(None)]
    width = value[-1] if len(value) == 3 or value[-1] is None else heads * value[-1]
    return [query.with_shape((*query.shape[:2], width))]


def _projected_attention(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    data, weights = inputs[0], inputs[1].shape
    sizes = attributes.get("qkv_hidden_sizes")
    columns = weights[-1] if weights else None
    width = sizes[2] if sizes else None if columns is None else columns // 3
    return [data.with_shape(None if data.shape is None else (*data.shape[:2], width))]


def _fused_matmul(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    a, b = inputs[0].shape, inputs[1].shape
    if a is None or b is None or len(a) != len(b) or len(a) < 2:
        return [inputs[0].with_shape(None)]
    if any(attributes.get(name) for name in ("transBatchA", "transBatchB")):
        return [inputs[0].with_shape([None] * len(a))]
    rows, columns = a[-1 if attributes.get("transA") else -2], b[-2 if attributes.get("transB") else -1]
    batch = [one if one == other else None for one, other in zip(a[:-2], b[:-2], strict=True)]
    return [inputs[0].with_shape((*batch, rows, columns))]


def _group_query_attention(inputs: Sequence[Known], attributes: Mapping[str, Any]) -> list[Known]:
    query, heads, key_heads = inputs[0], attributes["num_heads"], attributes["kv_num_heads"]
    if query.shape is None or None in query.shape:
        return [query.with_shape(None)]
    batch, length, width = query.shape
    is_packed = len(inputs) < 2 or not inputs[1].element_type
    size = (width or 0) // (heads + 2 * key_heads if is_packed else heads)
    past = inputs[3].shape if len(inputs) > 3 and inputs[3].element_type else (batch, key_heads, 0, size)
    cached = None if past is None or past[2] is None else past[2] + (length or 0)
    present = query.with_shape((batch, key_heads, cached, size))
    scores = query.with_shape((batch, heads, length, None))
    return [query.with_shape((batch, length, heads * size)), present, present, scores]


@dataclass(frozen=True)
class _StandIn:
    """An operator of ONNX's own whose outputs have the same shapes.

    Attributes:
        op_type: The operator.
        inputs: Which inputs it takes.
        gives_codes: Whether outputs are of the type of the first input; else they are float32.
    """

    op_type: str
    inputs: slice
    gives_codes: bool = False


_STAND_INS: Mapping[tuple[str, str], _StandIn] = {
    (MICROSOFT, "QLinearAdd"): _StandIn("Add", slice(0, 4, 3), True),
    (MICROSOFT, "QLinearMul"): _StandIn("Mul", slice(0, 4, 3), True),
    (MICROSOFT, "QLinearAveragePool"): _StandIn("AveragePool", slice(1), True),
    (MICROSOFT, "QLinearConcat"): _StandIn("Concat", slice(2, None, 3), True),
    (MICROSOFT, "QGemm"): _StandIn("Gemm", slice(0, 4, 3), True),
    (MICROSOFT, "FusedGemm"): _StandIn("Gemm", slice(2)),
    (MICROSOFT, "FusedConv"): _StandIn("Conv", slice(2)),
    (MICROSOFT, "MatMulIntegerToFloat"): _StandIn("MatMul", slice(2)),
    (MICROSOFT, "DynamicQuantizeMatMul"): _StandIn("MatMul", slice(2)),
    (MICROSOFT, "DynamicQuantizeLSTM"): _StandIn("LSTM", slice(3)),
    (operators.DOMAIN, "LbaConvIntegerToFloat"): _StandIn("Conv", slice(2)),
}
"""Operators that onnx does not know, by domain and type."""

_LIKE_FIRST = "BiasAdd BiasGelu FastGelu Gelu QuickGelu RotaryEmbedding QLinearLeakyRelu QLinearSigmoid"
_RULES: Mapping[tuple[str, str], ShapeRule] = {
    **{(MICROSOFT, op_type): _like_first for op_type in _LIKE_FIRST.split()},
    ("", "SimplifiedLayerNormalization"): _like_first,
    (MICROSOFT, "SkipLayerNormalization"): _skip_normalization,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): _skip_normalization,
    **{(MICROSOFT, op_type): _block_quantized for op_type in ("MatMulNBits", "MatMulBnb4", "MatMulFpQ4")},
    (MICROSOFT, "QLinearGlobalAveragePool"): _global_pool,
    (MICROSOFT, "Attention"): _projected_attention,
    (MICROSOFT, "FusedMatMul"): _fused_matmul,
    (MICROSOFT, "TransposeMatMul"): _fused_matmul,
    (MICROSOFT, "MultiHeadAttention"): _multi_head_attention,
    (MICROSOFT, "GroupQueryAttention"): _group_query_attention,
}
"""Of operators that onnx does not know, either, and for which none of its own stands in."""
