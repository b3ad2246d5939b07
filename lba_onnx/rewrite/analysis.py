"""What onnx-graphsurgeon's import tells about each node: element types, shapes, and where its weights come from.

The import is only read. It links tensors to their producers across nested scopes, which protobuf messages do not;
the edit itself is made on the messages (see docs/decisions/0002-graphsurgeon-analyses-protos-are-patched.md).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

from lba_onnx import operators
from lba_onnx.rewrite.attributes import attributes_in_calls
from lba_onnx.rewrite.typed import FunctionKey, function_key, type_graphs

Body: TypeAlias = "onnx.GraphProto | onnx.FunctionProto"


@dataclass(frozen=True)
class Site:
    """A node of the model, and its images in the imported graphs.

    Attributes:
        location: Where the node lives, such as `main/If_3:then_branch` or `function mydomain:Block`.
        body: The graph or function that holds the node.
        function: The function that the body belongs to, or None in the main graph and below it.
        opset: The version of the default domain there, or 0.
        node: The node itself, in the model.
        images: Its images; several in a function that is called with different types, none where there was no import.
        copies: Its copies without attribute references, one for each way of calling the function that holds it.
    """

    location: str
    body: Body
    function: onnx.FunctionProto | None
    opset: int
    node: onnx.NodeProto
    images: tuple[gs.Node, ...]
    copies: tuple[onnx.NodeProto, ...]

    def attributes(self) -> dict[str, Any]:
        """Return the node's attributes; None for one whose value differs between the calls of the function."""
        return attributes_in_calls(self.node, self.copies)

    def operand_types(self, inputs: Collection[int]) -> list[set[int]]:
        """Return for each image the known element types (of onnx.TensorProto.DataType) of some inputs and the outputs.

        Args:
            inputs: Which inputs; those that the node lacks are left out.
        """
        return [
            {
                element_type(tensor)
                for tensor in (*(t for i, t in enumerate(image.inputs) if i in inputs), *image.outputs)
                if tensor.name
            }
            - {onnx.TensorProto.UNDEFINED}
            for image in self.images
        ]

    def input_types(self, index: int) -> set[int]:
        """Return the known element types of an input."""
        inputs = [image.inputs[index] for image in self.images if index < len(image.inputs)]
        return {element_type(tensor) for tensor in inputs} - {onnx.TensorProto.UNDEFINED}

    def dimensions(self, index: int) -> tuple[int | None, ...] | None:
        """Return the dimensions of an input as far as they are known; None where their number is not."""
        shapes = {
            None if image.inputs[index].shape is None else tuple(image.inputs[index].shape)
            for image in self.images
            if index < len(image.inputs)
        }
        shape = shapes.pop() if len(shapes) == 1 else None
        return None if shape is None else tuple(size if isinstance(size, int) else None for size in shape)

    def rank(self, index: int) -> int | None:
        """Return the number of dimensions of an input, where it is known."""
        ranks = {len(image.inputs[index].shape) for image in self.images if image.inputs[index].shape is not None}
        return ranks.pop() if len(ranks) == 1 else None


def walk_sites(model: onnx.ModelProto) -> Iterator[Site]:
    """Yield the nodes of the main graph, of its subgraphs where they stand, then of the functions."""
    typed = type_graphs(model)
    opset = default_opset(model)
    yield from _walk(_Place("main", None, opset), model.graph, [_import(typed.main)])
    for function in model.functions:
        if function.domain == operators.DOMAIN or operators.twin_of(function.domain, function.name) is not None:
            continue  # bodies of a portable model; bodies of what is converted as one operator
        key = function_key(function)
        place = _Place(_function_location(key), function, default_opset(function) or opset)
        yield from _walk(place, function, [_import(body) for body in typed.functions[key]])


def default_opset(owner: "onnx.ModelProto | onnx.FunctionProto") -> int:
    """Return the version of the default domain that a model or function imports, or 0."""
    return next((int(o.version) for o in owner.opset_import if o.domain in ("", "ai.onnx")), 0)


def element_type(tensor: gs.Tensor) -> int:
    """Return an imported tensor's element type, as a value of onnx.TensorProto.DataType; UNDEFINED if not known."""
    dtype = tensor.dtype
    if dtype is None or isinstance(dtype, onnx.TypeProto):
        return int(onnx.TensorProto.UNDEFINED)
    return int(dtype) if isinstance(dtype, int) else int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _function_location(key: FunctionKey) -> str:
    domain, name, overload = key
    return f"function {domain}:{name}" + (f":{overload}" if overload else "")


def _walk(place: "_Place", body: Body, copies: Sequence["_TypedBody"]) -> Iterator[Site]:
    nodes = [list(copy.graph.node) for copy in copies]
    for index, node in enumerate(body.node):
        images = [copy.image and copy.image.nodes[index] for copy in copies]
        node_copies = tuple(copied[index] for copied in nodes)
        known = tuple(image for image in images if image is not None)
        yield Site(place.location, body, place.function, place.opset, node, known, node_copies)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                inner = f"{place.location}/{node.name or f'{node.op_type}_{index}'}:{attribute.name}"
                bodies = [_inner(copy, image, attribute.name) for copy, image in zip(node_copies, images, strict=True)]
                yield from _walk(replace(place, location=inner), attribute.g, bodies)


def _inner(node: onnx.NodeProto, image: gs.Node | None, name: str) -> "_TypedBody":
    graph = next(attribute.g for attribute in node.attribute if attribute.name == name)
    inner = image and image.attrs.get(name)
    return _TypedBody(graph, inner if isinstance(inner, gs.Graph) else None)


@dataclass(frozen=True)
class _TypedBody:
    """A typed copy of a body, and its import, where that could be had."""

    graph: onnx.GraphProto
    image: gs.Graph | None


@dataclass(frozen=True)
class _Place:
    location: str
    function: onnx.FunctionProto | None
    opset: int


def _import(model: onnx.ModelProto) -> _TypedBody:
    """Import a weightless model; the attributes go, but for subgraphs, since some trip the importer."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    _keep_subgraphs_only(bare.graph)
    with G_LOGGER.suppress(G_LOGGER.CRITICAL + 1):  # it prints warnings to standard output
        try:
            return _TypedBody(model.graph, gs.import_onnx(bare))
        except Exception:  # the importer raises what it likes
            return _TypedBody(model.graph, None)


def _keep_subgraphs_only(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        kept = [attribute for attribute in node.attribute if attribute.HasField("g")]
        del node.attribute[:]
        node.attribute.extend(kept)
        for attribute in node.attribute:
            _keep_subgraphs_only(attribute.g)
