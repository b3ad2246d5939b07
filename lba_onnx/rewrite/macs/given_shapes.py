"""The shapes of a model's inputs: what the model fixes, what a caller gives, and what is left open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnx

from lba_onnx.rewrite.macs.known import Known

InputShapes: TypeAlias = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class GivenInputs:
    """What is known of a model's inputs.

    Attributes:
        values: By name.
        sizes: Sizes of the axes that the model names.
        has_batch: Whether a first axis has a size that nobody gave.
    """

    values: Mapping[str, Known]
    sizes: Mapping[str, int]
    has_batch: bool

    def declared(self, value: onnx.ValueInfoProto) -> Known:
        """Return what a model tells of a value, with the sizes of the axes that it names."""
        known = Known.of_type(value.type)
        if known.shape is None:
            return known
        axes = value.type.tensor_type.shape.dim
        sizes = zip(known.shape, axes, strict=True)
        return known.with_shape([self.sizes.get(axis.dim_param) if size is None else size for size, axis in sizes])


def give_inputs(model: onnx.ModelProto, shapes: InputShapes, batch: int) -> GivenInputs:
    """Return what is known of the inputs that a model has to be fed.

    Args:
        model: The model.
        shapes: Shapes of some of them, by name.
        batch: The size of first axes that nobody gives, in a model whose outputs leave an axis open, too.

    Raises:
        ValueError: There is no such input, or it does not take the shape.
    """
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initializers}
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ValueError(f"input_shapes: expected some of the inputs {', '.join(inputs)}, got {name!r}")
        _take_sizes(inputs[name], tuple(shape), sizes)
    given = dict(sizes)
    is_batched = all(map(_may_have_batch, model.graph.output))
    open_batch = {n: v for n, v in inputs.items() if is_batched and n not in shapes and _leaves_first_open(v, given)}
    sizes.update({axis: batch for v in open_batch.values() if (axis := _axes(v)[0].dim_param)})
    values = {}
    for name, value in inputs.items():
        known = GivenInputs({}, sizes, False).declared(value)
        if name in shapes:
            known = known.with_shape(shapes[name])
        elif name in open_batch and known.shape is not None:
            known = known.with_shape((batch, *known.shape[1:]))
        values[name] = known
    return GivenInputs(values, sizes, bool(open_batch))


def _axes(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def _leaves_first_open(value: onnx.ValueInfoProto, sizes: Mapping[str, int]) -> bool:
    first = next(iter(_axes(value)), None)
    return first is not None and not _is_fixed(first) and first.dim_param not in sizes


def _may_have_batch(output: onnx.ValueInfoProto) -> bool:
    """Return whether an output leaves an axis open, or has none: a batch that goes in comes out."""
    return not _axes(output) or not all(map(_is_fixed, _axes(output)))


def _is_fixed(axis: Any) -> bool:
    return bool(axis.HasField("dim_value") and axis.dim_value >= 0)


def _take_sizes(value: onnx.ValueInfoProto, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Note the sizes of an input's named axes; refuse what does not fit the model."""
    has_rank, axes = value.type.tensor_type.HasField("shape"), _axes(value)
    fixed = [axis.dim_value if _is_fixed(axis) else sizes.get(axis.dim_param) for axis in axes]
    fits = not has_rank or (len(axes) == len(shape) and all(e in (None, s) for e, s in zip(fixed, shape, strict=True)))
    if not fits:
        expected = "x".join("?" if size is None else str(size) for size in fixed) or "no axes"
        raise ValueError(
            f"input_shapes: expected {value.name!r} as {expected}, got {'x'.join(map(str, shape)) or 'no axes'}"
        )
    sizes.update({axis.dim_param: size for axis, size in zip(axes, shape, strict=False) if axis.dim_param})
