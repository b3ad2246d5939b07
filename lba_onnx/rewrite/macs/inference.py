"""How often the products of a model's nodes multiply and add in one run: shapes are followed, nothing is run.

    main graph     x [1, 3, 224, 224] -> Conv -> [1, 32, 112, 112] -> ...       each node once
    Scan           its body as often as the scanned axis is long
    If             the branch that a constant chooses
    Loop           not known
    function       its body once for each call, with the shapes of the call

A first axis that inputs leave open is the batch where all of a product's work doubles with it: one sample is counted.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

import onnx

from lba_onnx import operators
from lba_onnx.rewrite.analysis import Body
from lba_onnx.rewrite.candidates import Candidate
from lba_onnx.rewrite.macs.counts import Counts, add
from lba_onnx.rewrite.macs.execution import Execution, as_replaced
from lba_onnx.rewrite.macs.given_shapes import GivenInputs, InputShapes, give_inputs
from lba_onnx.rewrite.macs.known import Known
from lba_onnx.rewrite.macs.outputs import infer_outputs
from lba_onnx.rewrite.macs.rules import count
from lba_onnx.rewrite.macs.scan import ScanShapes
from lba_onnx.rewrite.typed import MAX_BINDINGS, FunctionKey, bind, function_key

Scope: TypeAlias = "ChainMap[str, Known]"
_GIVEN_UP = (RecursionError, LookupError, ValueError)  # of a model that is nested too deeply, or not valid
_FIRST_SCAN = 9  # before, it has a batch of sequences of lengths of their own

Results: TypeAlias = "tuple[list[Known], Counts]"


def infer_macs(
    model: onnx.ModelProto, candidates: Sequence[Candidate], input_shapes: InputShapes | None = None
) -> list[int | None]:
    """Return how many products of operands each candidate multiplies and adds in one run; None where that is not known.

    Args:
        model: The model that holds the candidates' nodes; large weights are not read.
        candidates: What find_candidates returns of it.
        input_shapes: Shapes of some of its inputs, by name.

    Raises:
        ValueError: There is no such input, or it does not take the shape.
    """
    wanted: dict[int, list[str]] = {}
    for candidate in candidates:
        wanted.setdefault(id(candidate.site.node), []).append(candidate.product)
    keys = [(id(candidate.site.node), candidate.product) for candidate in candidates]
    one = give_inputs(model, input_shapes or {}, batch=1)
    counts = _count(model, wanted, one)
    if not one.has_batch or not any(counts.values()):
        return [counts.get(key, 0) for key in keys]
    doubled = _count(model, wanted, give_inputs(model, input_shapes or {}, batch=2))
    return [_of_one_sample(counts.get(key, 0), doubled.get(key, 0)) for key in keys]


def infer_executions(
    model: onnx.ModelProto, candidates: Sequence[Candidate], input_shapes: InputShapes | None = None
) -> list[list[Execution]]:
    """Return the shapes with which each candidate's node executes, each once; a batch that is left open is 1.

    Args:
        model: As in `infer_macs`; errors are those of that, too.
        candidates: What find_candidates returns of it.
        input_shapes: Shapes of some of its inputs, by name.
    """
    wanted: dict[int, list[str]] = {id(candidate.site.node): [candidate.product] for candidate in candidates}
    walk = _Walk(model, wanted, give_inputs(model, input_shapes or {}, batch=1))
    with suppress(*_GIVEN_UP):
        walk.run()
    return [walk.executions.get(id(candidate.site.node), []) for candidate in candidates]


def _of_one_sample(one: int | None, two: int | None) -> int | None:
    return one if one is not None and two == 2 * one else None


def _count(model: onnx.ModelProto, wanted: Mapping[int, Sequence[str]], inputs: GivenInputs) -> Counts:
    try:
        return _Walk(model, wanted, inputs).run()
    except _GIVEN_UP:
        return {(node, product): None for node, products in wanted.items() for product in products}


class _Walk:
    """Follows the shapes of one run through a model."""

    def __init__(self, model: onnx.ModelProto, wanted: Mapping[int, Sequence[str]], inputs: GivenInputs) -> None:
        self._model = model
        self._wanted = wanted
        self._inputs = inputs
        self._functions = {
            function_key(f): f
            for f in model.functions
            if f.domain != operators.DOMAIN and operators.twin_of(f.domain, f.name) is None
        }
        self._called: dict[tuple[object, ...], Results] = {}
        self.executions: dict[int, list[Execution]] = {}

    def run(self) -> Counts:
        """Return the counts of one run."""
        scope: Scope = ChainMap(dict(self._inputs.values))
        return self._follow(self._model.graph, self._model.graph, scope, _opsets(self._model))

    def _follow(self, own: Body, copy: onnx.GraphProto, scope: Scope, opsets: Mapping[str, int]) -> Counts:
        """Go through the nodes of a body, with a copy's attributes, and note what is known of their values."""
        counts: Counts = {}
        for tensor in copy.initializer:
            known = Known.of_tensor(tensor)
            is_input = tensor.name in scope.maps[0]
            scope[tensor.name] = known.with_shape(known.shape) if is_input else known  # others may be fed
        declared = {value.name: value for value in (*copy.value_info, *copy.output)}
        for node, bound in zip(own.node, copy.node, strict=True):
            outputs, own_counts = self._visit(node, bound, scope, opsets)
            add(counts, own_counts, 1)
            for name, known in zip(bound.output, outputs, strict=False):
                if name in declared and not known.is_complete:
                    known = known.filled_from(self._inputs.declared(declared[name]))
                if name:
                    scope[name] = known
        return counts

    def _visit(self, node: onnx.NodeProto, bound: onnx.NodeProto, scope: Scope, opsets: Mapping[str, int]) -> Results:
        bound = as_replaced(bound)
        inputs = [scope.get(name, Known()) if name else Known() for name in bound.input]
        key = node.domain, node.op_type, getattr(node, "overload", "")
        if key in self._functions:
            return self._call(key, bound, inputs)
        if any(attribute.HasField("g") for attribute in node.attribute):
            return self._enter(node, bound, inputs, scope, opsets)
        outputs = infer_outputs(bound, inputs, opsets)
        return outputs, self._counted(node, bound, inputs, outputs)

    def _counted(
        self, node: onnx.NodeProto, bound: onnx.NodeProto, inputs: Sequence[Known], outputs: Sequence[Known]
    ) -> Counts:
        products = self._wanted.get(id(node), ())
        if not products:
            return {}
        shapes = [known.shape for known in inputs], [known.shape for known in outputs]
        execution = Execution.of(bound, *shapes)
        noted = self.executions.setdefault(id(node), [])
        if execution not in noted:
            noted.append(execution)
        return {(id(node), product): count(execution, product) for product in products}

    def _call(self, key: FunctionKey, call: onnx.NodeProto, inputs: Sequence[Known]) -> Results:
        attributes = tuple(sorted(attribute.SerializeToString() for attribute in call.attribute))
        way = (key, attributes, tuple(known.key for known in inputs))
        if way not in self._called:
            if len(self._called) >= MAX_BINDINGS:
                raise ValueError("functions are called in more ways than can be followed")
            function = self._functions[key]
            scope: Scope = ChainMap(dict(zip(function.input, inputs, strict=False)))
            counts = self._follow(function, bind(function, call, {}), scope, _opsets(function) or _opsets(self._model))
            self._called[way] = [scope.get(name, Known()) for name in function.output], counts
        return self._called[way]

    def _enter(
        self,
        node: onnx.NodeProto,
        bound: onnx.NodeProto,
        inputs: Sequence[Known],
        scope: Scope,
        opsets: Mapping[str, int],
    ) -> Results:
        """Follow the graphs inside a node."""
        graphs = {a.name: (a.g, b.g) for a, b in _paired_graphs(node, bound)}

        def follow(name: str, given: Sequence[Known]) -> Results:
            own, copy = graphs[name]
            names = [value.name for value in own.input]
            unknown = [Known()] * (len(names) - len(given))
            inner = scope.new_child(dict(zip(names, [*given, *unknown], strict=False)))
            counts = self._follow(own, copy, inner, opsets)
            return [inner.get(value.name, Known()) for value in own.output], counts

        if node.op_type == "If":
            return _if(inputs[0], follow)
        if node.op_type == "Scan" and opsets.get("", 0) >= _FIRST_SCAN:
            return ScanShapes.of(bound, inputs).follow(lambda given: follow("body", given))
        counts: Counts = {}
        for name in graphs:
            add(counts, follow(name, ())[1], None)
        return [], counts


def _if(condition: Known, follow: Callable[[str, Sequence[Known]], Results]) -> Results:
    if condition.data is not None:
        return follow("then_branch" if condition.data.item() else "else_branch", ())
    (then, counts), (other, other_counts) = follow("then_branch", ()), follow("else_branch", ())
    outputs = [one.common(another) for one, another in zip(then, other, strict=False)]
    return outputs, add(add({}, counts, None), other_counts, None)


def _paired_graphs(
    node: onnx.NodeProto, bound: onnx.NodeProto
) -> "list[tuple[onnx.AttributeProto, onnx.AttributeProto]]":
    copies = {attribute.name: attribute for attribute in bound.attribute}
    return [(attribute, copies[attribute.name]) for attribute in node.attribute if attribute.HasField("g")]


def _opsets(owner: "onnx.ModelProto | onnx.FunctionProto") -> dict[str, int]:
    return {operators.standard_domain(o.domain): int(o.version) for o in owner.opset_import}
