"""Sums over axes as MatMul with ones, which accumulates as any product does.

sum over axis 1 of x [a, b, c]     ->  Transpose [a, c, b]; MatMul with ones [b, 1]  [a, c, 1]; Squeeze  [a, c]
sum over axes 1, 2                 ->  Reshape [a, b c]; MatMul with ones [b c, 1]  [a, 1]; Squeeze  [a]

The ones are a constant where the sizes of the axes are known; else their number is computed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx

from lba_onnx.rewrite.code_types import type_name
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source

_FIRST_OPSET_WITH_CONSTANT_OF_SHAPE = 9
_FIRST_OPSET_WITH_AXES_INPUT = 13
_FIRST_OPSET_WITH_NEGATIVE_AXES = 11


def expect_float32(source: Source) -> None:
    """Refuse a node whose first input is not of float32.

    Raises:
        Refused: It is of another type, in which a whole sum may not fit, or of an unknown one.
    """
    found = source.element_type(0)
    if found != onnx.TensorProto.FLOAT:
        raise Refused(f"sums elements of {type_name(found)}; expected float32")


def known_sizes(source: Source) -> tuple[int | None, ...]:
    """Return the dimensions of the first input, as far as they are known.

    Raises:
        Refused: Their number is not known.
    """
    sizes = source.dimensions(0)
    if sizes is None:
        raise Refused("the number of dimensions of its input is not known")
    return sizes


def positive_axes(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from the first one, in their order.

    Raises:
        Refused: There are none, or one lies outside.
    """
    if any(not -rank <= axis < rank for axis in axes):
        raise Refused(f"its axes are {list(axes)}, its input has {rank} dimensions")
    if not axes:
        raise Refused("sums over no axis")
    return tuple(sorted({axis % rank for axis in axes}))


def axes_from(axis: int, source: Source) -> Sequence[int]:
    """Return all axes from one on.

    Raises:
        Refused: It lies outside, or the number of dimensions plays a part and is not known.
    """
    if axis == -1:
        return [axis]
    rank = len(known_sizes(source))
    (first,) = positive_axes([axis], rank)
    return range(first, rank)


@dataclass(frozen=True)
class Sums:
    """Sums over some axes of values of one shape.

    Attributes:
        maker: Gets the nodes.
        opset: The version of the default domain there.
        like: A value of that shape.
        sizes: What is known of the shape.
        axes: The axes, ascending and counted from the first one; at least one.
        shift: Added to axes in nodes: -1 of a last axis whose number is not known, and that stands for all dimensions.
    """

    maker: Maker
    opset: int
    like: str
    sizes: tuple[int | None, ...]
    axes: tuple[int, ...]
    shift: int = 0

    @classmethod
    def of(cls, source: Source, maker: Maker, like: str, axes: Sequence[int]) -> "Sums":
        """Return the sums over axes of values that have as many dimensions as the node's first input, and its sizes.

        Raises:
            Refused: There are no such axes, or more must be known of the dimensions.
        """
        is_last = list(axes) == [-1] and source.site.opset >= _FIRST_OPSET_WITH_NEGATIVE_AXES
        if is_last and source.dimensions(0) is None:
            return cls(maker, source.site.opset, like, (None,), (0,), shift=-1)
        sizes = known_sizes(source)
        return cls(maker, source.site.opset, like, sizes, positive_axes(axes, len(sizes)))

    def __post_init__(self) -> None:
        """Check that the ones can be had."""
        if self._number is None and self.opset < _FIRST_OPSET_WITH_CONSTANT_OF_SHAPE:
            raise Refused(
                f"sums a number of elements that is not known; expected a known one below opset "
                f"{_FIRST_OPSET_WITH_CONSTANT_OF_SHAPE}"
            )

    def total(self, value: str, product: str, *, keeps_axes: bool = True, output: str = "") -> str:
        """Return the sum of a value, under a name that may be given; the axes may stay, with the size 1."""
        is_placed = self._is_placed(keeps_axes)
        total = self._multiply(value, product, output if is_placed else "")
        return total if is_placed else self._place(total, keeps_axes, output)

    def mean(self, value: str, product: str, *, keeps_axes: bool = True, output: str = "") -> str:
        """Return the mean of a value: the sum, divided in float32 by the number of elements; of none it is zero."""
        is_placed = self._is_placed(keeps_axes)
        total = self._multiply(value, product)
        mean = self.maker.add("Div", [total, self._divisor], output=output if is_placed else "")
        return mean if is_placed else self._place(mean, keeps_axes, output)

    @property
    def named_axes(self) -> list[int]:
        """The axes as nodes take them."""
        return [axis + self.shift for axis in self.axes]

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        return tuple(axis for axis in range(len(self.sizes)) if axis not in self.axes)

    @cached_property
    def _number(self) -> int | None:
        """How many elements each sum has, where it is known."""
        known = [size for axis in self.axes if (size := self.sizes[axis]) is not None]
        return math.prod(known) if len(known) == len(self.axes) else None

    @cached_property
    def _counted(self) -> str:
        """The number as a value of one element, which nodes compute."""
        shape = self.maker.add("Shape", [self.like])
        sizes = self.maker.add("Gather", [shape, self.maker.integers(self.named_axes, "axes")])
        return sizes if len(self.axes) == 1 else self.maker.add("ReduceProd", [sizes], keepdims=1)

    @cached_property
    def _ones(self) -> str:
        if self._number is not None:
            return self.maker.constant(np.ones((self._number, 1), np.float32), "ones")
        shape = self.maker.add("Concat", [self._counted, self.maker.integers([1], "columns")], axis=0)
        one = onnx.numpy_helper.from_array(np.ones(1, np.float32))
        return self.maker.add("ConstantOfShape", [shape], value=one)

    @cached_property
    def _divisor(self) -> str:
        if self._number is not None:
            return self.maker.constant(np.asarray(max(self._number, 1), np.float32), "count")
        counted = self.maker.add("Cast", [self._counted], to=onnx.TensorProto.FLOAT)
        return self.maker.add("Max", [counted, self.maker.constant(np.asarray(1, np.float32), "least")])

    def _multiply(self, value: str, product: str, output: str = "") -> str:
        """Return the sums with the axes that are kept, and behind them one of a single element."""
        order = [*self._kept, *self.axes]
        if order != sorted(order):
            value = self.maker.add("Transpose", [value], perm=order)
        if len(self.axes) > 1:
            shape = [0] * len(self._kept) + [-1 if self._number is None else self._number]
            value = self.maker.add("Reshape", [value, self.maker.integers(shape, "shape")])
        return self.maker.add("MatMul", [value, self._ones], output=output, product=product)

    def _is_placed(self, keeps_axes: bool) -> bool:
        return keeps_axes and self.axes == (len(self.sizes) - 1,)

    def _place(self, total: str, keeps_axes: bool, output: str) -> str:
        """Return sums with the axes where they belong."""
        last = len(self._kept)
        if not keeps_axes:
            return self._change("Squeeze", total, [last + self.shift], output)
        if self.axes[0] == last:
            return self._change("Unsqueeze", total, self.axes[1:], output)
        return self._change("Unsqueeze", self._change("Squeeze", total, [last]), self.axes, output)

    def _change(self, op_type: str, value: str, axes: Sequence[int], output: str = "") -> str:
        if self.opset < _FIRST_OPSET_WITH_AXES_INPUT:
            return self.maker.add(op_type, [value], output=output, axes=list(axes))
        return self.maker.add(op_type, [value, self.maker.integers(axes, "axes")], output=output)
