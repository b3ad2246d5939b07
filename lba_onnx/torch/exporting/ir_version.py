"""The lowest IR version that an exported model can have, so that older versions of onnxruntime read it.

    IR version 10, opset 20, notes of the exporter on nodes and values   ->   IR version 9, opset 20, without them

What IR version 10 has over 9 are those notes (`metadata_props` below the model: stack traces, paths on this machine),
4-bit integers, which no operator before opset 21 takes, and overloads of functions.
"""

import onnx


def lower_ir_version(model: onnx.ModelProto) -> None:
    """Give a model the lowest IR version with its operator sets, and take away the exporter's notes.

    The model's own metadata stay. A model with functions is left as it is: they hold what depends on the IR version,
    too (torch.onnx.export inlines its own).

    Args:
        model: Changed in place.
    """
    if model.functions:
        return
    _clear_notes(model.graph)
    needed = onnx.helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = min(model.ir_version, needed)


def _clear_notes(graph: onnx.GraphProto) -> None:
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _clear_notes(attribute.g)
