"""The slow, exact definition of what the operators compute. Every kernel gives these bits.

Here are products and convolutions in any accumulator. `lba_onnx.reference.gradients` is what trains through such sums,
`lba_onnx.reference.attention` two products and the softmax between them.
"""

from lba_onnx.arithmetic.chunked_float.definition import quantize
from lba_onnx.reference.products import conv, dot, fmaq, matmul, matmul_products

__all__ = ["conv", "dot", "fmaq", "matmul", "matmul_products", "quantize"]
