"""Weights of few bits, as com.microsoft's MatMulNBits has them: what codes in blocks along the depth stand for.

    uint8 [columns, blocks, bytes]    the first code of a byte in its lowest bits
    weight                            float32(code - zero point) * scale
                                      code * scale - zero point * scale, where zero points are floats, or beside g_idx

Each operation is rounded to float32.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float32]
_Bytes = npt.NDArray[np.uint8]

ACCURACY_LEVEL_OF_CODES = 4
"""The accuracy_level at which the other operand is quantized, too."""

_LARGEST_CODE = np.float32(127)


def has_plain_blocks(zero_points: npt.NDArray[Any] | None, g_idx: npt.NDArray[Any] | None) -> bool:
    """Return whether blocks lie side by side, with zero points that are codes."""
    return g_idx is None and (zero_points is None or zero_points.dtype == np.uint8)


def dequantized_weights(
    codes: _Bytes,
    scales: npt.NDArray[Any],
    zero_points: npt.NDArray[Any] | None = None,
    g_idx: npt.NDArray[Any] | None = None,
    *,
    depth: int,
    bits: int,
    block_size: int,
) -> _Floats:
    """Return the weights, float32 [depth, columns].

    Args:
        codes: uint8 [columns, blocks, bytes].
        scales: float32 or float16 [columns, blocks], or flat.
        zero_points: uint8, packed as codes are, or of the type of scales; by default 2^(bits - 1).
        g_idx: int32, the block of each k, in place of k // block_size.
        depth: How many weights a column has.
        bits: Of a code: 2, 4 or 8.
        block_size: How many codes a block has.
    """
    columns = len(codes)
    unpacked = _unpacked(codes.reshape(columns, -1), bits)[:, :depth].astype(np.float32)
    blocks = -(-depth // block_size)
    block_of_depth = np.arange(depth) // block_size if g_idx is None else g_idx[:depth]
    scale = scales.reshape(columns, blocks).astype(np.float32)[:, block_of_depth]
    zero_point = _zero_points(zero_points, columns, blocks, bits)[:, block_of_depth]
    with np.errstate(all="ignore"):
        if has_plain_blocks(zero_points, g_idx):
            weights = (unpacked - zero_point) * scale
        else:
            weights = unpacked * scale - zero_point * scale
    return np.ascontiguousarray(weights.T)


def quantized_rows(values: _Floats, block_size: int) -> _Floats:
    """Return values as accuracy_level 4 sees them: codes of 8 bits for each block of the last axis, times its step.

    Args:
        values: float32, of any shape.
        block_size: How many values share a step.
    """
    rows: _Floats = values.copy()
    with np.errstate(all="ignore"):
        for begin in range(0, values.shape[-1], block_size):
            block = values[..., begin : begin + block_size]
            largest = np.abs(block).max(-1, keepdims=True)
            inverse = _LARGEST_CODE / largest
            codes = np.where(np.isinf(inverse), np.float32(0), np.rint(block * inverse) + np.float32(0))
            rows[..., begin : begin + block_size] = codes * (largest / _LARGEST_CODE)
    return rows


def _zero_points(zero_points: npt.NDArray[Any] | None, columns: int, blocks: int, bits: int) -> _Floats:
    if zero_points is None:
        return np.full((columns, blocks), 1 << (bits - 1), np.float32)
    if zero_points.dtype == np.uint8:
        zero_points = _unpacked(zero_points.reshape(columns, -1), bits)[:, :blocks]
    return zero_points.reshape(columns, blocks).astype(np.float32)


def _unpacked(packed: _Bytes, bits: int) -> _Bytes:
    """Return the codes in rows of bytes."""
    each = [(packed >> np.uint8(shift)) & np.uint8((1 << bits) - 1) for shift in range(0, 8, bits)]
    return np.stack(each, -1).reshape(len(packed), -1)
