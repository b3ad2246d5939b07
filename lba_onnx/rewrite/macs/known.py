"""What is known of a value: its element type, its shape, and, where they are few, its elements."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.macs.execution import Shape

MAX_ELEMENTS = 64
"""Of a value whose elements are followed: shapes, axes, scalars."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of a value.

    Attributes:
        element_type: Of onnx.TensorProto.DataType; UNDEFINED where it is not known.
        shape: A size per axis, None where it is not known; None as a whole where even the rank is not.
        data: The elements; None where they are not known, or many.
    """

    element_type: int = onnx.TensorProto.UNDEFINED
    shape: Shape | None = None
    data: NDArray[Any] | None = None

    @classmethod
    def of_array(cls, array: NDArray[Any]) -> "Known":
        """Return a value that is known in full."""
        data = array if array.size <= MAX_ELEMENTS else None
        return cls(onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape, data)

    @classmethod
    def of_tensor(cls, tensor: onnx.TensorProto) -> "Known":
        """Return a constant; its elements are read where they are few and inline."""
        shape = tuple(tensor.dims)
        is_small = math.prod(shape) <= MAX_ELEMENTS and not is_external(tensor)
        data = np.asarray(onnx.numpy_helper.to_array(tensor)) if is_small else None
        return cls(tensor.data_type, shape, data)

    @classmethod
    def of_type(cls, value_type: onnx.TypeProto) -> "Known":
        """Return a value of a type, which may leave sizes open; no tensors are not known at all."""
        tensor = value_type.tensor_type
        if not value_type.HasField("tensor_type"):
            return cls()
        if not tensor.HasField("shape"):
            return cls(tensor.elem_type)
        sizes = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None for d in tensor.shape.dim)
        return cls(tensor.elem_type, sizes)

    @property
    def type(self) -> onnx.TypeProto:
        """The type as onnx has it."""
        if not self.element_type:
            return onnx.TypeProto()
        return onnx.helper.make_tensor_type_proto(self.element_type, self.shape)

    @property
    def is_complete(self) -> bool:
        """Whether type and all sizes are known."""
        return bool(self.element_type) and self.shape is not None and None not in self.shape

    @property
    def is_large(self) -> bool:
        """Whether it is known to have too many elements to follow."""
        return math.prod(size or 1 for size in self.shape or ()) > MAX_ELEMENTS

    @property
    def key(self) -> tuple[Any, ...]:
        """What two values have in common of which the same is known."""
        return self.element_type, self.shape, None if self.data is None else self.data.tobytes()

    def with_shape(self, shape: Sequence[int | None] | None) -> "Known":
        """Return a value of the same type and another shape."""
        return replace(self, shape=None if shape is None else tuple(shape), data=None)

    def filled_from(self, other: "Known") -> "Known":
        """Return what is known from here or, where that is nothing, from elsewhere."""
        shape = self.shape if self.shape is not None else other.shape
        if shape is not None and other.shape is not None and len(shape) == len(other.shape):
            shape = tuple(own if own is not None else size for own, size in zip(shape, other.shape, strict=True))
        data = self.data if self.data is not None else other.data
        return Known(self.element_type or other.element_type, shape, data)

    def common(self, other: "Known") -> "Known":
        """Return what is known of a value that is one or the other."""
        element_type = self.element_type if self.element_type == other.element_type else onnx.TensorProto.UNDEFINED
        if self.shape is None or other.shape is None or len(self.shape) != len(other.shape):
            return Known(element_type)
        sizes = zip(self.shape, other.shape, strict=True)
        return Known(element_type, tuple(own if own == size else None for own, size in sizes))
