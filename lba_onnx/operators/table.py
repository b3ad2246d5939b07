"""The table of operators; all that converts, observes or reports finds them here."""

from lba_onnx.operators.schema import (
    BIAS_START,
    MICROSOFT,
    AttributeSchema,
    OperatorSchema,
    Product,
    standard_domain,
)

_GEMM_ATTRIBUTES = (
    AttributeSchema("alpha", "float", 1.0),
    AttributeSchema("beta", "float", 1.0),
    AttributeSchema("transA", "int", 0),
    AttributeSchema("transB", "int", 0),
)
_CONV_ATTRIBUTES = (
    AttributeSchema("auto_pad", "string", "NOTSET"),
    AttributeSchema("dilations", "ints"),
    AttributeSchema("group", "int", 1),
    AttributeSchema("kernel_shape", "ints"),
    AttributeSchema("pads", "ints"),
    AttributeSchema("strides", "ints"),
)
_NBITS_ATTRIBUTES = (
    AttributeSchema("K", "int", is_required=True),
    AttributeSchema("N", "int", is_required=True),
    AttributeSchema("bits", "int", 4),
    AttributeSchema("block_size", "int", is_required=True),
    AttributeSchema("accuracy_level", "int", 0),
)
_NBITS = ("A", "B", "scales", "zero_points", "g_idx")
_QGEMM_ATTRIBUTES = tuple(attribute for attribute in _GEMM_ATTRIBUTES if attribute.name != "beta")
_X = ("x", "x_scale", "x_zero_point")
_A = ("a", "a_scale", "a_zero_point")
_B = ("b", "b_scale", "b_zero_point")
_Y = ("y_scale", "y_zero_point")
_QUANTIZED = ("T1", "float32", "T1", "T2", "float32", "T2")
_FLOAT_OPERATORS = (
    OperatorSchema("LbaMatMul", "MatMul", ("A", "B"), 2, ("Y",)),
    OperatorSchema("LbaGemm", "Gemm", ("A", "B", "C"), 2, ("Y",), _GEMM_ATTRIBUTES, (BIAS_START,)),
    OperatorSchema("LbaConv", "Conv", ("X", "W", "B"), 2, ("Y",), _CONV_ATTRIBUTES, (BIAS_START,)),
    OperatorSchema(
        "LbaMatMulNBits",
        "MatMulNBits",
        _NBITS,
        3,
        ("Y",),
        _NBITS_ATTRIBUTES,
        replaced_domain=MICROSOFT,
        types=("T", "uint8", "T", "T5", "int32", "T"),
        replaced_inputs=(*_NBITS, "bias"),
    ),
)
_QK_AND_PV = (Product("qk", (0, 1)), Product("pv", (2,)))
_PAST = ("past_key", "past_value")
_PRESENT = ("present_key", "present_value")
_ATTENTION_OPERATORS = (
    OperatorSchema(
        "LbaMultiHeadAttention",
        "MultiHeadAttention",
        ("query", "key", "value", *_PAST, "attention_bias"),
        3,
        ("output", *_PRESENT),
        (
            AttributeSchema("num_heads", "int", is_required=True),
            AttributeSchema("scale", "float"),
            AttributeSchema("unidirectional", "int", 0),
        ),
        products=_QK_AND_PV,
        replaced_domain=MICROSOFT,
        types=("T",) * 9,
        replaced_inputs=("query", "key", "value", "bias", "key_padding_mask", "attention_bias", *_PAST),
    ),
    OperatorSchema(
        "LbaGroupQueryAttention",
        "GroupQueryAttention",
        ("query", "key", "value", *_PAST, "seqlens_k", "total_sequence_length", "head_sink", "attention_bias"),
        7,
        ("output", *_PRESENT, "output_qk"),
        (
            AttributeSchema("num_heads", "int", is_required=True),
            AttributeSchema("kv_num_heads", "int", is_required=True),
            AttributeSchema("scale", "float"),
            AttributeSchema("softcap", "float", 0.0),
            AttributeSchema("local_window_size", "int", -1),
            AttributeSchema("causal", "int", 1),
            AttributeSchema("qk_output", "int", 1, of_output="output_qk"),
        ),
        products=_QK_AND_PV,
        replaced_domain=MICROSOFT,
        types=("T",) * 5 + ("int32",) * 2 + ("T",) * 6,
        replaced_inputs=(
            *("query", "key", "value", *_PAST, "seqlens_k", "total_sequence_length"),
            *("cos_cache", "sin_cache", "position_ids", "attention_bias", "head_sink"),
        ),
    ),
    OperatorSchema(
        "LbaAttention",
        "Attention",
        ("Q", "K", "V", *_PAST, "attn_mask"),
        3,
        ("Y", *_PRESENT, "qk_matmul_output"),
        (
            AttributeSchema("q_num_heads", "int"),
            AttributeSchema("kv_num_heads", "int"),
            AttributeSchema("scale", "float"),
            AttributeSchema("softcap", "float", 0.0),
            AttributeSchema("is_causal", "int", 0),
            AttributeSchema("qk_matmul_output_mode", "int", 0),
        ),
        products=_QK_AND_PV,
        types=("T",) * 10,
        replaced_inputs=("Q", "K", "V", "attn_mask", *_PAST, "nonpad_kv_seqlen"),
    ),
)
_INTEGER_OPERATORS = (
    OperatorSchema(
        "LbaQLinearConv",
        "QLinearConv",
        (*_X, "w", "w_scale", "w_zero_point", *_Y, "B"),
        8,
        ("y",),
        _CONV_ATTRIBUTES,
        products=(Product(inputs=(0, 3)),),
        types=(*_QUANTIZED, "float32", "T3", "int32", "T3"),
    ),
    OperatorSchema(
        "LbaQLinearMatMul",
        "QLinearMatMul",
        (*_A, *_B, *_Y),
        8,
        ("y",),
        products=(Product(inputs=(0, 3)),),
        types=(*_QUANTIZED, "float32", "T3", "T3"),
    ),
    OperatorSchema(
        "LbaQGemm",
        "QGemm",
        ("A", "a_scale", "a_zero_point", "B", "b_scale", "b_zero_point", "C", *_Y),
        6,
        ("Y",),
        _QGEMM_ATTRIBUTES,
        products=(Product(inputs=(0, 3)),),
        replaced_domain=MICROSOFT,
        types=(*_QUANTIZED, "int32", "float32", "T3", "T4"),
    ),
    OperatorSchema(
        "LbaConvInteger",
        "ConvInteger",
        ("x", "w", "x_zero_point", "w_zero_point"),
        2,
        ("y",),
        _CONV_ATTRIBUTES,
        types=("T1", "T2", "T1", "T2", "int32"),
    ),
    OperatorSchema(
        "LbaMatMulInteger",
        "MatMulInteger",
        ("A", "B", "a_zero_point", "b_zero_point"),
        2,
        ("Y",),
        types=("T1", "T2", "T1", "T2", "int32"),
    ),
    OperatorSchema(
        "LbaMatMulIntegerToFloat",
        "MatMulIntegerToFloat",
        ("A", "B", "a_scale", "b_scale", "a_zero_point", "b_zero_point", "bias"),
        4,
        ("Y",),
        replaced_domain=MICROSOFT,
        types=("T1", "T2", "float32", "float32", "T1", "T2", "float32", "float32"),
    ),
    OperatorSchema(
        "LbaConvIntegerToFloat",
        "",
        ("x", "w", "x_scale", "w_scale", "x_zero_point", "w_zero_point", "bias"),
        4,
        ("y",),
        _CONV_ATTRIBUTES,
        types=("T1", "T2", "float32", "float32", "T1", "T2", "float32", "float32"),
    ),
)
OPERATORS: dict[str, OperatorSchema] = {
    schema.op_type: schema for schema in (*_FLOAT_OPERATORS, *_ATTENTION_OPERATORS, *_INTEGER_OPERATORS)
}
"""The operators by name."""


DYNAMIC_MATMUL = "DynamicQuantizeMatMul"
"""Of com.microsoft: what becomes DynamicQuantizeLinear and LbaMatMulIntegerToFloat."""

_DYNAMIC_MATMUL_TWIN = "LbaMatMulIntegerToFloat"


def twin_of(domain: str, op_type: str) -> OperatorSchema | None:
    """Return the operator of this domain that stands for another one, or None."""
    domain = standard_domain(domain)
    if (domain, op_type) == (MICROSOFT, DYNAMIC_MATMUL):
        return OPERATORS[_DYNAMIC_MATMUL_TWIN]
    for schema in OPERATORS.values():
        if schema.replaces and (schema.replaced_domain, schema.replaces) == (domain, op_type):
            return schema
    return None
