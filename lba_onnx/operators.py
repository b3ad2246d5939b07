"""The operators of domain `lba_onnx`: one table of what each is called, takes, replaces and multiplies.

An operator computes one product, or several with an accumulator each:

    LbaMatMul(A, B)                accumulator="M7E4b12/M7E4b10"
    an operator of two products    accumulator_qk="M7E4b12/M7E4b10", accumulator_pv="M10E5b15/M10E5b15"

    one of codes                   LbaQLinearConv(x, x_scale, x_zero_point, w, ...)    accumulator="int32-wrap"

docs/operators.md specifies them in words, `lba_onnx.ops` has their twins for onnx's reference evaluator, and
custom_ops/onnxruntime/ implements them for onnxruntime.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lba_onnx.arithmetic.accumulator import accumulator_attribute

DOMAIN = "lba_onnx"
VERSION = 1
ELEMENT_TYPES = ("float32", "float16")
CODE_TYPES = ("uint8", "int8")
"""What operators of integers multiply; the types of two operands may differ."""

TYPE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "T": ELEMENT_TYPES,
    **dict.fromkeys(("T1", "T2", "T3"), CODE_TYPES),
    "T4": (*CODE_TYPES, "float32"),
    "T5": ("uint8", *ELEMENT_TYPES),
}
"""Names that stand for one of several types, the same one wherever they occur in a node."""

_DEFAULT_DOMAIN = "ai.onnx"
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class AttributeSchema:
    """One attribute of an operator.

    Attributes:
        name: Its name.
        type: "int", "ints", "float" or "string".
        default: Its value when absent; None where that follows from the operands, or where it is required.
        is_required: Whether a node without it is an error.
        of_output: The optional output that it is about; the operator that it comes from wants both or neither.
    """

    name: str
    type: str
    default: int | float | str | None = None
    is_required: bool = False
    of_output: str = ""


_OF_THE_ONLY_PRODUCT = (
    AttributeSchema(accumulator_attribute(), "string", ""),
    AttributeSchema("product_format", "string", ""),
    AttributeSchema("accumulator_format", "string", ""),
    AttributeSchema("chunk_size", "int", 16),
    AttributeSchema("underflow", "int", 1),
)  # `accumulator`, or in its place the four that models of before have
_STATISTICS = AttributeSchema("statistics", "string", "")
BIAS_START = AttributeSchema("bias_start", "int", 0)
"""Of an operator with a bias: whether the accumulator starts from it, or it is added in float32 behind the sums."""

BIAS_INPUT = 2
"""The input that is the bias, of operators with one."""


@dataclass(frozen=True)
class Product:
    """One of the products that an operator computes.

    Attributes:
        name: Such as "qk"; "" for the only one of its operator.
        inputs: The inputs of the operator that it multiplies; only one of them where it computes the other itself.
    """

    name: str = ""
    inputs: tuple[int, ...] = (0, 1)

    @property
    def attributes(self) -> tuple[AttributeSchema, ...]:
        """The attributes that say which accumulator it has."""
        if not self.name:
            return _OF_THE_ONLY_PRODUCT
        return (AttributeSchema(accumulator_attribute(self.name), "string", is_required=True),)


@dataclass(frozen=True)
class OperatorSchema:
    """One operator.

    Attributes:
        op_type: Its name in the domain.
        replaces: The operator type that it stands for; "" where it stands for several nodes at once.
        inputs: Names of the inputs.
        required_inputs: How many of them must be there; the others are optional.
        outputs: Names of the outputs.
        own_attributes: Those of the operator that it replaces.
        start_attributes: Those that say what its sums start from.
        products: The products that it computes.
        replaced_domain: The domain of the operator that it stands for.
        types: The type of each input and of each output, or the variable that stands for it; "T" for all by default.
        required_outputs: How many of the outputs must be there; the others are optional.
        replaced_inputs: The inputs of the operator that it stands for, by the names that they have here; others are
            those that this operator does not have. None where both have the same.
    """

    op_type: str
    replaces: str
    inputs: tuple[str, ...]
    required_inputs: int
    outputs: tuple[str, ...]
    own_attributes: tuple[AttributeSchema, ...] = ()
    start_attributes: tuple[AttributeSchema, ...] = ()
    products: tuple[Product, ...] = (Product(),)
    replaced_domain: str = ""
    types: tuple[str, ...] = ()
    required_outputs: int = 1
    replaced_inputs: tuple[str, ...] | None = None

    @property
    def inputs_of_replaced(self) -> tuple[str, ...]:
        """The inputs of the operator that it stands for, in their order there."""
        return self.inputs if self.replaced_inputs is None else self.replaced_inputs

    @property
    def input_types(self) -> tuple[str, ...]:
        """The type, or variable, of each input."""
        return self.types[: len(self.inputs)] or ("T",) * len(self.inputs)

    @property
    def output_types(self) -> tuple[str, ...]:
        """The type, or variable, of each output."""
        return self.types[len(self.inputs) :] or ("T",) * len(self.outputs)

    @property
    def takes_codes(self) -> bool:
        """Whether it multiplies integers, with accumulators of integers."""
        return bool(self.types) and "T" not in self.types

    @property
    def attributes(self) -> tuple[AttributeSchema, ...]:
        """Those of the operator that it replaces, then those of the arithmetic."""
        return self.own_attributes + self.arithmetic_attributes

    @property
    def arithmetic_attributes(self) -> tuple[AttributeSchema, ...]:
        """The accumulators of its products, what sums start from, and the key of its statistics."""
        accumulators = (attribute for product in self.products for attribute in product.attributes)
        return (*accumulators, *self.start_attributes, _STATISTICS)


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
"""The operators by name; all that converts, observes or reports finds them here."""


DYNAMIC_MATMUL = "DynamicQuantizeMatMul"
"""Of com.microsoft: what becomes DynamicQuantizeLinear and LbaMatMulIntegerToFloat."""

_DYNAMIC_MATMUL_TWIN = "LbaMatMulIntegerToFloat"


LOWERED: tuple[tuple[str, str], ...] = (
    ("", "Einsum"),
    (MICROSOFT, "Attention"),
    (MICROSOFT, "QAttention"),
    ("", "LSTM"),
    (MICROSOFT, "DynamicQuantizeLSTM"),
    ("", "GRU"),
    ("", "RNN"),
    ("", "ConvTranspose"),
    (MICROSOFT, "FusedMatMul"),
    (MICROSOFT, "TransposeMatMul"),
    (MICROSOFT, "FusedGemm"),
    (MICROSOFT, "FusedConv"),
    (MICROSOFT, "NhwcConv"),
    (MICROSOFT, "NhwcFusedConv"),
    (MICROSOFT, "MatMulBnb4"),
    (MICROSOFT, "MatMulNBits"),  # only what its twin lacks; so are the following
    ("", "Attention"),
    (MICROSOFT, "MultiHeadAttention"),
    (MICROSOFT, "GroupQueryAttention"),
)
"""Domains and types of the operators that are taken apart: nodes that multiply and accumulate stand for them."""

LOWERED_ON_REQUEST: dict[str, tuple[tuple[str, str], ...]] = {
    "reductions": (
        *(("", op_type) for op_type in ("ReduceSum", "ReduceMean", "GlobalAveragePool", "AveragePool", "Softmax")),
        *(("", op_type) for op_type in ("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")),
        *((MICROSOFT, op_type) for op_type in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")),
    )
}
"""Groups of operators that only accumulate, by name; each is taken apart where it is asked for."""


def is_lowered(domain: str, op_type: str, groups: Iterable[str] = ()) -> bool:
    """Return whether an operator is taken apart (`rewrite.lowering`), by itself or for a group that is asked for."""
    key = standard_domain(domain), op_type
    return key in LOWERED or any(key in LOWERED_ON_REQUEST[group] for group in groups)


def standard_domain(domain: str) -> str:
    """Return a domain, and "" for ONNX's own however it is written."""
    return "" if domain == _DEFAULT_DOMAIN else domain


def op_types(groups: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the operator types that can be converted, such as "MatMul": those with a twin, and those taken apart."""
    twins = (schema.replaces for schema in OPERATORS.values() if schema.replaces)
    lowered = (*LOWERED, *(key for group in groups for key in LOWERED_ON_REQUEST[group]))
    return tuple(dict.fromkeys((*twins, DYNAMIC_MATMUL, *(op_type for _, op_type in lowered))))


def twin_of(domain: str, op_type: str) -> OperatorSchema | None:
    """Return the operator of this domain that stands for another one, or None."""
    domain = standard_domain(domain)
    if (domain, op_type) == (MICROSOFT, DYNAMIC_MATMUL):
        return OPERATORS[_DYNAMIC_MATMUL_TWIN]
    for schema in OPERATORS.values():
        if schema.replaces and (schema.replaced_domain, schema.replaces) == (domain, op_type):
            return schema
    return None
