"""The specs of a converted model, changed in place of converting again."""

from collections.abc import Callable

import onnx

from lba_onnx import ops
from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.attributes import drop_attributes, set_attributes
from lba_onnx.rewrite.candidates import find_candidates


def read_specs(model: onnx.ModelProto) -> dict[str, Accumulator]:
    """Return the specs of a converted model's nodes, by the names that the ledger gives them.

    Raises:
        ModelError: The model has no converted node.
    """
    specs = {candidate.name: spec for candidate in find_candidates(model) if (spec := candidate.present_spec)}
    if not specs:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    return specs


def change_specs(model: onnx.ModelProto, change: Callable[[str, Accumulator], Accumulator | str]) -> onnx.ModelProto:
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
            set_spec(candidate.site.node, changed_spec)
    return changed


def set_spec(node: onnx.NodeProto, spec: Accumulator) -> None:
    """Give a converted node another spec, however it is written there; its other attributes stay."""
    drop_attributes(node, ops.SPEC_ATTRIBUTES)
    set_attributes(node, spec.to_attributes())
