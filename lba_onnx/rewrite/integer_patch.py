"""The edit under an accumulator of integers: a node, and what is around it, becomes one operator of integers.

    a = DequantizeLinear(x, sx, zx)
    b = DequantizeLinear(w, sw, zw)
    c = Conv(a, b)              y = lba_onnx.LbaQLinearConv(x, sx, zx, w, sw, zw, sy, zy, accumulator="int16-wrap")
    y = QuantizeLinear(c, sy, zy)

Requires a candidate with an integer form. Ensures that the node keeps its name, doc string, metadata and the attributes
that its operator has, that names of values still stand for the same values, and that a DequantizeLinear goes when
nothing reads it any more.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from lba_onnx import operators
from lba_onnx.arithmetic import Accumulator
from lba_onnx.rewrite.analysis import Body, Site
from lba_onnx.rewrite.attributes import drop_attributes
from lba_onnx.rewrite.candidates import Candidate
from lba_onnx.rewrite.code_types import tensor_type
from lba_onnx.rewrite.fresh_names import FreshNames
from lba_onnx.rewrite.insertion import Insertions
from lba_onnx.rewrite.integer_forms import Input, IntegerForm, Made, Transposed, Zero
from lba_onnx.rewrite.scopes import Scope


def patch_integer_node(
    candidate: Candidate,
    form: IntegerForm,
    specs: Mapping[str, Accumulator],
    names: FreshNames,
    insertions: Insertions,
) -> None:
    """Turn a node into an operator of integers; the nodes around it are left to insert and to remove.

    Args:
        candidate: The node.
        form: What it becomes.
        specs: The specs of its products, by name.
        names: Hands out names for new values and nodes.
        insertions: Gets the nodes.
    """
    site, node = candidate.site, candidate.site.node
    made = _Made(site, names, insertions)
    operands = [made.name_of(given, place) for place, given in enumerate(form.inputs)]
    schema = operators.OPERATORS[form.op_type]
    drop_attributes(node, {attribute.name for attribute in node.attribute} - {a.name for a in schema.own_attributes})
    node.domain, node.op_type = operators.DOMAIN, form.op_type
    del node.input[:]
    node.input.extend(operands)
    for product, spec in specs.items():
        node.attribute.extend(onnx.helper.make_attribute(*item) for item in spec.to_attributes(product).items())
    _connect_output(site, form, names, insertions)


def drop_unread(sites: Iterable[Site]) -> None:
    """Remove those of some nodes whose outputs nothing reads any more, and then those that only they have read."""
    left = {id(site.node): site for site in sites}
    while unread := _unread(left):
        removals = Insertions()
        for key in unread:
            site = left.pop(key)
            _drop_value_info(site.body, site.node.output)
            removals.remove(site.node, site.body)
        removals.apply()


def _unread(sites: Mapping[int, Site]) -> list[int]:
    scopes = {id(site.body): Scope(site.body, None) for site in sites.values()}
    outputs = {key: (scopes[id(site.body)], site.node.output) for key, site in sites.items()}
    return [key for key, (scope, names) in outputs.items() if not any(map(scope.uses, names))]


class _Made:
    """Makes the values that a node lacks, by nodes in front of it."""

    def __init__(self, site: Site, names: FreshNames, insertions: Insertions) -> None:
        self._site, self._names, self._insertions = site, names, insertions
        self._quantized: Sequence[str] = ()

    def name_of(self, given: Input, place: int) -> str:
        """Return the name of an input, which is made unless it is there."""
        if isinstance(given, str):
            return given
        if isinstance(given, Zero):
            return self._zero(given, place)
        return self._quantize()[given.value] if isinstance(given, Made) else self._transpose(given, place)

    def _zero(self, zero: Zero, place: int) -> str:
        name = self._names.make(f"{self._site.node.name}_zero_{place}")
        shape = () if zero.size is None else (zero.size,)
        value = onnx.numpy_helper.from_array(np.zeros(shape, zero.type), name)
        constant = onnx.helper.make_node("Constant", [], [name], name=name, value=value)
        self._insertions.before(self._site.node, self._site.body, constant)
        return name

    def _transpose(self, given: Transposed, place: int) -> str:
        name = self._names.make(f"{self._site.node.name}_transposed_{place}")
        transpose = onnx.helper.make_node("Transpose", [given.codes], [name], name=name, perm=given.perm)
        self._insertions.before(self._site.node, self._site.body, transpose)
        return name

    def _quantize(self) -> Sequence[str]:
        if not self._quantized:
            node, operand = self._site.node, self._site.node.input[0]
            self._quantized = [self._names.make(f"{operand}_{member.name.lower()}") for member in Made]
            name = self._names.make(f"{node.name}_quantize")
            quantize = onnx.helper.make_node("DynamicQuantizeLinear", [operand], self._quantized, name=name)
            self._insertions.before(node, self._site.body, quantize)
        return self._quantized


def _connect_output(site: Site, form: IntegerForm, names: FreshNames, insertions: Insertions) -> None:
    node = site.node
    if form.quantizer is not None:
        _drop_value_info(site.body, node.output)
        node.output[0] = form.quantizer.node.output[0]
        insertions.replace(form.quantizer.node, site.body, node)
    if form.clamp is not None:
        _drop_value_info(site.body, form.clamp.node.output)
        insertions.remove(form.clamp.node, site.body)
    behind: list[onnx.NodeProto] = []
    result = node.output[0]
    if form.addend:
        added = names.make(f"{node.output[0]}_product")
        behind = [onnx.helper.make_node("Add", [added, form.addend], [result], name=names.make(f"{node.name}_bias"))]
        node.output[0] = result = added
    if site.function is not None:  # where onnxruntime infers types without asking custom operators
        node.output[0] = names.make(f"{result}_untyped")
        to, name = tensor_type(form.output_type), names.make(f"{node.name}_cast_back")
        behind.insert(0, onnx.helper.make_node("Cast", [node.output[0]], [result], name=name, to=to))
    insertions.behind(node, site.body, *behind)


def _drop_value_info(body: Body, names: Sequence[str]) -> None:
    """Forget the types of values that are there no more."""
    for index in reversed(range(len(body.value_info))):
        if body.value_info[index].name in names:
            del body.value_info[index]
