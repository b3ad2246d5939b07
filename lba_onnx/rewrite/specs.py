"""The specs of a converted model, changed in place of converting again."""

from collections.abc import Callable, Sequence

import onnx

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.errors import ModelError
from lba_onnx.operators import Product
from lba_onnx.rewrite.attributes import drop_attributes, set_attributes
from lba_onnx.rewrite.candidates import Candidate, converted_products, takes_codes


def read_specs(model: onnx.ModelProto) -> dict[str, Accumulator]:
    """Return the specs of a converted model's products, by the names that the ledger gives them.

    Raises:
        ModelError: The model has no converted node.
    """
    specs = {product.name: spec for product in converted_products(model) if (spec := product.present_spec)}
    if not specs:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    return specs


def change_specs(model: onnx.ModelProto, change: Callable[[str, Accumulator], Accumulator | str]) -> onnx.ModelProto:
    """Return a copy of a converted model with other specs; its metadata still tells of the first.

    Args:
        model: The converted model.
        change: Called with each product's name and spec; returns the new spec, or its text.

    Raises:
        ModelError: A product of integers gets an accumulator of floats, or the other way round.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for product in converted_products(changed):
        spec = product.present_spec
        if spec is not None:
            changed_spec = as_spec(change(product.name, spec), f"spec of node {product.name!r}")
            _require_same_sort(product, changed_spec)
            set_spec(product.site.node, changed_spec, product.product)
    return changed


def _require_same_sort(product: Candidate, spec: Accumulator) -> None:
    is_wanted = takes_codes(product.site.node)
    if spec.sums_codes == is_wanted:
        return
    expected = "integers, such as int32-wrap" if is_wanted else "floats, such as M7E4b10"
    raise ModelError(f"spec of node {product.name!r}: expected an accumulator of {expected}, got {spec}")


def set_spec(node: onnx.NodeProto, spec: Accumulator, product: str = "") -> None:
    """Give a converted node another spec, however it is written there; its other attributes stay.

    Args:
        node: The node.
        spec: The spec.
        product: The product that it is for; "" for the only one.
    """
    drop_attributes(node, [attribute.name for attribute in Product(product).attributes])
    set_attributes(node, spec.to_attributes(product))


def complete_specs(specs: Sequence[Accumulator | None]) -> Sequence[Accumulator | None]:
    """Return the specs of one node's products: none at all, or one for each.

    Args:
        specs: The spec of each; None for one in float32. Beside another one it gets a spec that stands for float32.
    """
    first = next((spec for spec in specs if spec is not None), None)
    return specs if first is None else [first.wide() if spec is None else spec for spec in specs]
