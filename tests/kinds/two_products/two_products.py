"""An operator for tests with two products, each with an accumulator of its own.

ai.test.TwoProducts(x, w1, w2) = MatMul(MatMul(x, w1), w2)      products "first" and "second", float32 between them
"""

from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

from lba_onnx import kernels, operators
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.operators import OperatorSchema, Product

TWO_PRODUCTS = OperatorSchema(
    "LbaTwoProducts",
    "TwoProducts",
    inputs=("X", "W1", "W2"),
    required_inputs=3,
    outputs=("Y",),
    products=(Product("first", (0, 1)), Product("second", (2,))),
    replaced_domain="ai.test",
)


class LbaTwoProducts(OpRun):
    op_domain = operators.DOMAIN

    def _run(self, x: Any, w1: Any, w2: Any, **attributes: Any) -> tuple[Any]:
        first, second = (from_attributes(attributes, product.name) for product in TWO_PRODUCTS.products)
        x, w1, w2 = (values.astype(np.float32) for values in (x, w1, w2))
        return (kernels.matmul(kernels.matmul(x, w1, first), w2, second).astype(x.dtype),)
