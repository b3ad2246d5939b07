"""Weightless, typed copies of a model's graphs, for analysis: what shape inference knows, written into value_info.

    model            ->  main graph with value_info
    function f(x)    ->  one graph for each combination of element types and attributes that f is called with,
                         its inputs typed as at the call, its attribute references replaced

onnx's inference goes through a function anew at each call, which takes 2^30 steps where 30 functions each call the
next one twice. Calls of functions that would take long are therefore hidden from it; what they return is inferred
here, once for each combination.

Requires nothing of the model: where inference fails, types stay unknown. Ensures that nodes keep their order, so that
a typed graph's node and the model's node pair by index.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx

from lba_onnx.operators import TYPE_VARIABLES
from lba_onnx.rewrite.completed_types import complete_types
from lba_onnx.rewrite.outline import copy_outline, place_nothing
from lba_onnx.rewrite.twins import has_twin, is_twin, rename_to_replaced, schema_of

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a model-local function."""

_SAME_AS = {"T4": "T3"}  # variables of results that follow from inputs of another
MAX_BINDINGS = 1000  # of a model whose functions are called in more ways than these, types and attributes stay unknown
_MAX_EXPANSION = 1000  # nodes, with those of all calls inside, up to which onnx's inference goes through a function


@dataclass
class TypedGraphs:
    """The typed copies: of the main graph, and of each function's body once for each way of calling it, if known."""

    main: onnx.ModelProto
    functions: dict[FunctionKey, list[onnx.ModelProto]] = field(default_factory=dict)


def function_key(function: onnx.FunctionProto) -> FunctionKey:
    """Return what identifies a function in its model."""
    return function.domain, function.name, getattr(function, "overload", "")


def type_graphs(model: onnx.ModelProto) -> TypedGraphs:
    """Return weightless copies of the main graph and of the function bodies, with inferred types."""
    outline = copy_outline(model, place_nothing)
    _restore_replaced_operators(outline)
    typed = _Typing(outline).type_all()
    for copy in (typed.main, *(body for bodies in typed.functions.values() for body in bodies)):
        del copy.functions[:]
    return typed


def called_functions(body: "onnx.GraphProto | onnx.FunctionProto") -> Iterator[FunctionKey]:
    """Yield what each node would call, in a body and the graphs inside; most are operators, and no functions."""
    for node in body.node:
        yield node.domain, node.op_type, getattr(node, "overload", "")
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from called_functions(attribute.g)


def _restore_replaced_operators(outline: onnx.ModelProto) -> None:
    """Turn converted nodes back, since shape inference knows only the operators that they replaced.

    Where it does not know these either, the type of the result is written down.
    """
    bodies = [outline.graph, *outline.functions]
    while bodies:
        body = bodies.pop()
        for node in body.node:
            if (is_twin(node) or has_twin(node)) and not _is_inferred(node) and isinstance(body, onnx.GraphProto):
                _declare_result(body, node)
            elif is_twin(node):
                rename_to_replaced(node)
            bodies.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _is_inferred(node: onnx.NodeProto) -> bool:
    """Return whether onnx infers the results of the operator that a node is, or stands for."""
    schema = schema_of(node)
    return bool(schema.replaces) and schema.replaced_domain == ""


def _declare_result(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    known = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info):
        known.setdefault(value.name, value.type.tensor_type.elem_type)
    declared = {value.name for value in (*graph.value_info, *graph.output)}
    for name, variable in zip(node.output, schema_of(node).output_types, strict=False):
        result = _result_type(node, variable, known)
        if result and name and name not in declared:
            _declare(graph, name, onnx.helper.make_tensor_type_proto(result, None))


def _result_type(node: onnx.NodeProto, variable: str, known: Mapping[str, int]) -> int | None:
    """Return the type of a result: that of inputs of the same variable, or its own."""
    schema = schema_of(node)
    variable = _SAME_AS.get(variable, variable)
    types = dict(zip(schema.inputs, schema.input_types, strict=True))
    names = schema.inputs if is_twin(node) else schema.inputs_of_replaced
    alike = [value for name, value in zip(names, node.input, strict=False) if value and types.get(name) == variable]
    if variable in TYPE_VARIABLES and alike:
        return next((known[value] for value in alike if known.get(value)), None)
    return int(onnx.TensorProto.INT32 if variable == "int32" else onnx.TensorProto.FLOAT)


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # whatever inference cannot digest, the model's own type information remains
        return model


