"""One execution of a node: its attributes, and the shapes of what it takes and gives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import onnx

from lba_onnx.operators import standard_domain
from lba_onnx.rewrite.attributes import own_attributes
from lba_onnx.rewrite.twins import is_twin, rename_to_replaced, schema_of

Shape: TypeAlias = tuple[int | None, ...]


class UnknownShapeError(Exception):
    """A size that is needed is not known."""


@dataclass(frozen=True)
class Execution:
    """One execution of a node.

    Attributes:
        domain: That of its operator; "" for ONNX's own.
        op_type: Its operator.
        attributes: Its attributes by name; None for one that is not known.
        names: The name of each input; "" for one that is absent.
        inputs: The shape of each input; None where it is absent or unknown, sizes alike.
        outputs: The same of each output.
    """

    domain: str
    op_type: str
    attributes: Mapping[str, Any]
    names: Sequence[str]
    inputs: Sequence[Shape | None]
    outputs: Sequence[Shape | None]

    @classmethod
    def of(
        cls,
        node: onnx.NodeProto,
        inputs: Sequence[Shape | None],
        outputs: Sequence[Shape | None],
        known: Mapping[str, Any] = MappingProxyType({}),
    ) -> "Execution":
        """Return an execution of a node that is none of this package's operators that replace others.

        Args:
            node: The node.
            inputs: The shape of each input.
            outputs: The shape of each output.
            known: Values of attributes that the node itself does not hold.
        """
        attributes = {**own_attributes(node), **known}
        return cls(standard_domain(node.domain), node.op_type, attributes, tuple(node.input), inputs, outputs)

    def input(self, index: int) -> tuple[int, ...]:
        """Return the shape of an input.

        Raises:
            UnknownShapeError: It is not known in full.
        """
        return _complete(self.inputs, index)

    def output(self, index: int = 0) -> tuple[int, ...]:
        """Return the shape of an output; errors are those of `input`."""
        return _complete(self.outputs, index)

    def has_input(self, index: int) -> bool:
        """Return whether an input is there, whatever its shape."""
        return index < len(self.names) and self.names[index] != ""

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return the value of an attribute.

        Raises:
            UnknownShapeError: It differs between the calls of the node's function, or is required and absent.
        """
        value = self.attributes.get(name, default)
        if value is None:
            raise UnknownShapeError(name)
        return value.decode() if isinstance(value, bytes) else value


def as_replaced(node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the node that one of this package's operators stands for; any other as it is."""
    if not is_twin(node) or not schema_of(node).replaces:
        return node
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    rename_to_replaced(copy)
    return copy


def elements(shape: Sequence[int]) -> int:
    """Return how many elements a shape holds."""
    return math.prod(shape)


def _complete(shapes: Sequence[Shape | None], index: int) -> tuple[int, ...]:
    shape = shapes[index] if index < len(shapes) else None
    sizes = () if shape is None else tuple(size for size in shape if size is not None)
    if shape is None or len(sizes) != len(shape):
        raise UnknownShapeError(str(index))
    return sizes
