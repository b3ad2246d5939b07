"""Products whose weights a DequantizeLinear makes of codes in blocks along the depth: the codes stay codes.

y = MatMul(a, DequantizeLinear(codes, scales, zero_points))    ->  y = MatMulNBits(a, packed codes, scales, zero points)
y = MatMul(a, Transpose(DequantizeLinear(...)))                ->  likewise
y = Gemm(a, DequantizeLinear(...), c)                          ->  Add(MatMulNBits(...), c)

Both multiply (code - zero point) * scale, rounded to float32. Codes of signed types are raised by half their range, and
so are the zero points.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.operators import BIAS_INPUT, MICROSOFT
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Source
from lba_onnx.rewrite.values import Values

_DOMAINS = ("", "ai.onnx", MICROSOFT)
_BITS = {
    onnx.TensorProto.INT4: 4,
    onnx.TensorProto.UINT4: 4,
    onnx.TensorProto.INT8: 8,
    onnx.TensorProto.UINT8: 8,
}
_SIGNED = (onnx.TensorProto.INT4, onnx.TensorProto.INT8)
_LEAST_BLOCK = 16
_DEFAULT_AXIS = 1
_PLAIN_GEMM = {"alpha": 1.0, "beta": 1.0, "transA": 0}


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Codes in blocks, one matrix of them.

    Attributes:
        codes: uint8 [depth, columns].
        scales: float32 [blocks, columns].
        zero_points: uint8 [blocks, columns].
        bits: Of a code.
        block_size: How many codes along the depth share a scale.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.uint8]
    bits: int
    block_size: int

    @property
    def transposed(self) -> "_Blocks":
        """The same with columns and depth exchanged."""
        return replace(self, codes=self.codes.T, scales=self.scales.T, zero_points=self.zero_points.T)

    @property
    def is_whole(self) -> bool:
        """Whether each block along the depth has a scale, and a zero point."""
        depth, columns = self.codes.shape
        blocks = -(-depth // self.block_size), columns
        return depth > 0 and columns > 0 and self.scales.shape == blocks == self.zero_points.shape


def is_blocked(node: onnx.NodeProto) -> bool:
    """Return whether a node dequantizes codes in blocks."""
    is_dequantizer = node.op_type == "DequantizeLinear" and node.domain in _DOMAINS
    return is_dequantizer and any(attribute.name == "block_size" and attribute.i for attribute in node.attribute)


def matmul(source: Source, maker: Maker) -> None:
    """Take the codes of a MatMul behind DequantizeLinear; others stay as they are."""
    found = _weights(source)
    if found is not None:
        _multiply(source, maker, found, source.output(0))


def gemm(source: Source, maker: Maker) -> None:
    """Take the codes of a Gemm behind DequantizeLinear that only adds its C; others stay as they are."""
    attributes = source.site.attributes()
    is_plain = all(attributes.get(name, value) == value for name, value in _PLAIN_GEMM.items())
    is_transposed = attributes.get("transB", 0)
    found = _weights(source, is_transposed=bool(is_transposed)) if is_plain and is_transposed is not None else None
    if found is None:
        return
    bias = source.input(BIAS_INPUT)
    product = _multiply(source, maker, found, "" if bias else source.output(0))
    if bias:
        maker.add("Add", [product, bias], output=source.output(0))


def _multiply(source: Source, maker: Maker, weights: _Blocks, output: str) -> str:
    depth, columns = weights.codes.shape
    inputs = [
        source.input(0),
        maker.constant(_packed_codes(weights), "codes"),
        maker.constant(weights.scales.T, "scales"),
    ]
    if np.any(weights.zero_points != 1 << (weights.bits - 1)):
        inputs.append(maker.constant(_packed(weights.zero_points, weights.bits), "zero_points"))
    sizes = {"K": depth, "N": columns, "bits": weights.bits, "block_size": weights.block_size}
    return maker.add("MatMulNBits", inputs, output=output, product="", domain=MICROSOFT, **sizes)


def _weights(source: Source, *, is_transposed: bool = False) -> _Blocks | None:
    """Return the codes that the second operand is made of, the depth first; None for what has no such form."""
    values, producer = source.values, _producer(source, source.site, 1)
    if producer is not None and producer.node.op_type == "Transpose":
        if tuple(producer.attributes().get("perm") or (1, 0)) != (1, 0):
            return None
        producer, is_transposed = _producer(source, producer, 0), not is_transposed
    if producer is None or not is_blocked(producer.node):
        return None
    found = _blocks(producer, values, 1 if is_transposed else 0)
    if found is None:
        return None
    found = found.transposed if is_transposed else found
    return found if found.is_whole else None


def _producer(source: Source, site: Site, index: int) -> Site | None:
    name = site.node.input[index] if len(site.node.input) > index else ""
    return source.values.producer(site, name) if name else None


def _blocks(site: Site, values: Values, axis: int) -> _Blocks | None:
    """Return what a DequantizeLinear reads, if its blocks lie along an axis of a matrix."""
    attributes, inputs = site.attributes(), [*site.node.input, ""]
    block_size, found_axis = attributes.get("block_size") or 0, attributes.get("axis", _DEFAULT_AXIS)
    codes, scales = (values.tensor(site, name) for name in inputs[:2])
    if codes is None or scales is None or found_axis not in (axis, axis - len(codes.dims)) or len(codes.dims) != 2:
        return None
    is_float32 = scales.data_type == onnx.TensorProto.FLOAT and not attributes.get("output_dtype", 0)
    is_power = block_size >= _LEAST_BLOCK and block_size & (block_size - 1) == 0
    if codes.data_type not in _BITS or not is_float32 or not is_power:
        return None
    read = [values.constant(site, name) for name in inputs[:2]]
    points = values.constant(site, inputs[2]) if inputs[2] else None
    if read[0] is None or read[1] is None or (inputs[2] and points is None):
        return None
    points = np.zeros(read[1].shape, np.int8) if points is None else points
    raised, zero_points = (_raised(array, codes.data_type) for array in (read[0], points))
    return _Blocks(raised, read[1], zero_points, _BITS[codes.data_type], block_size)


def _raised(codes: NDArray[Any], element_type: int) -> NDArray[np.uint8]:
    """Return codes as unsigned ones."""
    if element_type not in _SIGNED:
        return codes.astype(np.uint8)
    bits = _BITS[element_type]
    raised: NDArray[np.uint8] = (codes.astype(np.int8).view(np.uint8) + np.uint8(1 << (bits - 1))) & np.uint8(
        (1 << bits) - 1
    )
    return raised


def _packed_codes(weights: _Blocks) -> NDArray[np.uint8]:
    """Return codes as [columns, blocks, bytes], the last block filled up with zeros."""
    depth, columns = weights.codes.shape
    blocks = len(weights.scales)
    padded = np.pad(weights.codes, [(0, blocks * weights.block_size - depth), (0, 0)])
    return _packed(padded, weights.bits).reshape(columns, blocks, -1)


def _packed(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the codes of each column packed along the first axis, the first in a byte's lowest bits, columns first."""
    each = 8 // bits
    padded = np.pad(codes, [(0, -len(codes) % each), (0, 0)])
    packed = padded[::each].copy()
    for place in range(1, each):
        packed |= padded[place::each] << np.uint8(place * bits)
    return np.ascontiguousarray(packed.T)
