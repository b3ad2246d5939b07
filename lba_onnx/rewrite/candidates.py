"""The products that nodes multiply and accumulate: what they are called, and whether they can be converted.

Requires a model that model_files has checked. Ensures that each candidate has a name of its own: unnamed nodes get
`<op type>_<index>`, written into the node; nodes that share a name are told apart by their location.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from lba_onnx import operators
from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.errors import ModelError
from lba_onnx.native.keys import product_key
from lba_onnx.operators import DYNAMIC_MATMUL, OperatorSchema, Product
from lba_onnx.rewrite.accumulating import find_accumulating
from lba_onnx.rewrite.analysis import Site, walk_sites
from lba_onnx.rewrite.code_types import operand_types, type_name
from lba_onnx.rewrite.integer_forms import IntegerForm, Left
from lba_onnx.rewrite.integer_operators import form_of_operator
from lba_onnx.rewrite.lowering.record import Lowering, Origin, type_of
from lba_onnx.rewrite.node_names import unique_names
from lba_onnx.rewrite.qdq import form_of_float_node
from lba_onnx.rewrite.twins import has_twin, inputs_of_twin, inputs_without_twin, is_twin, schema_of, without_empty_tail
from lba_onnx.rewrite.values import Values
from lba_onnx.rewrite.weights import WeightSources

UNKNOWN_TYPE = "unknown"
NATIVE_TYPES = ("float32", "float16")
CAST_TYPES = ("bfloat16", "float64")

_OF_INTEGERS = "multiplies integers; expected an accumulator of integers, such as int32-wrap"
_DYNAMIC_INPUTS = 3, 5
_FIRST_OPSET_WITH_CAST = 6  # before it, Cast names its target type in text
_FIRST_OPSET_WITH_CAST_LIKE = 15


@dataclass(frozen=True)
class Candidate:
    """A product that a node multiplies and accumulates; most nodes have one.

    Attributes:
        node_name: What the ledger calls the node; unique in the model.
        product: The product's name, such as "qk"; "" for the only one of its node.
        site: The node and where it lives.
        weights: Where its weights come from, as weights.WeightSources says.
        constant_operand: Which input follows from constants alone, the weights or else the other operand; None where
            neither does.
        element_type: Such as "float32", or "unknown"; of codes "uint8*int8".
        obstacle: Why an accumulator of floats cannot be had, or None.
        integer_obstacle: Why an accumulator of integers cannot be had, or None.
        integer_form: What the node becomes under an accumulator of integers, unless there is an obstacle.
        origin: The node that it stands for, or for a part of, and that has been taken apart; None for one of the model.
    """

    node_name: str
    product: str
    site: Site
    weights: str
    constant_operand: int | None
    element_type: str
    obstacle: str | None
    integer_obstacle: str | None = None
    integer_form: IntegerForm | None = None
    origin: Origin | None = None

    def obstacle_to(self, spec: Accumulator | None) -> str | None:
        """Return why the node cannot be converted to an accumulator, or None.

        Args:
            spec: The accumulator; None for any.
        """
        if spec is None:
            is_of_codes = self.integer_form is not None or takes_codes(self.site.node)
            return self.integer_obstacle if is_of_codes else self.obstacle
        if not spec.sums_codes:
            return self.obstacle
        if self.integer_form is not None and self.integer_form.output_type == "int32" != spec.result_type:
            return f"its result is int32; sums of {spec} are {spec.result_type}"
        return self.integer_obstacle

    def type_under(self, spec: Accumulator | None) -> str:
        """Return the element type that the ledger tells of the node under an accumulator; None for any."""
        if self.integer_form is None or takes_codes(self.site.node):
            return self.element_type
        if spec is None:
            return f"{self.element_type} or {self.integer_form.codes}"
        return self.integer_form.codes if spec.sums_codes else self.element_type

    @property
    def name(self) -> str:
        """What specs, files and the ledger call it: the node's name, or that and the product's."""
        return product_key(self.node_name, self.product)

    @property
    def texts(self) -> tuple[str, ...]:
        """What selections may call it, the most exact first; the node's own name may be that of several nodes."""
        own = self.site.node.name
        original = (self.origin.original.name,) if self.origin else ()
        return *self.unique_texts, product_key(own, self.product), own, *original

    @property
    def unique_texts(self) -> tuple[str, ...]:
        """Those that no product of another node has: its key, its node's name, and that of what is taken apart."""
        return self.name, self.node_name, *((self.origin.key,) if self.origin else ())

    @property
    def given_node(self) -> onnx.NodeProto:
        """The node as the model has it: what has been taken apart, or the node itself."""
        return self.origin.original if self.origin else self.site.node

    @property
    def operator(self) -> str:
        """Its operator in the model, with the domain unless that is ONNX's."""
        return type_of(self.given_node)

    @property
    def is_converted(self) -> bool:
        """Whether the node already is one of this package's operators."""
        return bool(self.site.node.domain == operators.DOMAIN)

    @property
    def present_spec(self) -> Accumulator | None:
        """The spec of a converted node's product, or None."""
        if not self.is_converted:
            return None
        attributes = self.site.attributes()
        try:
            for attribute in Product(self.product).attributes:
                if attributes.get(attribute.name, "") is None:
                    raise ValueError(f"the attribute {attribute.name} differs between the calls of its function")
            return from_attributes(attributes, self.product)
        except (TypeError, ValueError) as error:
            raise ModelError(f"node {self.name!r} in {self.site.location}: {error}") from None


