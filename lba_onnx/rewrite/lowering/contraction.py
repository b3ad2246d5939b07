"""One step of an Einsum: two operands multiplied, and summed over what they share.

"bsd,dhk->bshk"     left  [b, s, d]                                MatMul(left, right) [b, s, h k]
                    right [d, h, k]  ->  Reshape [d, h k]          ->  Reshape [b, s, h, k]

The left operand becomes [its own axes, shared axes, the last own axis, sum], the right one [shared axes, sum, its own
axes as one]; MatMul repeats the right one over the left one's own axes. A summed axis that may have the size 1 in one
operand alone is repeated before, as often as the run tells. Axes that are merged keep the order of the
equation's first operand.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lba_onnx.rewrite.lowering.equations import Equation
from lba_onnx.rewrite.lowering.maker import Maker

_FIRST_OPSET_WITH_AXES_INPUT = 13  # of ReduceSum


@dataclass(frozen=True)
class Operand:
    """A value whose axes have labels.

    Attributes:
        name: The value.
        labels: One for each axis.
        sizes: What is known of the axes' sizes.
    """

    name: str
    labels: tuple[str, ...]
    sizes: dict[str, int | None]


@dataclass(frozen=True)
class Contraction:
    """Adds the nodes of one step; the last one writes the output.

    Attributes:
        maker: Where the nodes go.
        opset: The version of the default domain.
        output: The name of the result; "" for a fresh one.
    """

    maker: Maker
    opset: int
    output: str = ""

    def multiply(self, left: Operand, right: Operand, result: Sequence[str]) -> str:
        """Multiply elements, without a sum; return the result's name."""
        left, right = (self._without(side, [*other.labels, *result]) for side, other in ((left, right), (right, left)))
        operands = [self._aligned(side, result) for side in (left, right)]
        return self.maker.add("Mul", operands, output=self.output)

    def contract(self, equation: Equation, left: Operand, right: Operand, product: str) -> str:
        """Multiply and sum by a MatMul, whose operands may stand in the other order; return the result's name."""
        summed, result = equation.summed, equation.result
        left, right = (self._without(side, [*other.labels, *result]) for side, other in ((left, right), (right, left)))
        shared = [label for label in result if label in left.labels and label in right.labels]
        own = [label for label in result if label in left.labels and label not in right.labels]
        columns = [label for label in result if label in right.labels and label not in left.labels]
        row, repeated = own[-1:], own[:-1]
        leading = [*repeated, *shared]
        a = self._left(left, [*leading, *row], summed, bool(row))
        b = self._right(right, shared, summed, columns)
        made = [*leading, *row, *columns]
        is_matrix = bool(row) and len(columns) == 1
        is_done = is_matrix and made == list(result)
        y = self.maker.add("MatMul", [a, b], output=self.output if is_done else "", product=product)
        if not is_matrix:
            sizes = self._sizes(right, columns)
            steps = [*self._copied([*leading, *row]), *sizes]
            y = self._reshape(y, steps, self.output if made == list(result) else "")
        return y if made == list(result) else self._transpose(y, made, result, self.output)

    def as_long(self, side: Operand, other: Operand, summed: Sequence[str]) -> Operand:
        """Return an operand whose summed axes are as long as the other one's; those of size 1 are repeated."""
        short = [label for label in summed if _may_be_shorter(side.sizes.get(label), other.sizes.get(label))]
        if not short:
            return side
        longer = {label: self._size(other, label) for label in short}
        shape = self._shape([longer.get(label, 1) for label in side.labels])
        known = {label: size if isinstance(size, int) else None for label, size in longer.items()}
        return Operand(self.maker.add("Expand", [side.name, shape]), side.labels, {**side.sizes, **known})

    def _left(self, side: Operand, kept: Sequence[str], summed: Sequence[str], has_row: bool) -> str:
        name = self._transpose(side.name, side.labels, [*kept, *summed])
        if has_row and len(summed) == 1:
            return name
        return self._reshape(name, [*self._copied(kept), *([] if has_row else [1]), _joined(side, summed)])

    def _right(self, side: Operand, shared: Sequence[str], summed: Sequence[str], columns: Sequence[str]) -> str:
        name, labels = side.name, list(side.labels)
        depth = list(summed)
        if len(summed) > 1:
            name = self._transpose(name, labels, [*shared, *columns, *summed])
            name = self._reshape(name, [*self._copied([*shared, *columns]), _joined(side, summed)])
            depth, labels = ["sum"], [*shared, *columns, "sum"]
        name = self._transpose(name, labels, [*shared, *depth, *columns])
        if len(columns) == 1:
            return name
        return self._reshape(name, [*self._copied([*shared, *depth]), _joined(side, columns)])

    def _sizes(self, side: Operand, columns: Sequence[str]) -> list[int | str]:
        """Return the sizes of axes, as numbers or as names of values; -1 for one of them."""
        if len(columns) < 2:
            return [_joined(side, [column]) for column in columns]
        unknown = [label for label in columns if side.sizes.get(label) is None]
        free = unknown[0] if unknown else None
        return [-1 if label == free else self._size(side, label) for label in columns]

    def _size(self, side: Operand, label: str) -> int | str:
        known = side.sizes.get(label)
        if known is not None:
            return known
        shape = self.maker.add("Shape", [side.name])
        return self.maker.add("Gather", [shape, self.maker.integers([side.labels.index(label)], "axis")])

    def _reshape(self, name: str, sizes: Sequence[int | str], output: str = "") -> str:
        return self.maker.add("Reshape", [name, self._shape(sizes)], output=output)

    def _shape(self, sizes: Sequence[int | str]) -> str:
        numbers = [size for size in sizes if isinstance(size, int)]
        if len(numbers) == len(sizes):
            return self.maker.integers(numbers, "shape")
        parts = [self.maker.integers([s], "size") if isinstance(s, int) else s for s in sizes]
        return self.maker.add("Concat", parts, axis=0)

    def _transpose(self, name: str, labels: Sequence[str], order: Sequence[str], output: str = "") -> str:
        if list(labels) == list(order):
            return name
        return self.maker.add("Transpose", [name], perm=[list(labels).index(label) for label in order], output=output)

    def _without(self, side: Operand, kept: Sequence[str]) -> Operand:
        """Sum an operand over the axes that only it has, and that the result lacks."""
        axes = [axis for axis, label in enumerate(side.labels) if label not in kept]
        if not axes:
            return side
        if self.opset < _FIRST_OPSET_WITH_AXES_INPUT:
            name = self.maker.add("ReduceSum", [side.name], axes=axes, keepdims=0)
        else:
            name = self.maker.add("ReduceSum", [side.name, self.maker.integers(axes, "axes")], keepdims=0)
        return Operand(name, tuple(label for label in side.labels if label in kept), side.sizes)

    def _aligned(self, side: Operand, result: Sequence[str]) -> str:
        """Return an operand with the result's axes, of size 1 where it has none of its own."""
        present = [label for label in result if label in side.labels]
        name = self._transpose(side.name, side.labels, present)
        missing = [axis for axis, label in enumerate(result) if label not in present]
        if not missing:
            return name
        if self.opset < _FIRST_OPSET_WITH_AXES_INPUT:
            return self.maker.add("Unsqueeze", [name], axes=missing)
        return self.maker.add("Unsqueeze", [name, self.maker.integers(missing, "axes")])

    @staticmethod
    def _copied(labels: Sequence[str]) -> list[int]:
        """Return sizes that Reshape takes from the same places of what it reshapes."""
        return [0] * len(labels)


def _joined(side: Operand, labels: Sequence[str]) -> int:
    """Return the size of axes that become one; -1 where it is not known, or zero: Reshape takes 0 for a copy."""
    sizes = [side.sizes.get(label) for label in labels]
    return math.prod(size for size in sizes if size) if all(sizes) else -1


def _may_be_shorter(size: int | None, other: int | None) -> bool:
    """Return whether an axis may have the size 1, and another one a larger one, as far as their sizes are known."""
    return size in (None, 1) and other != 1
