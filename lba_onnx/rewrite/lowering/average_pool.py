"""Average pools: the sums of the windows as a depthwise Conv with ones, divided by how many elements each has.

y = AveragePool(x)     ->  Conv of each channel with ones; Div by a number, or by one for each window

Padding never adds to a sum. Where it does not count either, windows at the edges have fewer elements; how many follows
from the sizes of the input, which then must be known.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.sums import expect_float32, known_sizes

_MOST_SPATIAL_AXES = 3
_SIZE_UNKNOWN = "a spatial size of its input is not known, and its windows at the edges depend on it"


def average_pool(source: Source, maker: Maker) -> None:
    """Take apart AveragePool."""
    expect_float32(source)
    _, channels, *sizes = _sizes(source)
    windows = [_Window.of(source, axis, size) for axis, size in enumerate(sizes)]
    if channels is None:
        raise Refused("its number of channels is not known")
    counts = [window.counts(bool(source.attributes.get("count_include_pad", 0))) for window in windows]
    kernel = [window.kernel for window in windows]
    ones = maker.constant(np.ones((channels, 1, *kernel), np.float32), "ones")
    total = maker.add(
        "Conv",
        [source.input(0), ones],
        product="sum",
        group=channels,
        kernel_shape=kernel,
        strides=[window.stride for window in windows],
        dilations=[window.dilation for window in windows],
        pads=[*(window.begin for window in windows), *(window.end for window in windows)],
    )
    maker.add("Div", [total, maker.constant(_divisor(counts), "counts")], output=source.output(0))


def _sizes(source: Source) -> tuple[int | None, ...]:
    sizes = known_sizes(source)
    spatial = len(sizes) - 2
    if not 1 <= spatial <= _MOST_SPATIAL_AXES:
        raise Refused(f"a pool over {spatial} spatial axes; expected 1 to {_MOST_SPATIAL_AXES}")
    kernel = list(source.required("kernel_shape"))
    if len(kernel) != spatial or min(kernel, default=1) < 1:
        raise Refused(f"its kernel_shape is {kernel}, its input has {spatial} such axes")
    return sizes


def _divisor(counts: Sequence["int | NDArray[np.int64]"]) -> NDArray[np.float32]:
    """Return the numbers of elements of all windows from those along each axis; a single one where all are the same."""
    numbers = [count for count in counts if isinstance(count, int)]
    if len(numbers) == len(counts):
        return np.asarray(math.prod(numbers), np.float32)
    along = [np.atleast_1d(np.asarray(count)) for count in counts]
    return reduce(np.multiply.outer, along)[None, None].astype(np.float32)


@dataclass(frozen=True)
class _Window:
    """The windows along one axis.

    Attributes:
        size: The input's size, where it is known.
        kernel: Elements of a window.
        stride: From one window to the next.
        dilation: From one element of a window to the next.
        begin: Padding before the input.
        given_end: Padding behind it, as asked for.
        end: Padding behind it that the last window needs.
    """

    size: int | None
    kernel: int
    stride: int
    dilation: int
    begin: int
    given_end: int
    end: int

    @classmethod
    def of(cls, source: Source, axis: int, size: int | None) -> "_Window":
        """Return the windows that a node's attributes ask for."""
        kernel = int(source.required("kernel_shape")[axis])
        stride, dilation = _entry(source, "strides", axis), _entry(source, "dilations", axis)
        reach = (kernel - 1) * dilation + 1
        auto_pad = source.attributes.get("auto_pad", "NOTSET")
        ceils = bool(source.attributes.get("ceil_mode", 0)) and stride > 1
        if ceils and auto_pad != "NOTSET":
            raise Refused("has ceil_mode beside auto_pad, which ONNX and onnxruntime read differently")
        if auto_pad.startswith("SAME"):
            begin, end = _same_pads(size, stride, reach, is_upper=auto_pad == "SAME_UPPER")
            return cls(size, kernel, stride, dilation, begin, end, end)
        begin, end = (0, 0) if auto_pad == "VALID" else _pads(source, axis)
        more = 0
        if ceils:
            if size is None:
                raise Refused(_SIZE_UNKNOWN)
            more = -(size + begin + end - reach) % stride
            if size + begin + end + more - reach >= size + begin:
                raise Refused("its last window lies in the padding")
        return cls(size, kernel, stride, dilation, begin, end, end + more)

    def counts(self, includes_padding: bool) -> "int | NDArray[np.int64]":
        """Return how many elements windows have: one number, or where they differ one for each."""
        if includes_padding:
            if self.end > self.given_end:
                raise Refused("counts padding beside what ceil_mode adds, which releases of onnxruntime do differently")
            return self.kernel
        if not (self.begin or self.end):
            return self.kernel
        if self.size is None:
            raise Refused(_SIZE_UNKNOWN)
        last = self.size + self.begin + self.end - (self.kernel - 1) * self.dilation
        places = np.arange(0, last, self.stride)[:, None] + np.arange(self.kernel) * self.dilation - self.begin
        found: NDArray[np.int64] = np.sum((places >= 0) & (places < self.size), axis=1)
        if not found.all():
            raise Refused("a window of it lies in the padding")
        return found


def _entry(source: Source, name: str, axis: int) -> int:
    """Return an attribute's number for an axis; by default 1."""
    numbers = source.attributes.get(name)
    return int(numbers[axis]) if numbers else 1


def _pads(source: Source, axis: int) -> tuple[int, int]:
    pads = source.attributes.get("pads")
    return (int(pads[axis]), int(pads[axis + len(pads) // 2])) if pads else (0, 0)


def _same_pads(size: int | None, stride: int, reach: int, *, is_upper: bool) -> tuple[int, int]:
    """Return padding for as many windows as the input has strides; the odd element stands behind, or before."""
    if size is None:
        raise Refused(_SIZE_UNKNOWN)
    whole = max((-(-size // stride) - 1) * stride + reach - size, 0)
    less, more = whole // 2, whole - whole // 2
    return (less, more) if is_upper else (more, less)
