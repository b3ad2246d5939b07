"""How a kernel moves over its input, and what meets at each step of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import ProductOrder
from lba_onnx.conv_sizes import output_sizes, span
from lba_onnx.integers import as_integer

_Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """How a kernel moves over its input; one entry a spatial axis, two for the margins."""

    strides: tuple[int, ...]
    margins: tuple[tuple[int, int], ...]
    dilations: tuple[int, ...]
    group: int
    out_size: tuple[int, ...]

    def taps(self, position: Sequence[int]) -> tuple[slice, ...]:
        """Return where in the padded input the outputs meet one position of the kernel."""
        starts = [p * dilation for p, dilation in zip(position, self.dilations, strict=True)]
        sizes = zip(starts, self.out_size, self.strides, strict=True)
        return tuple(slice(start, start + span(size, stride), stride) for start, size, stride in sizes)


def conv_operands(
    x: _Float64s, w: _Float64s, window: Window, order: ProductOrder = ProductOrder.NATURAL, padding: float = 0.0
) -> Iterator[tuple[_Float64s, _Float64s, NDArray[np.bool_]]]:
    """Yield for each k what meets there: input values, weights, and which values lie in the input, not in its padding.

    They broadcast to [batch, group, out_channels / group, *out_size].

    Args:
        x: [batch, channels, *size].
        w: [out_channels, channels / group, *kernel].
        window: How the kernel moves.
        order: In which order.
        padding: What the padding holds.
    """
    channels, kernel = w.shape[1], w.shape[2:]
    by_group = x.reshape(x.shape[0], window.group, channels, *x.shape[2:])
    padded = np.pad(by_group, ((0, 0), (0, 0), (0, 0), *window.margins), constant_values=padding)
    inside = np.pad(np.ones(x.shape[2:], dtype=bool), window.margins)
    for channel, *position in _places(channels, kernel, order):
        taps = window.taps(position)
        met = (slice(None), slice(None), slice(channel, channel + 1), *taps)
        used = (slice(None), channel, *position)
        weights = w[used].reshape(window.group, w.shape[0] // window.group, *(1 for _ in kernel))
        yield padded[met], weights, inside[taps]


def _places(channels: int, kernel: tuple[int, ...], order: ProductOrder) -> Iterator[Any]:
    """Yield the channel and the kernel position of each k."""
    if order is ProductOrder.NATURAL:
        yield from np.ndindex(channels, *kernel)  # the last axis fastest
    else:
        yield from ((place[-1], *place[:-1]) for place in np.ndindex(*kernel, channels))


def window_of(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    group: int,
) -> Window:
    """Return how the kernel moves, with what `conv` takes.

    Raises:
        TypeError: A setting is not made of integers.
        ValueError: Shapes or settings do not fit.
    """
    axes = len(x_shape) - 2
    if axes not in (1, 2, 3) or len(w_shape) != len(x_shape):
        raise ValueError(f"expected x and w with 1 to 3 spatial axes each, got shapes {x_shape} and {w_shape}")
    group = as_integer("group", group)
    if group < 1 or w_shape[0] % group or x_shape[1] != w_shape[1] * group:
        raise ValueError(f"expected channels that fit group={group}, got shapes {x_shape} and {w_shape}")
    strides = _per_axis("strides", strides, (1,) * axes, least=1)
    dilations = _per_axis("dilations", dilations, (1,) * axes, least=1)
    pads = _per_axis("pads", pads, (0,) * (2 * axes), least=0)
    begins, ends = pads[:axes], pads[axes:]
    out_size = output_sizes(x_shape[2:], w_shape[2:], strides, dilations, begins, ends)
    if out_size is None or min(w_shape[2:]) < 1:
        raise ValueError(f"expected a kernel that fits into the padded input, got shapes {x_shape} and {w_shape}")
    return Window(strides, tuple(zip(begins, ends, strict=True)), dilations, group, out_size)


def _per_axis(name: str, values: Sequence[int] | None, default: tuple[int, ...], least: int) -> tuple[int, ...]:
    if values is None:
        return default
    integers = tuple(as_integer(name, value) for value in values)
    if len(integers) != len(default) or min(integers) < least:
        raise ValueError(f"expected {len(default)} {name} of at least {least}, got {list(integers)}")
    return integers