def takes_codes(node: onnx.NodeProto) -> bool:
    """Return whether a node is an operator of integers, or one that this package's operators of integers stand for."""
    return _has_schema(node) and schema_of(node).takes_codes


def find_candidates(
    model: onnx.ModelProto, path: Path | None = None, lowering: Lowering | None = None
) -> list[Candidate]:
    """Return the products that nodes multiply and accumulate, in the order of the graphs; name nodes without a name.

    Args:
        model: The model; nodes without a name get one, nothing else changes.
        path: The file beside which its external data lies; without one, scales there are not known.
        lowering: What has been taken apart in it; None for nothing.

    Raises:
        ModelError: A node that has a twin has a number of inputs or outputs that it cannot have.
    """
    lowering = lowering or Lowering()
    sites = list(walk_sites(model))
    accumulating = find_accumulating(model, sites, lowering.groups)
    found = [
        (site, lowering.refusal(site.node) or reason)
        for site, reason in accumulating
        if lowering.origin(site.node) is None or _has_schema(site.node)  # sums inside what is taken apart are float32
    ]
    products = [_products(site.node) for site, _ in found]
    names = unique_names([site for site, _ in found], [[product.name for product in own] for own in products])
    sources, values = WeightSources(), Values(model, sites, path)
    return [
        replace(candidate, origin=lowering.origin(site.node))
        for (site, reason), name, own in zip(found, names, products, strict=True)
        for candidate in _describe(site, name, own, reason, sources, values)
    ]


def converted_products(model: onnx.ModelProto) -> list[Candidate]:
    """Return the products of a converted model's low-bit-accumulator nodes."""
    return [candidate for candidate in find_candidates(model) if candidate.is_converted]


def _products(node: onnx.NodeProto) -> tuple[Product, ...]:
    return schema_of(node).products if _has_schema(node) else (Product(),)


def _has_schema(node: onnx.NodeProto) -> bool:
    return has_twin(node) or is_twin(node)


def _describe(
    site: Site, name: str, products: tuple[Product, ...], reason: str | None, sources: WeightSources, values: Values
) -> Iterator[Candidate]:
    form, integer_reason = None, reason
    if has_twin(site.node) and reason is None:
        _check_operands(site)
        form, integer_reason = _integer_form(site, values)
    if takes_codes(site.node):
        element_type = _code_types(site) if form is None else form.codes
        reason = reason or _OF_INTEGERS
    else:
        element_type = _element_type(site) if reason is None or is_twin(site.node) else _first_type(site)
        reason = reason or _obstacle(site, element_type)
    for product in products:
        weights, constant = sources.describe(site, product.inputs)
        yield Candidate(name, product.name, site, weights, constant, element_type, reason, integer_reason, form)


def _integer_form(site: Site, values: Values) -> tuple[IntegerForm | None, str | None]:
    """Return what a node with a twin becomes under an accumulator of integers, or why it has no such form."""
    reason = _rank_obstacle(site)
    if reason is None:
        try:
            make = form_of_operator if takes_codes(site.node) else form_of_float_node
            return make(site, values), None
        except Left as left:
            reason = str(left)
    return None, reason


