"""Reductions: sums and means over axes, and the sum of exponentials that Softmax divides by.

y = ReduceMean(x)          ->  MatMul with ones, Div by their number
y = Softmax(x)             ->  e = Exp(x - ReduceMax(x)); y = e / (MatMul of e with ones)
"""

from collections.abc import Sequence

from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.lowering.rule import Refused, Source
from lba_onnx.rewrite.lowering.sums import Sums, axes_from, expect_float32, known_sizes

_PRODUCT = "sum"
_FIRST_SPATIAL_AXIS = 2
_FIRST_OPSET_WITH_SOFTMAX_OF_ONE_AXIS = 13
_FIRST_OPSET_WITH_MAX_AXES_INPUT = 18


def reduce_sum(source: Source, maker: Maker) -> None:
    """Take apart ReduceSum."""
    sums, keeps_axes = _sums(source, maker), _keeps_axes(source)
    sums.total(source.input(0), _PRODUCT, keeps_axes=keeps_axes, output=source.output(0))


def reduce_mean(source: Source, maker: Maker) -> None:
    """Take apart ReduceMean."""
    sums, keeps_axes = _sums(source, maker), _keeps_axes(source)
    sums.mean(source.input(0), _PRODUCT, keeps_axes=keeps_axes, output=source.output(0))


def global_average_pool(source: Source, maker: Maker) -> None:
    """Take apart GlobalAveragePool: the mean over all spatial axes."""
    expect_float32(source)
    axes = range(_FIRST_SPATIAL_AXIS, len(known_sizes(source)))
    sums = Sums.of(source, maker, source.input(0), axes)
    sums.mean(source.input(0), _PRODUCT, output=source.output(0))


def softmax(source: Source, maker: Maker) -> None:
    """Take apart Softmax: over one axis, or below opset 13 over all from one on."""
    expect_float32(source)
    is_of_one_axis = source.site.opset >= _FIRST_OPSET_WITH_SOFTMAX_OF_ONE_AXIS
    axis = source.attributes.get("axis", -1 if is_of_one_axis else 1)
    sums = Sums.of(source, maker, source.input(0), [axis] if is_of_one_axis else axes_from(axis, source))
    greatest = _greatest(source, maker, sums.named_axes)
    powers = maker.add("Exp", [maker.add("Sub", [source.input(0), greatest])])
    maker.add("Div", [powers, sums.total(powers, _PRODUCT)], output=source.output(0))


def _greatest(source: Source, maker: Maker, axes: Sequence[int]) -> str:
    if source.site.opset < _FIRST_OPSET_WITH_MAX_AXES_INPUT:
        return maker.add("ReduceMax", [source.input(0)], axes=list(axes), keepdims=1)
    return maker.add("ReduceMax", [source.input(0), maker.integers(axes, "axes")], keepdims=1)


def _sums(source: Source, maker: Maker) -> Sums:
    expect_float32(source)
    axes = _axes(source)
    if not axes and source.attributes.get("noop_with_empty_axes", 0):
        raise Refused("sums nothing: it has no axes, and noop_with_empty_axes")
    return Sums.of(source, maker, source.input(0), axes or range(len(known_sizes(source))))


def _axes(source: Source) -> list[int]:
    """Return the axes of a reduction, an attribute or the second input; none for all."""
    if not source.input(1):
        return list(source.attributes.get("axes", ()))
    axes = source.constant(1)
    if axes is None:
        raise Refused("its axes are not constant")
    return [int(axis) for axis in axes.ravel()]


def _keeps_axes(source: Source) -> bool:
    return bool(source.attributes.get("keepdims", 1))
