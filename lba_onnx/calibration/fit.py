"""The exponents that follow from ranges alone: methods "max" and "percentile".

max         the smallest ranges that hold the largest product and the largest sum of all outputs
percentile  the smallest ranges that hold so many percent of the sampled, nonzero products and sums

Product and accumulator are each fitted to their own range. They are not tied unless asked for: where products are as
large as sums (depthwise convolutions), the usual distance between the two biases would saturate them.
"""

from collections.abc import Callable, Mapping

from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.settings import Exponents, Settings

Ranges = Mapping[str, NodeRange | None]
Choice = dict[str, Exponents]


def fit_max(ranges: Ranges, settings: Settings) -> Choice:
    """Return the exponents by method "max" for each node."""
    return _fit(ranges, settings, lambda seen: _largest(seen, settings))


def fit_percentile(ranges: Ranges, settings: Settings) -> Choice:
    """Return the exponents by method "percentile" for each node."""
    return _fit(ranges, settings, lambda seen: _percentile(seen, settings))


def _fit(ranges: Ranges, settings: Settings, fit_node: Callable[[NodeRange], Exponents]) -> Choice:
    found = {name: fit_node(seen) for name, seen in ranges.items() if seen is not None and seen.max_abs_product > 0}
    if settings.granularity == "model" and found:
        common = Exponents(max(e.product for e in found.values()), max(e.accumulator for e in found.values()))
        found = dict.fromkeys(ranges, common)
    return {name: settings.apply_tie(found.get(name, settings.default)) for name in ranges}


def _largest(seen: NodeRange, settings: Settings) -> Exponents:
    family = settings.family  # the largest sum is not zero: the first nonzero prefix sum is a product
    return Exponents(family.exponent_above(seen.max_abs_product), family.exponent_above(seen.max_abs_sum))


def _percentile(seen: NodeRange, settings: Settings) -> Exponents:
    largest, share = _largest(seen, settings), settings.percentile / 100
    if share == 1:
        return largest
    found = (h.exponent_of_share(share) for h in (seen.products_log2, seen.sums_log2))
    return Exponents(*(e if limit is None else limit for limit, e in zip(found, largest, strict=True)))
