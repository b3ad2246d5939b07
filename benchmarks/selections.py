"""Which products of a model a measurement converts."""

from pathlib import Path

from lba_onnx import Selection
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.weights import DYNAMIC


def products_with_weights(model: Path) -> Selection:
    """Return the selection that leaves products of two computed operands, such as those of attention, in float32."""
    computed = (entry.node for entry in list_candidates(model).entries if entry.weights == DYNAMIC)
    return Selection(nodes_to_exclude=tuple(computed))
