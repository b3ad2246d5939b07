"""ConvTranspose becomes one Conv with a filter for each phase of the outputs, whose results are interleaved.

With a stride of 2 and a kernel of four taps, y[j] is the sum of x[i] w[j - 2i]. Even and odd outputs meet other taps:

    x, w = [w0 w1 w2 w3]  ->  z = Conv(x padded, [[w2 w0], [w3 w1]])          even outputs, odd outputs
                              y = z[0,0] z[1,0] z[0,1] z[1,1] ...             without the padding of the ConvTranspose

A filter has as many taps as the phase that meets the most of them. In the others zeros stand for those that are not
there; so they do where strides and dilations have a common divisor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd, prod

import numpy as np
from numpy.typing import NDArray

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.tensors import Tensors, Value

_FIRST_OPSET_WITH_CHANNEL_FIRST_DEPTH_TO_SPACE = 11
_SPATIAL_AXES = 1, 2, 3
_NUMBERS_AN_AXIS = {"strides": 1, "dilations": 1, "output_padding": 1, "pads": 2}


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a ConvTranspose.

    Attributes:
        kernel: The number of taps.
        stride: How many outputs there are for an input.
        dilation: From one tap to the next.
        pad_begin: How many outputs are cut off at the begin.
        extra: How many outputs there are behind the one that the last input meets with its first tap.
    """

    kernel: int
    stride: int
    dilation: int
    pad_begin: int
    extra: int

    @property
    def taps(self) -> NDArray[np.int64]:
        """Which tap each phase has at each position of its filter; `kernel` for none: [phases, positions]."""
        found = np.full((self.stride, -self._lowest // self.step + 1), self.kernel)
        for tap in range(self.kernel):
            phase, offset = self._phase_and_offset(tap)
            found[phase, (offset - self._lowest) // self.step] = tap
        return found

    @property
    def step(self) -> int:
        """The dilation of the filters: from one of their positions to the next, in inputs."""
        return reduce(gcd, (self._phase_and_offset(tap)[1] for tap in range(self.kernel))) or 1

    @property
    def pads(self) -> tuple[int, int]:
        """How many zeros the Conv has in front of its inputs and behind them."""
        return -self._lowest - self._first, max(0, self.extra // self.stride)

    @property
    def crops(self) -> tuple[int, int]:
        """How many of the interleaved outputs are cut off at the begin and at the end."""
        return self.pad_begin - self.stride * self._first, self.stride * (self.pads[1] + 1) - 1 - self.extra

    @property
    def _first(self) -> int:
        """The first of the Conv's outputs, counted from the one whose last position meets the first input."""
        return min(self.pad_begin // self.stride, -self._lowest)

    @property
    def _lowest(self) -> int:
        return min(self._phase_and_offset(tap)[1] for tap in range(self.kernel))

    def _phase_and_offset(self, tap: int) -> tuple[int, int]:
        """Return which outputs meet a tap, and at which input, from that of the same number on."""
        phase = self.dilation * tap % self.stride
        return phase, (phase - self.dilation * tap) // self.stride


def conv_transpose(source: Source, maker: Maker) -> None:
    """Make the nodes of a ConvTranspose."""
    tensors = Tensors(maker, source)
    inputs, outputs, *kernel = _weight_dimensions(source)
    axes = _axes(source, kernel)
    group = source.attributes.get("group", 1)
    phases = prod(axis.stride for axis in axes)
    operands = [source.input(0), tensors.name(_filters(source, tensors, axes, inputs, outputs), "filters")]
    bias = tensors.input(2)
    if bias is not None:
        repeated = tensors.take(bias, np.repeat(np.arange(group * outputs), phases)) if phases > 1 else bias
        operands.append(tensors.name(repeated, "bias"))
    begins, ends = zip(*(axis.pads for axis in axes), strict=True)
    crops = [axis.crops for axis in axes]
    is_cropped = any(map(any, crops))
    results = iter([""] * ((phases > 1) + is_cropped) + [source.output(0)])
    y = maker.add(
        "Conv",
        operands,
        output=next(results),
        product="",
        group=group,
        dilations=[axis.step for axis in axes],
        kernel_shape=[axis.taps.shape[1] for axis in axes],
        pads=[*begins, *ends],
        strides=[1] * len(axes),
    )
    if phases > 1:
        y = _interleave(tensors, y, group * outputs, [axis.stride for axis in axes], next(results))
    if is_cropped:
        tensors.crop(y, 2, crops, next(results))


def _weight_dimensions(source: Source) -> list[int]:
    dimensions = source.dimensions(1)
    known = [size for size in dimensions or () if size is not None]
    if dimensions is None or len(known) != len(dimensions):
        raise Refused("the shape of its weights is not known")
    if len(known) - 2 not in _SPATIAL_AXES:
        raise Refused(f"it has {len(known) - 2} spatial axes; expected 1 to 3")
    group, bias = source.attributes.get("group", 1), source.dimensions(2)
    if group < 1 or known[0] % group or (bias or (None,))[0] not in (None, group * known[1]):
        raise Refused(f"expected weights {known} and a bias {bias} of {group} groups")
    return known


def _axes(source: Source, kernel: Sequence[int]) -> list[Axis]:
    attributes, count = source.attributes, len(kernel)
    for name, factor in _NUMBERS_AN_AXIS.items():
        given = attributes.get(name) or [1] * factor * count
        if len(given) != factor * count or min(given) < (name in ("strides", "dilations")):
            raise Refused(f"expected {factor * count} {name}, got {list(given)}")
    strides = attributes.get("strides") or [1] * count
    dilations = attributes.get("dilations") or [1] * count
    further = attributes.get("output_padding") or [0] * count
    # outputs behind the first tap of the last input, before any are cut off
    behind = [d * (k - 1) + more for d, k, more in zip(dilations, kernel, further, strict=True)]
    begins, ends = _pads(source, strides, behind)
    sizes = zip(kernel, strides, dilations, begins, behind, ends, strict=True)
    return [Axis(k, s, d, begin, extra - end) for k, s, d, begin, extra, end in sizes]


def _pads(source: Source, strides: Sequence[int], behind: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return how many outputs are cut off at the begins and at the ends; fewer than none where some are added."""
    attributes, count = source.attributes, len(strides)
    auto_pad = attributes.get("auto_pad", "NOTSET")
    if shape := attributes.get("output_shape"):
        wanted = zip(strides, _spatial_sizes(source, count), behind, shape[-count:], strict=True)
        totals = [(n - 1) * s + 1 + more - size for s, n, more, size in wanted]
        begins, ends = _distribute(totals, auto_pad)
        return begins, [end + min(0, total) for end, total in zip(ends, totals, strict=True)]
    if auto_pad.startswith("SAME"):  # as many outputs as inputs times the stride, if there are so many
        return _distribute([1 + more - s for s, more in zip(strides, behind, strict=True)], auto_pad)
    pads = (attributes.get("pads") if auto_pad == "NOTSET" else None) or [0] * 2 * count
    return list(pads[:count]), list(pads[count:])


def _spatial_sizes(source: Source, count: int) -> list[int]:
    sizes = [size for size in (source.dimensions(0) or ())[2:] if size is not None]
    if len(sizes) != count:
        raise Refused("it has an output_shape, and the spatial sizes of its input are not known")
    return sizes


def _distribute(totals: Sequence[int], auto_pad: str) -> tuple[list[int], list[int]]:
    """Split what is to be cut off, if anything; of an odd number the larger half is at the end for SAME_UPPER only."""
    smaller = [max(0, total) // 2 for total in totals]
    larger = [max(0, total) - half for total, half in zip(totals, smaller, strict=True)]
    return (smaller, larger) if auto_pad == "SAME_UPPER" else (larger, smaller)


def _filters(source: Source, tensors: Tensors, axes: Sequence[Axis], inputs: int, outputs: int) -> Value:
    """Return the weights [inputs, outputs of a group, *kernel] as those of the Conv."""
    weights, group, count = tensors.input(1), source.attributes.get("group", 1), len(axes)
    assert weights is not None
    taps = [axis.taps for axis in axes]
    missing = [int((found == axis.kernel).any()) for found, axis in zip(taps, axes, strict=True)]
    weights = tensors.pad_behind(weights, [0, 0, *missing])
    for number, found in enumerate(taps):  # [..., kernel, ...] becomes [..., phases, positions, ...]
        weights = tensors.take(weights, found, 2 + 2 * number)
    shape = [size for found in taps for size in found.shape]
    weights = tensors.reshape(weights, [group, inputs // group, outputs, *shape])
    phases, positions = range(3, 3 + 2 * count, 2), range(4, 4 + 2 * count, 2)
    weights = tensors.transpose(weights, 0, 2, *phases, 1, *positions)
    return tensors.reshape(weights, [group * outputs * prod(shape[::2]), inputs // group, *shape[1::2]])


def _interleave(tensors: Tensors, z: str, channels: int, strides: Sequence[int], output: str) -> str:
    """Return outputs [batch, channels * phases, *sizes] as [batch, channels, *(sizes * strides)]."""
    maker, count = tensors.maker, len(strides)
    if strides == [strides[0]] * 2 and tensors.opset >= _FIRST_OPSET_WITH_CHANNEL_FIRST_DEPTH_TO_SPACE:
        return maker.add("DepthToSpace", [z], output=output, blocksize=strides[0], mode="CRD")
    sizes = maker.add("Gather", [maker.add("Shape", [z]), maker.integers(range(2, 2 + count), "indices")])
    apart = maker.add("Concat", [maker.integers([0, channels, *strides], "phases"), sizes], axis=0)
    wide = maker.add("Mul", [sizes, maker.integers(strides, "strides")])
    together = maker.add("Concat", [maker.integers([0, channels], "channels"), wide], axis=0)
    perm = [0, 1, *(place for axis in range(count) for place in (2 + count + axis, 2 + axis))]
    moved = maker.add("Transpose", [maker.add("Reshape", [z, apart])], perm=perm)
    return maker.add("Reshape", [moved, together], output=output)
