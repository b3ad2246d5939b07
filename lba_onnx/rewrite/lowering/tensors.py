"""Values while a node is taken apart: what is constant is computed at once, all else by nodes.

    take([[1, 2], [3, 4]], 0)   ->  [1, 2]
    take("w", 0)                ->  Gather(w, 0)

Operators whose form changed between opsets are written here for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Source

Value: TypeAlias = str | NDArray[Any]
"""The name of a value, or what a constant holds."""

_FIRST_OPSET_WITH_SPLIT_INPUT = 13
_FIRST_OPSET_WITH_AXES_INPUT = 13
_FIRST_OPSET_WITH_PAD_INPUT = 11
_FIRST_OPSET_WITH_SLICE_INPUTS = 10


@dataclass(frozen=True)
class Tensors:
    """Makes values of values, with the nodes of one graph.

    Attributes:
        maker: Adds nodes to it.
        source: The node that is taken apart.
    """

    maker: Maker
    source: Source

    @property
    def opset(self) -> int:
        """The version of the default domain there."""
        return self.source.site.opset

    def inner(self) -> "Tensors":
        """Return the same for a graph inside."""
        return Tensors(self.maker.inner(), self.source)

    def input(self, index: int) -> Value | None:
        """Return an input of the node that is taken apart; None where it is absent."""
        constant = self.source.constant(index)
        return (self.source.input(index) or None) if constant is None else constant

    def name(self, value: Value, hint: str) -> str:
        """Return the name of a value in the graph; a constant gets one."""
        return value if isinstance(value, str) else self.maker.constant(value, hint)

    def take(self, value: Value, indices: "int | NDArray[np.int64]", axis: int = 0) -> Value:
        """Return the parts of a value that indices select along an axis, as numpy.take does."""
        if not isinstance(value, str):
            return np.asarray(np.take(value, indices, axis))
        return self.maker.add("Gather", [value, self.maker.constant(np.asarray(indices), "indices")], axis=axis)

    def transpose(self, value: Value, *perm: int) -> Value:
        """Return a value with its axes in another order."""
        if not isinstance(value, str):
            return np.transpose(value, perm)
        return self.maker.add("Transpose", [value], perm=perm)

    def reshape(self, value: Value, shape: Sequence[int]) -> Value:
        """Return a value in another shape."""
        if not isinstance(value, str):
            return np.asarray(value.reshape(shape))
        return self.maker.add("Reshape", [value, self.maker.integers(shape, "shape")])

    def sum(self, first: Value, second: Value) -> Value:
        """Return the sum of two values."""
        if isinstance(first, str) or isinstance(second, str):
            return self.maker.add("Add", [self.name(first, "addend"), self.name(second, "addend")])
        return np.asarray(first + second)

    def concat(self, first: Value, second: Value) -> Value:
        """Return two values one behind the other."""
        if isinstance(first, str) or isinstance(second, str):
            return self.maker.add("Concat", [self.name(first, "part"), self.name(second, "part")], axis=0)
        return np.concatenate([first, second])

    def pad_behind(self, value: Value, counts: Sequence[int]) -> Value:
        """Return a value with zeros behind it along each axis."""
        if not any(counts):
            return value
        if not isinstance(value, str):
            return np.pad(value, [(0, count) for count in counts])
        pads = [0] * len(counts) + list(counts)
        if self.opset < _FIRST_OPSET_WITH_PAD_INPUT:
            return self.maker.add("Pad", [value], pads=pads)
        return self.maker.add("Pad", [value, self.maker.integers(pads, "pads")])

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Return the parts of a value along its last axis."""
        if self.opset < _FIRST_OPSET_WITH_SPLIT_INPUT:
            return self.maker.add_several("Split", [value], len(sizes), axis=-1, split=sizes)
        return self.maker.add_several("Split", [value, self.maker.integers(sizes, "sizes")], len(sizes), axis=-1)

    def unsqueeze(self, value: str, axis: int, output: str = "") -> str:
        """Return a value with an axis of one element more, under a name that may be given."""
        if self.opset < _FIRST_OPSET_WITH_AXES_INPUT:
            return self.maker.add("Unsqueeze", [value], output=output, axes=[axis])
        return self.maker.add("Unsqueeze", [value, self.maker.integers([axis], "axes")], output=output)

    def crop(self, value: str, first_axis: int, crops: Sequence[tuple[int, int]], output: str) -> str:
        """Return a value without so many elements at the begin and end of each axis from one on, under a given name."""
        axes = list(range(first_axis, first_axis + len(crops)))
        starts = [begin for begin, _ in crops]
        ends = [-end if end else np.iinfo(np.int64).max for _, end in crops]
        if self.opset < _FIRST_OPSET_WITH_SLICE_INPUTS:
            return self.maker.add("Slice", [value], output=output, axes=axes, starts=starts, ends=ends)
        limits = [self.maker.integers(numbers, "limits") for numbers in (starts, ends, axes)]
        return self.maker.add("Slice", [value, *limits], output=output)

    def float32(self, number: float, hint: str) -> str:
        """Return the name of a constant."""
        return self.maker.constant(np.asarray(number, np.float32), hint)

    def int32(self, number: int, hint: str) -> str:
        """Return the name of a constant."""
        return self.maker.constant(np.asarray(number, np.int32), hint)
