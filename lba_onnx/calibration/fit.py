"""The exponents that follow from the range of each node by itself.

Product and accumulator are each fitted to their own range. They are not tied unless asked for: where products are as
large as sums (depthwise convolutions), the usual distance between the two biases would saturate them.
"""

from collections.abc import Callable, Mapping

from lba_onnx.arithmetic import AccumulatorFamily, Exponents
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.settings import Choice, Settings

Ranges = Mapping[str, NodeRange | None]


def fit_nodes(ranges: Ranges, settings: Settings, fit_node: Callable[[NodeRange], Exponents]) -> Choice:
    """Return the exponents of each node; of nodes without values the default ones.

    Args:
        ranges: What each node has seen.
        settings: Granularity, tie and default.
        fit_node: Returns the exponents that a node's own range asks for.
    """
    found = {name: fit_node(seen) for name, seen in ranges.items() if seen is not None and seen.max_abs_product > 0}
    if settings.granularity == "model" and found:
        common = Exponents(max(e.product for e in found.values()), max(e.accumulator for e in found.values()))
        found = dict.fromkeys(ranges, common)
    return {name: settings.apply_tie(found.get(name, settings.default)) for name in ranges}


def largest_exponents(seen: NodeRange, family: AccumulatorFamily) -> Exponents:
    """Return the smallest exponents that hold the largest product and the largest sum of all outputs."""
    # The largest sum is not zero: the first nonzero prefix sum is a product.
    return Exponents(family.exponent_above(seen.max_abs_product), family.exponent_above(seen.max_abs_sum))
