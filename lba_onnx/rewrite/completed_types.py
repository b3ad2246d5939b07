"""Types and shapes behind operators that onnx's inference does not know, such as onnxruntime's own.

    x [2, 7, 64] -> SkipLayerNormalization -> ?             onnx's inference stops here, and so for all that follows
                                           -> [2, 7, 64]    by the rules that products are counted with

Requires a graph on which onnx's inference has run. Ensures that nothing which it knows changes.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import onnx

from lba_onnx.operators import standard_domain

if TYPE_CHECKING:
    from lba_onnx.rewrite.macs.known import Known

Values: TypeAlias = "ChainMap[str, Known]"


def complete_types(model: onnx.ModelProto) -> None:
    """Write into value_info what rules tell of values that onnx's inference knows nothing of, node after node.

    Args:
        model: A weightless model with inferred types.
    """
    if any(standard_domain(node.domain) for node in _all_nodes(model.graph)):
        opsets = {standard_domain(o.domain): int(o.version) for o in model.opset_import}
        _complete(model.graph, opsets, ChainMap())


def _complete(graph: onnx.GraphProto, opsets: Mapping[str, int], outer: Values) -> None:
    from lba_onnx.rewrite.macs.known import Known  # which needs what types are needed for
    from lba_onnx.rewrite.macs.outputs import infer_outputs

    declared = {value.name: value for value in (*graph.value_info, *graph.output)}
    values: Values = outer.new_child({name: Known.of_type(value.type) for name, value in declared.items()})
    values.update({value.name: Known.of_type(value.type) for value in graph.input})
    values.update({tensor.name: Known(tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer})
    values.update({t.name: Known.of_tensor(t) for t in graph.initializer if _holds_values(t)})
    for node in graph.node:
        inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        if not inner and (node.op_type == "Constant" or any(_is_open(values.get(name)) for name in node.output)):
            inputs = [values.get(name, Known()) if name else Known() for name in node.input]
            for name, found in zip(node.output, infer_outputs(node, inputs, opsets), strict=True):
                if name and found.element_type and _is_open(values.get(name)):
                    _declare(graph, declared, name, found.type)
                if name and found.element_type:
                    values[name] = found.filled_from(values.get(name, Known()))
        for body in inner:
            _complete(body, opsets, values)


def _is_open(known: "Known | None") -> bool:
    return known is None or not known.element_type or known.shape is None


def _declare(
    graph: onnx.GraphProto, declared: Mapping[str, onnx.ValueInfoProto], name: str, value_type: onnx.TypeProto
) -> None:
    value = declared[name] if name in declared else graph.value_info.add(name=name)
    if not value.type.tensor_type.elem_type or value.type.tensor_type.elem_type == value_type.tensor_type.elem_type:
        value.type.CopyFrom(value_type)


def _holds_values(tensor: onnx.TensorProto) -> bool:
    """Return whether a tensor has its values here: those of an outline mostly have none."""
    return any(field.name.endswith("data") for field, _ in tensor.ListFields())


def _all_nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g)
