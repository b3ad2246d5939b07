"""The models that stand for float32: one that corrections observe, and one that recipes are judged by."""

import onnx

from lba_onnx.rewrite.analysis import default_opset
from lba_onnx.rewrite.attributes import drop_attributes
from lba_onnx.rewrite.conversion import converted_nodes
from lba_onnx.rewrite.specs import change_specs
from lba_onnx.rewrite.twins import arithmetic_attributes, rename_to_replaced

_FIRST_OPSET = 7


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a converted model that stands for float32: all its accumulators are wide."""
    return change_specs(model, lambda _, spec: spec.wide())


def restored(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a converted model of floats whose nodes are the operators again that they stand for.

    Before opset 7 it is the model with wide accumulators: of Gemm onnxruntime has no kernel of these.
    """
    if default_opset(model) < _FIRST_OPSET:
        return widened(model)
    restored = onnx.ModelProto()
    restored.CopyFrom(model)
    for _, node in converted_nodes(restored):
        drop_attributes(node, arithmetic_attributes(node))
        rename_to_replaced(node)
    return restored
