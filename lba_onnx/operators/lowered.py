"""The operators that have no twin, and are taken apart into those that have (`lba_onnx.rewrite.lowering`)."""

from collections.abc import Iterable

from lba_onnx.operators.schema import MICROSOFT, standard_domain
from lba_onnx.operators.table import DYNAMIC_MATMUL, OPERATORS

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


def op_types(groups: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the operator types that can be converted, such as "MatMul": those with a twin, and those taken apart."""
    twins = (schema.replaces for schema in OPERATORS.values() if schema.replaces)
    lowered = (*LOWERED, *(key for group in groups for key in LOWERED_ON_REQUEST[group]))
    return tuple(dict.fromkeys((*twins, DYNAMIC_MATMUL, *(op_type for _, op_type in lowered))))
