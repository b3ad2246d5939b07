"""Copies of a model in which each tensor's values are placed by the caller: nowhere, inline, or in a file.

    onnx.ModelProto (2 GB of weights)  ->  onnx.ModelProto (the same, some kilobytes, no weight copied on the way)

Requires nothing of the model. Ensures that all but the values of dense tensors equals the source.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from lba_onnx.errors import ModelError

PlaceTensor: TypeAlias = Callable[[onnx.TensorProto, onnx.TensorProto, bool], None]
"""Called as place(source, target, is_attribute); fills the empty target."""

_SMALL_ELEMENTS = 256  # shapes, axes and scalars, which shape inference reads


def copy_outline(model: onnx.ModelProto, place: PlaceTensor) -> onnx.ModelProto:
    """Return a copy of a model whose dense tensors are made by `place`.

    Args:
        model: The source; its tensors are read one at a time.
        place: Fills each initializer and each tensor attribute, in graphs, subgraphs and functions.

    Raises:
        ModelError: A name in the model is not UTF-8; other texts may be any bytes.
    """
    try:
        return _copy_model(model, place)
    except UnicodeDecodeError as error:
        raise ModelError(f"expected names in the model to be UTF-8, got {error.object!r}") from None


def _copy_model(model: onnx.ModelProto, place: PlaceTensor) -> onnx.ModelProto:
    outline = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            _copy_graph(value, outline.graph, place)
        elif field.name == "functions":
            for function in value:
                _copy_function(function, outline.functions.add(), place)
        else:
            _copy_field(outline, field, value)
    return outline


def place_nothing(source: onnx.TensorProto, target: onnx.TensorProto, is_attribute: bool) -> None:
    """Keep a tensor's name, type and dimensions; its values only when they are few and inline."""
    if source.data_location != onnx.TensorProto.EXTERNAL and _element_count(source) <= _SMALL_ELEMENTS:
        target.CopyFrom(source)
    else:
        describe(source, target)


def describe(source: onnx.TensorProto, target: onnx.TensorProto) -> None:
    """Copy everything about a tensor but its values and where they are."""
    for field, value in source.ListFields():
        if field.name in ("name", "data_type", "doc_string"):
            _copy_field(target, field, value)
    target.dims.extend(source.dims)
    if source.HasField("segment"):
        target.segment.CopyFrom(source.segment)
    if "metadata_props" in source.DESCRIPTOR.fields_by_name:  # since onnx 1.17
        target.metadata_props.extend(source.metadata_props)


def _element_count(tensor: onnx.TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _copy_graph(source: onnx.GraphProto, target: onnx.GraphProto, place: PlaceTensor) -> None:
    for field, value in source.ListFields():
        if field.name == "node":
            for node in value:
                _copy_node(node, target.node.add(), place)
        elif field.name == "initializer":
            for tensor in value:
                place(tensor, target.initializer.add(), False)
        else:
            _copy_field(target, field, value)


def _copy_function(source: onnx.FunctionProto, target: onnx.FunctionProto, place: PlaceTensor) -> None:
    for field, value in source.ListFields():
        if field.name == "node":
            for node in value:
                _copy_node(node, target.node.add(), place)
        else:
            _copy_field(target, field, value)


def _copy_node(source: onnx.NodeProto, target: onnx.NodeProto, place: PlaceTensor) -> None:
    if not any(_holds_tensors(attribute) for attribute in source.attribute):
        target.CopyFrom(source)
        return
    for field, value in source.ListFields():
        if field.name == "attribute":
            for attribute in value:
                _copy_attribute(attribute, target.attribute.add(), place)
        else:
            _copy_field(target, field, value)


def _holds_tensors(attribute: onnx.AttributeProto) -> bool:
    return bool(attribute.HasField("t") or attribute.HasField("g") or attribute.tensors or attribute.graphs)


def _copy_attribute(source: onnx.AttributeProto, target: onnx.AttributeProto, place: PlaceTensor) -> None:
    for field, value in source.ListFields():
        if field.name == "t":
            place(value, target.t, True)
            target.t.SetInParent()
        elif field.name == "tensors":
            for tensor in value:
                place(tensor, target.tensors.add(), True)
        elif field.name == "g":
            target.g.SetInParent()
            _copy_graph(value, target.g, place)
        elif field.name == "graphs":
            for graph in value:
                _copy_graph(graph, target.graphs.add(), place)
        else:
            _copy_field(target, field, value)


def _copy_field(target: Message, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, Message):
        getattr(target, field.name).CopyFrom(value)
    elif isinstance(value, bytes) and field.type == FieldDescriptor.TYPE_STRING:
        _set_undecoded(target, field, value)
    elif isinstance(value, (str, bytes, int, float)):
        setattr(target, field.name, value)
    else:
        getattr(target, field.name).extend(value)


def _set_undecoded(target: Message, field: FieldDescriptor, value: bytes) -> None:
    """Give a text bytes that are not UTF-8: protobuf hands them out as they are, but takes them only when parsing."""
    length_delimited = 2
    target.MergeFromString(_varint(field.number << 3 | length_delimited) + _varint(len(value)) + value)


def _varint(number: int) -> bytes:
    sevens = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([*(seven | 0x80 for seven in sevens[:-1]), sevens[-1]])
