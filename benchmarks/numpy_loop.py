"""What emulation without a kernel looks like: NumPy, one k at a time over the whole result, in place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat


@dataclass(frozen=True)
class Width:
    """What the loop computes in.

    Attributes:
        float_type: float64 holds every product and sum of an M7E4 chain exactly. float32 is quicker, but rounds
            to nearest before the mask truncates, so that a few results are one unit in the last place off.
        bits_type: The unsigned integers of the same size.
        mantissa_bits: Stored ones.
    """

    float_type: type[np.floating[Any]]
    bits_type: type[np.unsignedinteger[Any]]
    mantissa_bits: int


EXACT = Width(np.float64, np.uint64, 52)
QUICK = Width(np.float32, np.uint32, 23)


def matmul(a: NDArray[np.float32], b: NDArray[np.float32], spec: AccumulatorSpec, width: Width) -> NDArray[Any]:
    """Product [rows, columns] of [rows, depth] and [depth, columns], with underflow; of CuPy arrays as well."""
    rows, depth = a.shape
    chunk = spec.chunk_size or depth
    a, b = a.astype(width.float_type), b.astype(width.float_type)
    product, partial_sum, total = (np.zeros_like(a, shape=(rows, b.shape[1])) for _ in range(3))
    for begin in range(0, depth, chunk):
        partial_sum.fill(0)
        for k in range(begin, min(begin + chunk, depth)):
            np.multiply(a[:, k : k + 1], b[k], out=product)
            _quantize(product, spec.product_format, width)
            np.add(partial_sum, product, out=partial_sum)
            _quantize(partial_sum, spec.accumulator_format, width)
        np.add(total, partial_sum, out=total)
        _quantize(total, spec.accumulator_format, width)
    return total


def _quantize(values: NDArray[Any], number_format: FloatFormat, width: Width) -> None:
    np.clip(values, -number_format.max_value, number_format.max_value, out=values)
    bits = values.view(width.bits_type)
    dropped = width.bits_type(2 ** (width.mantissa_bits - number_format.mantissa_bits) - 1)
    np.bitwise_and(bits, ~dropped, out=bits)
    np.multiply(values, np.abs(values) >= number_format.min_value, out=values)
