"""Sizes of a convolution along its spatial axes.

|<- pad ->|<------------- size ------------>|<- pad ->|
|<- span(kernel, dilation) ->|                             the first output
|<- span(kernel, dilation) ->|                   the second, `stride` further on
"""

from collections.abc import Iterable


def span(count: int, step: int) -> int:
    """Return how many positions there are from the first to the last of `count`, `step` apart."""
    return (count - 1) * step + 1


def covered_size(outputs: int, kernel: int, stride: int, dilation: int) -> int:
    """Return how many positions of the padded input there are from the first to the last that outputs look at."""
    return span(outputs, stride) + span(kernel, dilation) - 1


def same_outputs(size: int, stride: int) -> int:
    """Return the number of outputs where the padding is chosen for it: one for each `stride` inputs, the rest too."""
    return -(-size // stride)


def output_sizes(
    sizes: Iterable[int],
    kernel: Iterable[int],
    strides: Iterable[int],
    dilations: Iterable[int],
    pads_begin: Iterable[int],
    pads_end: Iterable[int],
) -> tuple[int, ...] | None:
    """Return the number of outputs along each axis; None where the kernel does not fit into the padded input.

    Args:
        sizes: Of the input; one an axis, like all.
        kernel: Sizes of the kernel.
        strides: From one output to the next.
        dilations: From one tap of the kernel to the next.
        pads_begin: Zeros before the input.
        pads_end: Zeros after it.
    """
    axes = zip(sizes, kernel, strides, dilations, pads_begin, pads_end, strict=True)
    rooms = [(size + begin + end - span(taps, step), stride) for size, taps, stride, step, begin, end in axes]
    if any(room < 0 for room, _ in rooms):
        return None
    return tuple(room // stride + 1 for room, stride in rooms)
