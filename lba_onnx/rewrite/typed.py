"""Weightless, typed copies of a model's graphs, for analysis: what shape inference knows, written into value_info.

    model            ->  main graph with value_info
    function f(x)    ->  one graph for each combination of element types and attributes that f is called with,
                         its inputs typed as at the call, its attribute references replaced

Requires nothing of the model: where inference fails, types stay unknown. Ensures that nodes keep their order, so that
a typed graph's node and the model's node pair by index.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx

from lba_onnx import ops
from lba_onnx.rewrite.outline import copy_outline, place_nothing

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a model-local function."""

_MAX_BINDINGS = 1000  # a model whose functions are called in more ways than these keeps the rest unknown
_STANDARD_TYPES = {lba_type: op_type for op_type, lba_type in ops.OP_TYPES.items()}


@dataclass
class TypedGraphs:
    """The typed copies: of the main graph, and of each function's body once a way of calling it."""

    main: onnx.ModelProto
    functions: dict[FunctionKey, list[onnx.ModelProto]] = field(default_factory=dict)


def function_key(function: onnx.FunctionProto) -> FunctionKey:
    """Return what identifies a function in its model."""
    return function.domain, function.name, getattr(function, "overload", "")


def type_graphs(model: onnx.ModelProto) -> TypedGraphs:
    """Return weightless copies of the main graph and of the function bodies, with inferred types."""
    outline = copy_outline(model, place_nothing)
    _restore_standard_operators(outline)
    typed = TypedGraphs(_infer(outline))
    functions = {function_key(function): function for function in outline.functions}
    _type_functions(typed, functions, outline)
    for copy in (typed.main, *(body for bodies in typed.functions.values() for body in bodies)):
        del copy.functions[:]
    return typed


def _restore_standard_operators(outline: onnx.ModelProto) -> None:
    """Turn converted nodes back, since shape inference knows only the operators that they replaced."""
    bodies = [outline.graph, *outline.functions]
    while bodies:
        for node in bodies.pop().node:
            if node.domain == ops.DOMAIN and node.op_type in _STANDARD_TYPES:
                node.op_type, node.domain = _STANDARD_TYPES[node.op_type], ""
            bodies.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _infer(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # whatever inference cannot digest, the model's own type information remains
        return model


def _type_functions(
    typed: TypedGraphs, functions: Mapping[FunctionKey, onnx.FunctionProto], outline: onnx.ModelProto
) -> None:
    """Follow the calls from the main graph on; a function that is never called gets one untyped body."""
    pending = [typed.main]
    seen: set[tuple[FunctionKey, bytes]] = set()
    while pending and len(seen) < _MAX_BINDINGS:
        for key, call, types in _calls(pending.pop().graph, {}, functions):
            body = _bind(functions[key], call, types)
            binding = key, body.SerializeToString(deterministic=True)
            if binding not in seen:
                seen.add(binding)
                copy = _infer(_as_model(body, functions[key], outline))
                typed.functions.setdefault(key, []).append(copy)
                pending.append(copy)
    for key, function in functions.items():
        if key not in typed.functions:
            body = _bind(function, onnx.NodeProto(), {})
            typed.functions[key] = [_as_model(body, function, outline)]


def _calls(
    graph: onnx.GraphProto, outer: Mapping[str, onnx.TypeProto], functions: Mapping[FunctionKey, onnx.FunctionProto]
) -> Iterator[tuple[FunctionKey, onnx.NodeProto, Mapping[str, onnx.TypeProto]]]:
    """Yield each call of a function, with the types of the values in its scope."""
    types = {**outer, **_known_types(graph)}
    for node in graph.node:
        key = node.domain, node.op_type, getattr(node, "overload", "")
        if key in functions:
            yield key, node, types
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


def _bind(function: onnx.FunctionProto, call: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> onnx.GraphProto:
    """Return a function's body as a graph, for one call: inputs typed, attribute references replaced."""
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


def _as_model(body: onnx.GraphProto, function: onnx.FunctionProto, outline: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto(
        ir_version=outline.ir_version,
        graph=body,
        opset_import=function.opset_import or outline.opset_import,
        functions=outline.functions,
    )
