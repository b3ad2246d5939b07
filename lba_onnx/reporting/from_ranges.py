"""How values are spread over powers of two, out of a calibration or of a node's statistics."""

from collections.abc import Mapping
from typing import Any

from lba_onnx.arithmetic import Accumulator, as_spec
from lba_onnx.arithmetic.accumulator import HeldRange
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.reporting.sections import NodeSpreads, Spread


def spreads_of_calibration(value: Mapping[str, Any]) -> dict[str, NodeRange]:
    """Return what each node of a calibration's JSON has seen, but those that never ran."""
    ranges = {str(name): node["range"] for name, node in value["nodes"].items()}
    return {name: NodeRange.from_json(seen) for name, seen in ranges.items() if seen is not None}


def node_spreads(node: str, spec: Accumulator | str, seen: NodeRange) -> NodeSpreads | None:
    """Return the spreads of a node's products and sums under an accumulator; None where nothing was counted."""
    accumulator = as_spec(spec)
    held = accumulator.ranges
    if not seen.products_log2.bins or not seen.sums_log2.bins or len(held) < 2:
        return None
    products = _spread("products", held[0], seen.products_log2, seen.max_abs_product)
    sums = _spread("sums", held[-1], seen.sums_log2, seen.max_abs_sum)
    return NodeSpreads(node, str(accumulator), (products, sums))


def nonzero_share(seen: NodeRange) -> float | None:
    """Return the share of a node's products that is not zero; None where that was not counted."""
    values = seen.sampled_outputs * seen.depth
    return min(seen.products_log2.count / values, 1.0) if values else None


def _spread(place: str, held: HeldRange, values: Log2Histogram, largest: float) -> Spread:
    least, most = held.min_exponent, held.max_exponent
    bins = tuple((log2, count / values.count) for log2, count in values.bins)
    return Spread(place, held.text, least, most, largest, bins, values.share_above(most), values.share_below(least))