def _check_operands(site: Site) -> None:
    node = site.node
    least, most = _DYNAMIC_INPUTS if node.op_type == DYNAMIC_MATMUL else _input_counts(schema_of(node))
    inputs, outputs = without_empty_tail(node.input), without_empty_tail(node.output)
    fewest, all_outputs = schema_of(node).required_outputs, len(schema_of(node).outputs)
    have_inputs = least <= len(inputs) <= most and "" not in inputs[:least]
    if not have_inputs or not fewest <= len(outputs) <= all_outputs or "" in outputs[:fewest]:
        results = "one output" if all_outputs == 1 else f"{_numbers(fewest, all_outputs)} outputs"
        raise ModelError(
            f"{node.op_type} {node.name!r} in {site.location}: expected {_numbers(least, most)} "
            f"inputs and {results}, got inputs {list(node.input)} and outputs {list(node.output)}"
        )


def _input_counts(schema: OperatorSchema) -> tuple[int, int]:
    least = schema.required_inputs if schema.replaced_inputs is None else 1
    return least, len(schema.inputs_of_replaced)


def _numbers(least: int, most: int) -> str:
    return " or ".join(map(str, sorted({least, most}))) if most - least < 2 else f"{least} to {most}"


def _element_type(site: Site) -> str:
    """Return the element type, or "unknown", or several that contradict each other, such as "float32 and int8"."""
    return _type_names({element_type for operands in _operand_types(site) for element_type in operands})


def _operand_types(site: Site) -> list[set[int]]:
    """Return for each image the known element types of what the arithmetic takes and gives."""
    schema = schema_of(site.node)
    types = dict(zip(schema.inputs, schema.input_types, strict=True))
    names = enumerate(schema.inputs_of_replaced)
    return site.operand_types([index for index, name in names if types.get(name) == "T"])


def _first_type(site: Site) -> str:
    """Return the element type of the first input, since those of other operators have inputs of several types."""
    return _type_names(site.input_types(0))


def _code_types(site: Site) -> str:
    """Return the element types of the two operands of an operator of integers, such as "uint8*int8"."""
    try:
        return "*".join(operand_types(site))
    except Left:
        return "*".join(_type_names(site.input_types(index)) for index in schema_of(site.node).products[0].inputs)


def _type_names(element_types: set[int]) -> str:
    types = sorted(element_types)
    return " and ".join(map(type_name, types)) or UNKNOWN_TYPE


def _obstacle(site: Site, element_type: str) -> str | None:
    if lacking := _input_obstacle(site.node):
        return lacking
    if any(len(operands) > 1 for operands in _operand_types(site)):
        return f"its operands differ in element type: {element_type}"
    names = element_type.split(" and ")
    if names != [UNKNOWN_TYPE] and not set(names) <= {*NATIVE_TYPES, *CAST_TYPES}:
        return f"element type {element_type}; expected float32, float16, bfloat16 or float64"
    if len(names) > 1 and not set(names) <= set(NATIVE_TYPES):
        return f"its function is called with {element_type}, which no single Cast serves"
    first_opset = _first_opset(site, element_type)
    if site.opset < first_opset:
        where = f"element type {element_type}" + (" in a function" if site.function is not None else "")
        return f"{where} takes a Cast of opset {first_opset} behind the node, got opset {site.opset}"
    return _rank_obstacle(site)


def _input_obstacle(node: onnx.NodeProto) -> str | None:
    """Return why the inputs of a node that has a twin are none for the twin, or None."""
    schema = schema_of(node)
    if schema.replaced_inputs is None or is_twin(node):
        return None
    if further := inputs_without_twin(node):
        return f"has the input {further[0]!r}, which {schema.op_type} does not take"
    inputs = inputs_of_twin(node)
    absent = [name for name, given in zip(schema.inputs, inputs, strict=False) if not given]
    absent += schema.inputs[len(inputs) : schema.required_inputs]
    return f"lacks the input {absent[0]!r}, which {schema.op_type} takes" if absent else None


def _rank_obstacle(site: Site) -> str | None:
    if not site.node.op_type.endswith(("Conv", "ConvInteger")):
        return None
    x, w = schema_of(site.node).products[0].inputs
    rank = site.rank(w) or site.rank(x)
    if rank is not None and not 3 <= rank <= 5:
        return f"a convolution over {rank - 2} spatial axes; expected 1 to 3"
    return None


def _first_opset(site: Site, element_type: str) -> int:
    """Return the oldest opset that has the Casts which patch_node puts around the node."""
    if element_type in CAST_TYPES or (site.function is not None and element_type in NATIVE_TYPES):
        return _FIRST_OPSET_WITH_CAST
    return _FIRST_OPSET_WITH_CAST_LIKE if site.function is not None else 0
