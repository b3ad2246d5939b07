"""The convolutions that the golden vectors try, and where the operands of their products lie."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Convolution:
    """Shapes and settings of one convolution."""

    x_shape: tuple[int, ...]
    w_shape: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int = 1

    @property
    def axes(self) -> int:
        """The number of spatial axes."""
        return len(self.strides)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """The shape of the result."""
        sizes = []
        for axis in range(self.axes):
            padded = self.x_shape[2 + axis] + self.pads[axis] + self.pads[self.axes + axis]
            extent = (self.w_shape[2 + axis] - 1) * self.dilations[axis] + 1
            sizes.append((padded - extent) // self.strides[axis] + 1)
        return (self.x_shape[0], self.w_shape[0], *sizes)

    def indices(self) -> Iterator[tuple[int, ...]]:
        """Yield the index of each output: image, output channel, and a place on each axis."""
        return itertools.product(*map(range, self.out_shape))

    def meetings(self, index: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int | None, int]]:
        """Yield what meets in each product of an output: channel and tap, where in x, and where in w.

        Over the padding it is nowhere in x, None.
        """
        image, out_channel, *place = index
        first_channel = out_channel // (self.w_shape[0] // self.group) * self.w_shape[1]
        for channel, *tap in itertools.product(*map(range, self.w_shape[1:])):
            source = [
                place[axis] * self.strides[axis] - self.pads[axis] + tap[axis] * self.dilations[axis]
                for axis in range(self.axes)
            ]
            is_inside = all(0 <= at < size for at, size in zip(source, self.x_shape[2:], strict=True))
            in_x = offset((image, first_channel + channel, *source), self.x_shape) if is_inside else None
            yield (channel, *tap), in_x, offset((out_channel, channel, *tap), self.w_shape)

    def pairs(self, x: Sequence[float], w: Sequence[float], index: tuple[int, ...]) -> Iterator[tuple[float, float]]:
        """Yield the operands of each product of an output; over the padding x is 0, and weights without end are."""
        for _, in_x, in_w in self.meetings(index):
            if in_x is not None:
                yield x[in_x], w[in_w]
            else:
                yield 0.0, w[in_w] if math.isfinite(w[in_w]) else 0.0

    def __str__(self) -> str:
        """Return the tokens from <axes> to the shape of the result."""
        numbers = (
            *self.x_shape,
            *self.w_shape,
            *self.strides,
            *self.pads,
            *self.dilations,
            self.group,
            *self.out_shape,
        )
        return " ".join(map(str, (self.axes, *numbers)))


def offset(index: Sequence[int], shape: Sequence[int]) -> int:
    """Return the row-major position of an index."""
    position = 0
    for i, size in zip(index, shape, strict=True):
        position = position * size + i
    return position


CONVOLUTIONS = (
    Convolution((1, 2, 9), (3, 2, 3), (1,), (0, 0), (1,)),
    Convolution((2, 4, 7), (2, 2, 3), (2,), (1, 2), (2,), group=2),
    Convolution((1, 3, 8), (6, 1, 4), (3,), (3, 0), (1,), group=3),
    Convolution((1, 2, 5, 4), (3, 2, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    Convolution((2, 3, 6, 5), (2, 3, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    Convolution((1, 4, 6, 5), (4, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), group=4),
    Convolution((1, 4, 7, 6), (4, 2, 2, 3), (2, 1), (0, 2, 1, 1), (1, 2), group=2),
    Convolution((1, 1, 7, 7), (2, 1, 3, 2), (3, 2), (2, 0, 0, 3), (2, 3)),
    Convolution((1, 5, 3, 3), (2, 5, 2, 2), (1, 1), (2, 2, 2, 2), (1, 1)),
    Convolution((1, 2, 3, 4, 3), (2, 2, 2, 3, 2), (1, 1, 1), (0, 1, 0, 1, 0, 1), (1, 1, 1)),
    Convolution((1, 2, 4, 4, 5), (2, 1, 2, 2, 2), (2, 1, 2), (1, 0, 0, 0, 1, 1), (1, 2, 1), group=2),
)