class _Typing:
    """The functions of an outline, and what is known of their bodies by the ways in which they are called."""

    def __init__(self, outline: onnx.ModelProto) -> None:
        self._outline = outline
        self._functions = {function_key(function): function for function in outline.functions}
        self._expansions: dict[FunctionKey, int] = {}
        self._quick = [f for key, f in self._functions.items() if self._expansion(key) <= _MAX_EXPANSION]
        self._bodies: dict[tuple[FunctionKey, bytes], onnx.ModelProto] = {}

    def type_all(self) -> TypedGraphs:
        """Follow the calls from the main graph on; a function that is never called gets one untyped body."""
        typed = TypedGraphs(self._infer(self._as_model(self._outline.graph, self._outline.opset_import)))
        pending = [typed.main]
        seen: set[int] = set()
        while pending and len(self._bodies) < MAX_BINDINGS:
            for call in _calls(pending.pop().graph, {}, self._functions):
                body = self._body(call)
                if id(body) not in seen:
                    seen.add(id(body))
                    typed.functions.setdefault(call.key, []).append(body)
                    pending.append(body)
        for key, function in self._functions.items():
            if pending:  # there are ways of calling that have not been followed
                typed.functions[key] = []
            elif key not in typed.functions:
                body = bind(function, onnx.NodeProto(), {})
                typed.functions[key] = [self._as_model(body, function.opset_import)]
        return typed

    def _expansion(self, key: FunctionKey) -> int:
        """Return how many nodes a function has when all calls inside are replaced by what they call."""
        if key not in self._expansions:
            callees = called_functions(self._functions[key])
            self._expansions[key] = sum(1 + (self._expansion(k) if k in self._functions else 0) for k in callees)
        return self._expansions[key]

    def _infer(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Infer types, again whenever a call of a function that inference does not see has given new ones."""
        typed = _infer_shapes(model)
        while len(self._quick) < len(self._functions) and self._add_results(typed.graph):
            typed = _infer_shapes(typed)
        complete_types(typed)
        return typed

    def _add_results(self, graph: onnx.GraphProto) -> bool:
        """Write down the types of what hidden calls return, where all that they take is known; tell whether any is."""
        learned = False
        for call in _calls(graph, {}, self._functions):
            is_hidden = self._expansions[call.key] > _MAX_EXPANSION
            if not (is_hidden and call.is_news) or len(self._bodies) >= MAX_BINDINGS:
                continue
            body = self._body(call).graph
            results = _known_types(body)
            for value, output in zip(call.node.output, body.output, strict=False):
                if value and value not in call.types and output.name in results:
                    _declare(call.graph, value, results[output.name])
                    learned = True
        return learned

    def _body(self, call: "_Call") -> onnx.ModelProto:
        function = self._functions[call.key]
        body = bind(function, call.node, call.types)
        binding = call.key, body.SerializeToString(deterministic=True)
        if binding not in self._bodies:
            self._bodies[binding] = self._infer(self._as_model(body, function.opset_import))
        return self._bodies[binding]

    def _as_model(self, body: onnx.GraphProto, opset_import: Any) -> onnx.ModelProto:
        return onnx.ModelProto(
            ir_version=self._outline.ir_version,
            graph=body,
            opset_import=opset_import or self._outline.opset_import,
            functions=self._quick,
        )


@dataclass(frozen=True)
class _Call:
    """A call of a function.

    Attributes:
        key: The function.
        node: The node that calls.
        graph: The graph that holds it.
        types: The types of the values that the node may use.
    """

    key: FunctionKey
    node: onnx.NodeProto
    graph: onnx.GraphProto
    types: Mapping[str, onnx.TypeProto]

    @property
    def is_news(self) -> bool:
        """Whether all inputs have types, and some output has none."""
        takes_known = all(name in self.types for name in self.node.input if name)
        return takes_known and any(name not in self.types for name in self.node.output if name)


def _declare(graph: onnx.GraphProto, name: str, value_type: onnx.TypeProto) -> None:
    output = next((value for value in graph.output if value.name == name), None)
    declared = graph.value_info.add(name=name) if output is None else output
    declared.type.CopyFrom(value_type)


def _calls(
    graph: onnx.GraphProto, outer: Mapping[str, onnx.TypeProto], functions: Mapping[FunctionKey, onnx.FunctionProto]
) -> Iterator[_Call]:
    """Yield each call of a function, in a graph and the graphs inside."""
    types = {**outer, **_known_types(graph)}
    for node in graph.node:
        key = node.domain, node.op_type, getattr(node, "overload", "")
        if key in functions:
            yield _Call(key, node, graph, types)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _calls(attribute.g, types, functions)


def _known_types(graph: onnx.GraphProto) -> dict[str, onnx.TypeProto]:
    types = {t.name: onnx.helper.make_tensor_type_proto(t.data_type, None) for t in graph.initializer}
    for value in (*graph.value_info, *graph.output, *graph.input):
        if value.HasField("type"):
            types[value.name] = _without_shape(value.type)
    return types


def _without_shape(source: onnx.TypeProto) -> onnx.TypeProto:
    copy = onnx.TypeProto()
    copy.CopyFrom(source)
    if copy.HasField("tensor_type"):
        copy.tensor_type.ClearField("shape")
    return copy


def bind(function: onnx.FunctionProto, call: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> onnx.GraphProto:
    """Return a function's body as a graph, for one call: inputs typed, attribute references replaced.

    Args:
        function: The function.
        call: The node that calls it.
        types: Names of values to their types, as far as they are known.
    """
    graph = onnx.GraphProto(name=function.name)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in function.output)
    for index, name in enumerate(function.input):
        argument = call.input[index] if index < len(call.input) else ""
        graph.input.append(onnx.ValueInfoProto(name=name, type=types.get(argument)))
    arguments = {attribute.name: attribute for attribute in (*function.attribute_proto, *call.attribute)}
    for node in function.node:
        graph.node.add().CopyFrom(node)
        _replace_references(graph.node[-1], arguments)
    return graph


def _replace_references(node: onnx.NodeProto, arguments: Mapping[str, onnx.AttributeProto]) -> None:
    attributes = list(node.attribute)
    del node.attribute[:]
    for attribute in attributes:
        if not attribute.ref_attr_name:
            node.attribute.append(attribute)
        elif attribute.ref_attr_name in arguments:
            node.attribute.append(arguments[attribute.ref_attr_name])
            node.attribute[-1].name = attribute.name
    for attribute in node.attribute:
        if attribute.HasField("g"):
            for inner in attribute.g.node:
                _replace_references(inner, arguments)
