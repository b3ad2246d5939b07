"""Products with weights that are 4-bit floating-point numbers, as the package bitsandbytes packs them.

y = MatMulBnb4(a, codes, largest)   ->  weights = Gather(table, codes) in blocks, times the largest magnitude of each
                                        y = MatMul(a, Transpose(weights))

The codes stay in the file; onnxruntime computes the weights once, at session creation. Blocks run through the columns
one after the other, and the last one may be short.
"""

import numpy as np
import onnx

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_FP4_MAGNITUDES = (0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
_NF4_VALUES = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_TABLES = {0: (*_FP4_MAGNITUDES, *(-value for value in _FP4_MAGNITUDES)), 1: _NF4_VALUES}
_SIZES = ("K", "N", "block_size")


def matmul_bnb4(source: Source, maker: Maker) -> None:
    """Take apart MatMulBnb4 of com.microsoft."""
    sizes = [source.attributes.get(name, 0) for name in _SIZES]
    table = _TABLES.get(source.attributes.get("quant_type", -1))
    if table is None or min(sizes) < 1:
        raise Refused("expected the attributes K, N and block_size, and a quant_type of 0 or 1")
    depth, columns, block_size = sizes
    values = maker.add(
        "Gather", [maker.constant(np.asarray(table, source.dtype(0, 2)), "table"), _codes(source, maker)]
    )
    scaled = _scaled(source, maker, values, depth * columns, block_size)
    weights = maker.add("Reshape", [scaled, maker.integers([columns, depth], "shape")])
    if source.attributes.get("transB", 1):
        weights = maker.add("Transpose", [weights], perm=[1, 0])
    maker.add("MatMul", [source.input(0), weights], output=source.output(0), product="")


def _codes(source: Source, maker: Maker) -> str:
    """Return all codes as int32, in one dimension: of each byte first the high half, then the low one."""
    four, column = maker.constant(np.asarray(4, np.uint8), "four"), maker.integers([-1, 1], "column")
    high = maker.add("BitShift", [source.input(1), four], direction="RIGHT")
    low = maker.add("BitShift", [source.input(1), four], direction="LEFT")
    low = maker.add("BitShift", [low, four], direction="RIGHT")
    halves = [maker.add("Reshape", [half, column]) for half in (high, low)]
    pairs = maker.add("Concat", halves, axis=1)
    codes = maker.add("Reshape", [pairs, maker.integers([-1], "flat")])
    return maker.add("Cast", [codes], to=onnx.TensorProto.INT32)


def _scaled(source: Source, maker: Maker, values: str, count: int, block_size: int) -> str:
    """Return the first `count` values, each times the largest magnitude of its block, in one dimension."""
    blocks = -(-count // block_size)
    have = count + count % 2  # whole bytes
    if have != blocks * block_size:
        values = maker.add("Pad", [values, maker.integers([0, blocks * block_size - have], "padding")])
    rows = maker.add("Reshape", [values, maker.integers([blocks, block_size], "blocks")])
    largest = maker.add("Reshape", [source.input(2), maker.integers([blocks, 1], "largest")])
    flat = maker.add("Reshape", [maker.add("Mul", [rows, largest]), maker.integers([-1], "all")])
    if count == blocks * block_size:
        return flat
    return maker.add("Slice", [flat, maker.integers([0], "begin"), maker.integers([count], "end")])
