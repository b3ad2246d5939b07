"""Models derived from one converted model: nodes with other specs, or back in float32.

LbaConv "conv1" (accumulator="M7E4b12/M7E4b10")   ->   LbaConv "conv1" (accumulator="M22E7b63/M22E7b63")
                                                  ->   Conv "conv1"

A node that multiplies integers is as it was with sums as wide as results: those are exact on every processor, which the
kernels of the operator that it replaces need not be.

LbaQLinearConv "conv1" (accumulator="int16-wrap") ->   LbaQLinearConv "conv1" (accumulator="int32-wrap")
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import onnx

from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction.correcting import corrected_by
from lba_onnx.diagnosis.constant_weights import overflowing
from lba_onnx.errors import ModelError, SelectionError
from lba_onnx.rewrite.attributes import drop_attributes
from lba_onnx.rewrite.bias_start import has_bias_starts
from lba_onnx.rewrite.candidates import Candidate, converted_products, takes_codes
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, external_tensors, open_model
from lba_onnx.rewrite.model_writer import save_model, scratch_beside
from lba_onnx.rewrite.provenance import PROVENANCE_KEY, read_json_entry
from lba_onnx.rewrite.selection import requested_groups
from lba_onnx.rewrite.specs import complete_specs, read_specs, set_spec
from lba_onnx.rewrite.twins import arithmetic_attributes, rename_to_replaced, schema_of

_BASE = "converted.onnx"

Change = Callable[[str, Accumulator], Accumulator | None]
"""Called with a product's name and spec; returns another spec, or None for float32, which beside another product of the
same node, and of integers, is a spec that stands for it."""


class Variants:
    """A converted model and its variants.

    Attributes:
        specs: The specs of the converted model's products, in the model's order.
        op_types: Their standard operators, such as "Conv"; their own where they stand for several.
        reference: The model of before: as given, or the converted model with all nodes back in float32, or in int32.
        can_overflow: Of products in the sums of a shipping kernel, whether their weights let these overflow; else None.
        bias_start: Whether sums of the converted model start from biases.
        selection: Which operators are taken apart on request in it.
        is_corrected: Whether the converted model has other weights than the reference.
        recipe: What `correct` corrected the converted model by, as its metadata say; None where it did not.
        provenance: What the metadata say of the specs.
        has_given_reference: Whether the reference was given.
    """

    def __init__(self, model: ModelSource, reference: "ModelSource | None", folder: Path) -> None:
        """Open both; see `open_variants`."""
        opened = open_model(model)
        self.specs = read_specs(opened.proto)
        self.bias_start = has_bias_starts(opened.proto)
        self.selection = requested_groups(opened.proto)
        self.op_types = {product.name: _operator(product) for product in converted_products(opened.proto)}
        self.can_overflow = overflowing(opened)
        self.provenance = read_json_entry(opened.proto, PROVENANCE_KEY)
        self.recipe = corrected_by(opened.proto)
        if self.recipe is not None and reference is None:
            raise ModelError(
                "expected the float32 reference beside a corrected model, whose weights are others, got none"
            )
        self.has_given_reference = reference is not None
        self._folder = folder
        self._count = 0
        self._base = _in_memory_or_in(opened if reference is None else self._convert(reference), folder)
        self.is_corrected = self.recipe is not None or _differ(opened.proto, self._base.proto)
        self.reference: ModelSource = self.make(to_float32) if reference is None else reference

    def make(self, change: Change) -> "onnx.ModelProto | Path":
        """Return a variant: in memory, or, where weights are external data, a file that lives as long as all this."""
        variant = self.open(change)
        if variant.path is None:
            return variant.proto
        self._count += 1
        path = self._folder / f"variant_{self._count}.onnx"
        save_model(variant.proto, path, source_path=variant.path)
        return path

    def open(self, change: Change) -> OpenModel:
        """Return a variant in memory; where weights are external data, with a path beside which these lie."""
        proto = self._copied()
        for own in _nodes(proto):
            self._apply(change, own)
        return OpenModel(proto, self._base.path)

    def each_alone(self) -> Iterator[tuple[str, onnx.ModelProto]]:
        """Yield each product, and the model in which it alone is converted, which is changed for the next."""
        proto = self._copied()
        nodes = _nodes(proto)
        converted = [_copy(own[0].site.node) for own in nodes]
        for own in nodes:
            self._apply(to_float32, own)
        for own, node in zip(nodes, converted, strict=True):
            float32 = _copy(own[0].site.node)
            for product in own:
                own[0].site.node.CopyFrom(node)
                self._apply(_only(product.name), own)
                yield product.name, proto
            own[0].site.node.CopyFrom(float32)

    def _copied(self) -> onnx.ModelProto:
        proto = onnx.ModelProto()
        proto.CopyFrom(self._base.proto)
        return proto

    def _apply(self, change: Change, products: Sequence[Candidate]) -> None:
        """Change a node, of which these are the products."""
        _change(products, [self._changed(product, change) for product in products])

    def _changed(self, product: Candidate, change: Change) -> Accumulator | None:
        spec = self.specs[product.name]
        changed = change(product.name, spec)
        return spec.wide() if changed is None and takes_codes(product.site.node) else changed

    def _convert(self, reference: ModelSource) -> OpenModel:
        opened = open_model(reference)
        path = self._folder / _BASE if next(external_tensors(opened.proto), None) is not None else None
        try:
            settings: dict[str, Any] = {"bias_start": self.bias_start, "selection": self.selection}
            proto, report = convert_quietly(reference, self.specs, model_output=path, **settings)
        except SelectionError as error:
            raise ModelError(f"expected a reference with the nodes of the converted model: {error}") from None
        converted = {entry.node for entry in report.converted}
        missing = [name for name in self.specs if name not in converted]
        if missing:
            raise ModelError(f"expected a float32 reference, got one in which {missing[0]!r} cannot be converted")
        return open_model(path) if path else OpenModel(proto, None)


@contextmanager
def open_variants(model: ModelSource, reference: "ModelSource | None") -> Iterator[Variants]:
    """Open a converted model and the float32 model that it comes from while the block runs.

    Args:
        model: The converted model, as path, bytes or ModelProto.
        reference: The float32 model; None for the converted model with its nodes back in float32.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: A model cannot be read, the first has no converted node, the reference lacks one of its nodes, or
            there is none although the first was corrected.
    """
    with scratch_beside(open_model(model if reference is None else reference)) as folder:
        yield Variants(model, reference, folder)


def to_float32(name: str, spec: Accumulator) -> None:
    """Change every product back to float32."""


def _only(product: str) -> Change:
    """Return the change of every other product back to float32."""
    return lambda name, spec: spec if name == product else None


def _nodes(proto: onnx.ModelProto) -> list[list[Candidate]]:
    """Return the products of each converted node."""
    return [list(own) for _, own in groupby(converted_products(proto), key=lambda product: product.node_name)]


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


def _in_memory_or_in(opened: OpenModel, folder: Path) -> OpenModel:
    """Write a model with external data into a folder, where variants refer to the same data."""
    if next(external_tensors(opened.proto), None) is None:
        return OpenModel(opened.proto, None)
    if opened.path is not None and opened.path.parent == folder:
        return opened
    path = folder / _BASE
    save_model(opened.proto, path, source_path=opened.path)
    return open_model(path)


def _change(products: Sequence[Candidate], specs: Sequence[Accumulator | None]) -> None:
    """Give the products of a converted node other specs; all of them None makes one of floats what it was."""
    node = products[0].site.node
    if all(spec is None for spec in specs):
        drop_attributes(node, arithmetic_attributes(node))
        rename_to_replaced(node)
        return
    for product, spec in zip(products, complete_specs(specs), strict=True):
        if spec is not None:
            set_spec(node, spec, product.product)


def _operator(product: Candidate) -> str:
    schema = schema_of(product.site.node)
    return schema.replaces or schema.op_type


def _differ(first: onnx.ModelProto, second: onnx.ModelProto) -> bool:
    """Return whether a weight that both models hold has other values; those in external data are not looked at."""
    own, others = _weights(first), _weights(second)
    return any(own[name] != others[name] for name in own.keys() & others.keys())


def _weights(model: onnx.ModelProto) -> dict[str, bytes]:
    """Return the values of the main graph's initializers that are in the model itself."""
    tensors = (tensor for tensor in model.graph.initializer if tensor.data_location != onnx.TensorProto.EXTERNAL)
    return {tensor.name: tensor.SerializeToString(deterministic=True) for tensor in tensors}
