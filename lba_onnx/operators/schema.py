"""What is known of an operator of domain `lba_onnx`: inputs, outputs, attributes, what it replaces and multiplies."""

from collections.abc import Mapping
from dataclasses import dataclass

from lba_onnx.arithmetic.accumulator import accumulator_attribute

DOMAIN = "lba_onnx"
VERSION = 1
ELEMENT_TYPES = ("float32", "float16")
CODE_TYPES = ("uint8", "int8")
"""What operators of integers multiply; the types of two operands may differ."""

TYPE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "T": ELEMENT_TYPES,
    **dict.fromkeys(("T1", "T2", "T3"), CODE_TYPES),
    "T4": (*CODE_TYPES, "float32"),
    "T5": ("uint8", *ELEMENT_TYPES),
}
"""Names that stand for one of several types, the same one wherever they occur in a node."""

_DEFAULT_DOMAIN = "ai.onnx"
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class AttributeSchema:
    """One attribute of an operator.

    Attributes:
        name: Its name.
        type: "int", "ints", "float" or "string".
        default: Its value when absent; None where that follows from the operands, or where it is required.
        is_required: Whether a node without it is an error.
        of_output: The optional output that it is about; the operator that it comes from wants both or neither.
    """

    name: str
    type: str
    default: int | float | str | None = None
    is_required: bool = False
    of_output: str = ""


_OF_THE_ONLY_PRODUCT = (
    AttributeSchema(accumulator_attribute(), "string", ""),
    AttributeSchema("product_format", "string", ""),
    AttributeSchema("accumulator_format", "string", ""),
    AttributeSchema("chunk_size", "int", 16),
    AttributeSchema("underflow", "int", 1),
)  # `accumulator`, or in its place the four that models of before have
_STATISTICS = AttributeSchema("statistics", "string", "")
BIAS_START = AttributeSchema("bias_start", "int", 0)
"""Of an operator with a bias: whether the accumulator starts from it, or it is added in float32 behind the sums."""

BIAS_INPUT = 2
"""The input that is the bias, of operators with one."""


@dataclass(frozen=True)
class Product:
    """One of the products that an operator computes.

    Attributes:
        name: Such as "qk"; "" for the only one of its operator.
        inputs: The inputs of the operator that it multiplies; only one of them where it computes the other itself.
    """

    name: str = ""
    inputs: tuple[int, ...] = (0, 1)

    @property
    def attributes(self) -> tuple[AttributeSchema, ...]:
        """The attributes that say which accumulator it has."""
        if not self.name:
            return _OF_THE_ONLY_PRODUCT
        return (AttributeSchema(accumulator_attribute(self.name), "string", is_required=True),)


@dataclass(frozen=True)
class OperatorSchema:
    """One operator.

    Attributes:
        op_type: Its name in the domain.
        replaces: The operator type that it stands for; "" where it stands for several nodes at once.
        inputs: Names of the inputs.
        required_inputs: How many of them must be there; the others are optional.
        outputs: Names of the outputs.
        own_attributes: Those of the operator that it replaces.
        start_attributes: Those that say what its sums start from.
        products: The products that it computes.
        replaced_domain: The domain of the operator that it stands for.
        types: The type of each input and of each output, or the variable that stands for it; "T" for all by default.
        required_outputs: How many of the outputs must be there; the others are optional.
        replaced_inputs: The inputs of the operator that it stands for, by the names that they have here; others are
            those that this operator does not have. None where both have the same.
    """

    op_type: str
    replaces: str
    inputs: tuple[str, ...]
    required_inputs: int
    outputs: tuple[str, ...]
    own_attributes: tuple[AttributeSchema, ...] = ()
    start_attributes: tuple[AttributeSchema, ...] = ()
    products: tuple[Product, ...] = (Product(),)
    replaced_domain: str = ""
    types: tuple[str, ...] = ()
    required_outputs: int = 1
    replaced_inputs: tuple[str, ...] | None = None

    @property
    def inputs_of_replaced(self) -> tuple[str, ...]:
        """The inputs of the operator that it stands for, in their order there."""
        return self.inputs if self.replaced_inputs is None else self.replaced_inputs

    @property
    def input_types(self) -> tuple[str, ...]:
        """The type, or variable, of each input."""
        return self.types[: len(self.inputs)] or ("T",) * len(self.inputs)

    @property
    def output_types(self) -> tuple[str, ...]:
        """The type, or variable, of each output."""
        return self.types[len(self.inputs) :] or ("T",) * len(self.outputs)

    @property
    def takes_codes(self) -> bool:
        """Whether it multiplies integers, with accumulators of integers."""
        return bool(self.types) and "T" not in self.types

    @property
    def attributes(self) -> tuple[AttributeSchema, ...]:
        """Those of the operator that it replaces, then those of the arithmetic."""
        return self.own_attributes + self.arithmetic_attributes

    @property
    def arithmetic_attributes(self) -> tuple[AttributeSchema, ...]:
        """The accumulators of its products, what sums start from, and the key of its statistics."""
        accumulators = (attribute for product in self.products for attribute in product.attributes)
        return (*accumulators, *self.start_attributes, _STATISTICS)


def standard_domain(domain: str) -> str:
    """Return a domain, and "" for ONNX's own however it is written."""
    return "" if domain == _DEFAULT_DOMAIN else domain
