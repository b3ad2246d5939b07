"""The specs of a converted model, changed in place of converting again."""

from collections.abc import Callable

import onnx

from lba_onnx.accumulator import AccumulatorSpec, as_spec
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.attributes import set_attributes
from lba_onnx.rewrite.candidates import find_candidates


def read_specs(model: onnx.ModelProto) -> dict[str, AccumulatorSpec]:
    """Return the specs of a converted model's nodes, by the names that the ledger gives them.

    Raises:
        ModelError: The model has no converted node.
    """
    specs = {candidate.name: spec for candidate in find_candidates(model) if (spec := candidate.present_spec)}
    if not specs:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    return specs


def change_specs(
    model: onnx.ModelProto, change: Callable[[str, AccumulatorSpec], AccumulatorSpec | str]
) -> onnx.ModelProto:
    """Return a copy of a converted model with other specs; its metadata still tells of the first.

    Args:
        model: The converted model.
        change: Called with each node's name and spec; returns the new spec, or its text.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for candidate in find_candidates(changed):
        spec = candidate.present_spec
        if spec is not None:
            changed_spec = as_spec(change(candidate.name, spec), f"spec of node {candidate.name!r}")
            set_attributes(candidate.site.node, changed_spec.to_attributes())
    return changed
