"""What a rule is: a function from a node, and what is known of it, to the nodes that it is made of, or a refusal."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.rewrite.analysis import Site
from lba_onnx.rewrite.code_types import type_name
from lba_onnx.rewrite.external_data import is_external
from lba_onnx.rewrite.lowering.maker import Maker
from lba_onnx.rewrite.values import Values

_MOST_ELEMENTS = 1 << 24  # of a constant that is rearranged at once; a node of the model rearranges larger ones


class Refused(Exception):
    """Why a node cannot be taken apart, in words for the ledger."""


@dataclass(frozen=True)
class Source:
    """A node to take apart.

    Attributes:
        site: The node, where it lives, and the types and shapes of its inputs.
        values: The model's constants.
    """

    site: Site
    values: Values

    @property
    def node(self) -> onnx.NodeProto:
        """The node; it is not changed."""
        return self.site.node

    @cached_property
    def attributes(self) -> Mapping[str, Any]:
        """The node's attributes, text as str.

        Raises:
            Refused: One has several values, since calls of the function that holds the node differ.
        """
        attributes = self.site.attributes()
        for name, value in attributes.items():
            if value is None:
                raise Refused(f"its attribute {name} differs between the calls of its function")
        return {name: _as_text(value) for name, value in attributes.items()}

    def required(self, name: str) -> Any:
        """Return the value of an attribute that the operator must have.

        Raises:
            Refused: The node lacks it.
        """
        if name not in self.attributes:
            raise Refused(f"has no attribute {name}")
        return self.attributes[name]

    def input(self, index: int) -> str:
        """Return the name of an input; "" for one that is absent."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def output(self, index: int) -> str:
        """Return the name of an output; "" for one that is absent."""
        return self.node.output[index] if index < len(self.node.output) else ""

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return what an input holds; None where it is absent, no constant, or a large one that stays where it is."""
        name = self.input(index)
        tensor = self.values.tensor(self.site, name) if name else None
        if tensor is None or math.prod(tensor.dims) > _MOST_ELEMENTS:
            return None
        return self.values.constant(self.site, name)

    def is_constant(self, index: int) -> bool:
        """Return whether an input is a constant, of any size."""
        name = self.input(index)
        return bool(name) and self.values.tensor(self.site, name) is not None

    def may_replace(self, index: int) -> bool:
        """Return whether an input is a constant in the model itself that nothing else reads, and that goes with it."""
        name = self.input(index)
        owner = self.values.scope(self.site).owner(name) if name else None
        tensor = owner.constant(name) if owner else None
        return owner is not None and owner.uses(name) == 1 and tensor is not None and not is_external(tensor)

    def rank(self, index: int) -> int | None:
        """Return the number of dimensions of an input, where it is known."""
        dimensions = self.dimensions(index)
        return None if dimensions is None else len(dimensions)

    def dimensions(self, index: int) -> tuple[int | None, ...] | None:
        """Return the dimensions of an input as far as they are known; None where their number is not."""
        return self.site.dimensions(index) if self.input(index) else None

    def element_type(self, *indices: int) -> int:
        """Return the element type that some inputs share, as a value of onnx.TensorProto.DataType.

        Raises:
            Refused: It is not known, or there are several.
        """
        types = {known for index in indices if self.input(index) for known in self.site.input_types(index)}
        if len(types) != 1:
            names = " and ".join(sorted(type_name(known) for known in types))
            raise Refused(f"expected one known element type, got {names or 'an unknown one'}")
        return types.pop()

    def dtype(self, *indices: int) -> np.dtype[Any]:
        """Return the element type that some inputs share as NumPy's.

        Raises:
            Refused: It is not known, or there are several.
        """
        dtype: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(self.element_type(*indices)))
        return dtype


Make: TypeAlias = "Callable[[Source, Maker], None]"


@dataclass(frozen=True)
class Rule:
    """How nodes of one operator are taken apart.

    Attributes:
        make: Adds the nodes to the maker; none where the node is to stay as it is, and has a twin.
        first_opset: The oldest default opset that has the operators which it makes.
        required_inputs: How many inputs the operator must have.
    """

    make: Make
    first_opset: int
    required_inputs: int = 1

    def apply(self, source: Source, maker: Maker) -> None:
        """Take a node apart.

        Raises:
            Refused: It cannot be.
        """
        if source.site.opset < self.first_opset:
            raise Refused(f"is taken apart from opset {self.first_opset} on, got opset {source.site.opset}")
        inputs = list(source.node.input)
        if "" in inputs[: self.required_inputs] or len(inputs) < self.required_inputs:
            raise Refused(f"expected at least {self.required_inputs} inputs, got {inputs}")
        if not any(source.node.output):
            raise Refused("has no output")
        self.make(source, maker)


def _as_text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
