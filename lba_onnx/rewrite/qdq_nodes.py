"""The DequantizeLinear in front of an operand, and the QuantizeLinear behind a result, read.

codes, scale, zero_point -> DequantizeLinear -> operand          result -> QuantizeLinear -> codes
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from lba_onnx.operators import CODE_TYPES, MICROSOFT
from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.code_types import input_type, require_float32, type_name
from lba_onnx.rewrite.integer_forms import Input, Left, Transposed, Zero
from lba_onnx.rewrite.values import Values

_DOMAINS = ("", "ai.onnx", MICROSOFT)
_DEFAULT_AXIS = 1


@dataclass(frozen=True)
class Dequantized:
    """An operand as its DequantizeLinear reads it.

    Attributes:
        site: The DequantizeLinear.
        codes: The value that holds the codes.
        type: Their type, such as "uint8".
        scale: The value that holds the scales.
        zero_point: The value that holds the zero points, or a zero.
        axis: The axis of the operand that the scales go along; None for one scale.
        scales: What `scale` holds, where it is constant.
        transpose: The Transpose between it and the node, if there is one.
    """

    site: Site
    codes: str
    type: str
    scale: str
    zero_point: str | Zero
    axis: int | None
    scales: npt.NDArray[Any] | None
    transpose: Site | None = None

    @property
    def operand(self) -> Input:
        """What an operator of integers multiplies."""
        return self.codes if self.transpose is None else Transposed(self.codes, _perm(self.transpose))

    @property
    def sites(self) -> tuple[Site, ...]:
        """The nodes that an operator of integers does without."""
        return (self.site,) if self.transpose is None else (self.transpose, self.site)


@dataclass(frozen=True)
class Quantized:
    """A result as the only QuantizeLinear behind it writes it.

    Attributes:
        site: The QuantizeLinear.
        type: The type of the codes.
        scale: The value that holds the scale.
        zero_point: The value that holds the zero point, or a zero.
        clamp: The Relu or Clip in front of it, if there is one.
    """

    site: Site
    type: str
    scale: str
    zero_point: str | Zero
    clamp: Site | None = None


def is_dequantized(site: Site, index: int, values: Values) -> bool:
    """Return whether an input of a node is the output of a DequantizeLinear."""
    return _dequantizer(site, index, values) is not None


def dequantized(site: Site, index: int, values: Values) -> Dequantized:
    """Return how the DequantizeLinear in front of an input reads it.

    Raises:
        Left: Operators of integers have no such form.
        ValueError: No DequantizeLinear is in front.
    """
    producer, transpose = _dequantizer(site, index, values), None
    if producer is not None and producer.node.op_type == "Transpose":
        producer, transpose = _dequantizer(producer, 0, values), producer
    if producer is None:
        raise ValueError(f"expected a DequantizeLinear in front of input {index} of {site.node.name!r}")
    inputs = [*producer.node.input, ""][:3]
    for name in filter(None, inputs):
        if not values.means_the_same(name, site, producer):
            raise Left(f"{name!r} means another value inside {site.location}")
    require_float32(producer, 1)
    _check_attributes(producer)
    found = input_type(producer, 0, 2)
    size = values.size(producer, 1)
    if size is None:
        raise Left(f"the shape of the scale {inputs[1]!r} is not known")
    axis = None if size == 1 else _axis(producer, values)
    if axis is not None and transpose is not None:
        axis = {old: new for new, old in enumerate(_perm(transpose))}.get(axis, -1)
    zero_point = inputs[2] or Zero(found, None if axis is None else size)
    scales = values.constant(producer, inputs[1])
    return Dequantized(producer, inputs[0], found, inputs[1], zero_point, axis, scales, transpose)


def quantized(site: Site, values: Values) -> Quantized | None:
    """Return how the QuantizeLinear behind a node writes its result; None where others read it, or it has other types.

    Args:
        site: The node.
        values: The model's values.
    """
    consumer = values.only_consumer(site, site.node.output[0])
    if consumer is None or consumer.node.input[0] != site.node.output[0]:
        return None
    if not _is_clamp(consumer):
        return _quantizer(consumer, values)
    behind = quantized(consumer, values)
    if behind is None or behind.clamp is not None or not _is_idle(consumer, behind, values):
        return None
    return replace(behind, clamp=consumer)


def _quantizer(consumer: Site, values: Values) -> Quantized | None:
    if consumer.node.domain not in _DOMAINS or consumer.node.op_type != "QuantizeLinear":
        return None
    inputs = [*consumer.node.input, ""][:3]
    if values.size(consumer, 1) != 1 or consumer.input_types(1) != {onnx.TensorProto.FLOAT}:
        return None
    asked = consumer.attributes().get("output_dtype", 0)
    types = consumer.input_types(2) if inputs[2] else {asked or onnx.TensorProto.UINT8}
    found = type_name(types.pop()) if len(types) == 1 else ""
    if found not in CODE_TYPES:
        return None
    return Quantized(consumer, found, inputs[1], inputs[2] or Zero(found))


def _is_clamp(site: Site) -> bool:
    return site.node.domain in ("", "ai.onnx") and site.node.op_type in ("Relu", "Clip")


def _is_idle(clamp: Site, behind: Quantized, values: Values) -> bool:
    """Return whether no code stands for a value beyond the bounds of a Relu or Clip."""
    lower: Any = 0.0 if clamp.node.op_type == "Relu" else _bound(clamp, 1, -np.inf, values)
    upper: Any = np.inf if clamp.node.op_type == "Relu" else _bound(clamp, 2, np.inf, values)
    scale = values.constant(behind.site, behind.scale)
    is_zero = isinstance(behind.zero_point, Zero)
    zero_point = np.zeros((), behind.type) if is_zero else values.constant(behind.site, str(behind.zero_point))
    if lower is None or upper is None or scale is None or zero_point is None:
        return False
    held, point, unit = np.iinfo(behind.type), float(zero_point.item()), float(scale.item())
    close = float(np.finfo(np.float32).eps)  # as onnxruntime allows
    return bool(unit * (held.min - point) >= lower - close and unit * (held.max - point) <= upper + close)


def _bound(clip: Site, index: int, missing: float, values: Values) -> float | None:
    """Return a bound of a Clip; None where it is not constant, or was written as an attribute, before opset 11."""
    if clip.node.attribute:
        return None
    if index >= len(clip.node.input) or not clip.node.input[index]:
        return missing
    constant = values.constant(clip, clip.node.input[index])
    return None if constant is None or constant.size != 1 else float(constant.item())


def _dequantizer(site: Site, index: int, values: Values) -> Site | None:
    """Return the DequantizeLinear in front of an input, or the Transpose behind one."""
    if index >= len(site.node.input) or not site.node.input[index]:
        return None
    producer = values.producer(site, site.node.input[index])
    if producer is None or producer.node.domain not in _DOMAINS:
        return None
    if producer.node.op_type == "Transpose" and site.node.op_type == "MatMul" and _perm(producer):
        return producer if _dequantizer(producer, 0, values) is not None else None
    return producer if producer.node.op_type == "DequantizeLinear" else None


def _perm(transpose: Site) -> tuple[int, ...]:
    """Return the order of axes that a Transpose says; empty where it leaves that to the rank."""
    return tuple(transpose.attributes().get("perm") or ())


def _check_attributes(producer: Site) -> None:
    attributes = producer.attributes()
    if attributes.get("block_size", 0) != 0:
        raise Left(f"{producer.node.input[0]!r} has a scale for each block; expected one a tensor or channel")
    if attributes.get("output_dtype", 0) not in (0, onnx.TensorProto.FLOAT):
        raise Left(f"{producer.node.input[0]!r} is dequantized to another type than float32")


def _axis(producer: Site, values: Values) -> int:
    dimensions, scale_dimensions = producer.dimensions(0), producer.dimensions(1)
    codes = values.constant(producer, producer.node.input[0]) if dimensions is None else None
    rank = len(dimensions) if dimensions is not None else None if codes is None else np.ndim(codes)
    axis = producer.attributes().get("axis", _DEFAULT_AXIS)
    if axis is None or rank is None or scale_dimensions is None or len(scale_dimensions) != 1:
        raise Left(f"the axis of the scales {producer.node.input[1]!r} is not known")
    return int(axis) + rank if axis < 0 else int(axis)
