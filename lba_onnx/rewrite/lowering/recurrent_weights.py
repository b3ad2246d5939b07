"""The weights of a recurrent node's product, of floats or of codes.

floats    MatMul(x, weights)
codes     DynamicQuantizeMatMul(x, codes, scale, zero point), which quantizes x, all of its rows together
"""

from dataclasses import dataclass

import numpy as np

from lba_onnx.operators import DYNAMIC_MATMUL, MICROSOFT
from lba_onnx.rewrite.lowering.tensors import Tensors, Value


@dataclass(frozen=True, eq=False)
class Weights:
    """A matrix that a product multiplies by.

    Attributes:
        matrix: Its values, [depth, columns], or the codes that stand for them.
        scale: Of codes, one value or one a column; None where they are none.
        zero_point: Of codes; None for 0.
    """

    matrix: Value
    scale: Value | None = None
    zero_point: Value | None = None

    def columns(self, tensors: Tensors, begin: int, end: int) -> "Weights":
        """Return the weights of some columns; they are floats."""
        return Weights(tensors.take(self.matrix, np.arange(begin, end), 1))

    def multiply(self, tensors: Tensors, x: str, product: str, suffix: str) -> str:
        """Return the product of a value and the weights.

        Args:
            tensors: The graph that gets the node.
            x: The value.
            product: What the product is called in one direction.
            suffix: What stands behind the names of all products of a direction.
        """
        inputs, name = [x, tensors.name(self.matrix, product)], f"{product}{suffix}"
        if self.scale is None:
            return tensors.maker.add("MatMul", inputs, product=name)
        inputs.append(tensors.name(self.scale, f"{product}_scale"))
        if self.zero_point is not None:
            inputs.append(tensors.name(self.zero_point, f"{product}_zero_point"))
        return tensors.maker.add(DYNAMIC_MATMUL, inputs, product=name, domain=MICROSOFT)
