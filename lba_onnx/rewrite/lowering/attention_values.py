"""Values that the rules of attention make: sizes of tensors, empty caches, rows split into parts, masks as biases."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import DTypeLike

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.twins import without_empty_tail


def size_of(maker: Maker, value: str, axis: int) -> str:
    """Return the name of one dimension of a value, an int64 tensor of one element."""
    return maker.add("Gather", [maker.add("Shape", [value]), maker.integers([axis], "axis")], axis=0)


def scalar(maker: Maker, value: str) -> str:
    """Return the name of the only element of a value, without dimensions."""
    return maker.add("Reshape", [value, maker.constant(np.zeros(0, np.int64), "scalar")])


def filled(maker: Maker, sizes: Sequence["str | int"], fill: float, dtype: DTypeLike) -> str:
    """Return the name of a tensor of one value.

    Args:
        maker: Makes the nodes.
        sizes: Its dimensions: numbers, or names of int64 tensors of one element.
        fill: The value.
        dtype: Its element type.
    """
    parts = [size if isinstance(size, str) else maker.integers([size], "size") for size in sizes]
    value = onnx.numpy_helper.from_array(np.full(1, fill, dtype))
    return maker.add("ConstantOfShape", [maker.add("Concat", parts, axis=0)], value=value)


def empty_cache(maker: Maker, value: str, heads: int | None, dtype: DTypeLike) -> str:
    """Return the name of a cache without rows, [batch, heads, 0, size], for keys or values.

    Args:
        maker: Makes the nodes.
        value: The keys or values.
        heads: How many heads they have joined, [batch, rows, heads * size]; None for [batch, heads, rows, size].
        dtype: Their element type.
    """
    if heads is None:
        return filled(
            maker, [size_of(maker, value, 0), size_of(maker, value, 1), 0, size_of(maker, value, 3)], 0, dtype
        )
    size = maker.add("Div", [size_of(maker, value, 2), maker.integers([heads], "heads")])
    return filled(maker, [size_of(maker, value, 0), heads, 0, size], 0, dtype)


def split(maker: Maker, value: str, sizes: Sequence[int], axis: int) -> list[str]:
    """Return the names of parts of a value along an axis."""
    return maker.add_several("Split", [value, maker.integers(sizes, "sizes")], len(sizes), axis=axis)


def unsqueezed(maker: Maker, value: str, axes: Sequence[int]) -> str:
    """Return the name of a value with axes of size 1."""
    return maker.add("Unsqueeze", [value, maker.integers(axes, "axes")])


def counting(maker: Maker, size: str) -> str:
    """Return the name of 0, 1, 2 and so on, as many as an int64 tensor of one element says."""
    return maker.add("Range", [maker.index(0), scalar(maker, size), maker.index(1)])


def where_else(maker: Maker, seen: str, hidden: float, dtype: DTypeLike) -> str:
    """Return the name of a bias: 0 where a mask is true, `hidden` elsewhere."""
    values = [maker.constant(np.asarray(value, dtype), "bias") for value in (0, hidden)]
    return maker.add("Where", [seen, *values])


def inputs_of(names: Sequence[str]) -> list[str]:
    """Return a node's inputs, without absent ones at the end."""
    return without_empty_tail(names)
