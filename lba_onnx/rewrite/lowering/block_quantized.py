"""Products with weights of few bits, in the form that their twin takes.

y = MatMulNBits(a, b, scales, , , bias)         ->  Add(MatMulNBits(a, b, scales), bias)
y = MatMulNBits(a, b, scales, , g_idx)          ->  MatMulNBits(a, b, scales, zero points of 2^(bits - 1), g_idx)
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.operators import MICROSOFT
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_ZERO_POINTS, _BLOCK_OF_DEPTH, _BIAS = 3, 4, 5
_PREPACKED = "weight_prepacked"
_LEVEL, _LEVELS = "accuracy_level", range(5)  # onnxruntime takes others for its default
_NATIVE_TYPES = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.UINT8}


def matmul_nbits(source: Source, maker: Maker) -> None:
    """Give MatMulNBits of com.microsoft inputs without holes; one that has none stays as it is."""
    attributes = dict(source.attributes)
    if attributes.pop(_PREPACKED, 0):
        raise Refused(f"its weights have a layout of CUDA kernels ({_PREPACKED})")
    if source.input(_ZERO_POINTS) and not source.site.input_types(_ZERO_POINTS) <= _NATIVE_TYPES:
        raise Refused("its zero points are neither codes nor of float32 or float16")
    inputs = list(source.node.input[:_BIAS])
    lacks_zero_points = bool(source.input(_BLOCK_OF_DEPTH)) and not source.input(_ZERO_POINTS)
    if lacks_zero_points:
        inputs[_ZERO_POINTS] = maker.constant(_middle_codes(source), "zero_points")
    while not inputs[-1]:
        inputs.pop()
    if attributes.get(_LEVEL, 0) not in _LEVELS:
        del attributes[_LEVEL]
    bias = source.input(_BIAS)
    if not bias and not lacks_zero_points and len(attributes) == len(source.attributes):
        return
    output = "" if bias else source.output(0)
    product = maker.add("MatMulNBits", inputs, output=output, product="", domain=MICROSOFT, **attributes)
    if bias:
        maker.add("Add", [product, bias], output=source.output(0))


def _middle_codes(source: Source) -> NDArray[np.uint8]:
    """Return packed zero points that say what stands where there are none."""
    depth, columns, block_size = (source.attributes.get(name) for name in ("K", "N", "block_size"))
    if not (depth and columns and block_size):
        raise Refused("expected attributes K, N and block_size")
    bits = source.attributes.get("bits", 4)
    byte = sum(1 << shift for shift in range(bits - 1, 8, bits))
    return np.full((columns, -(-(-(-depth // block_size) * bits) // 8)), byte, np.uint8)
