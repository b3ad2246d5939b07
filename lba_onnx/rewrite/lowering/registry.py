"""The operators that are taken apart, and the rule of each."""

from collections.abc import Mapping

from lba_onnx.operators import MICROSOFT
from lba_onnx.rewrite.lowering import fused_products
from lba_onnx.rewrite.lowering.rule import Rule

RULES: Mapping[tuple[str, str], Rule] = {
    (MICROSOFT, "FusedMatMul"): Rule(fused_products.fused_matmul, first_opset=7),
    (MICROSOFT, "FusedGemm"): Rule(fused_products.fused_gemm, first_opset=7),
}
