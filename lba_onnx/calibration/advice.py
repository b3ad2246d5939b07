"""Says where a family is too narrow for a node, and which family would lose less.

Too few exponent bits: whatever the bias, more than LOST_LIMIT of the magnitude of the sampled products, or of the sums,
added up, lies above and below the range and is lost. The family advised has a bias that loses less.

Too few mantissa bits: more than SWAMPED_LIMIT of the nonzero products leave the partial sum as it was. Each further bit
moves the line between what counts and what is swamped by a binade; how many products lie there is estimated from the
histograms of products and prefix sums, taken as independent, and scaled to the share that was counted.
"""

from lba_onnx.arithmetic import AccumulatorFamily
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.observation.event_rates import EventRates, event_name

LOST_LIMIT = 0.01
SWAMPED_LIMIT = 0.25


def warning_of(seen: NodeRange, rates: EventRates, family: AccumulatorFamily) -> str:
    """Return where the family is too narrow for a node, and the family that would lose less; empty where it is not."""
    texts, wider = [], family
    for what, values in (("products", seen.products_log2), ("sums", seen.sums_log2)):
        lost = least_loss(values, family)
        if lost > LOST_LIMIT:
            texts.append(f"{what} lose at least {_percent(lost)} of their magnitude, whatever the bias")
            wider = _with_sufficient_range(values, wider)
    swamped = rates.shares.get(event_name(seen.levels[1].name, "swamped")) or 0.0
    if swamped > SWAMPED_LIMIT:
        texts.append(f"{_percent(swamped)} of the products are swamped")
        wider = _with_sufficient_precision(seen, swamped, wider)
    return f"{', '.join(texts)}: {wider.bits} would lose less" if texts else ""


def least_loss(values: Log2Histogram, family: AccumulatorFamily) -> float:
    """Return which share of the values' magnitude overflow and underflow take at the bias where they take least."""
    exponents = {family.legal(log2) for log2, _ in values.bins}
    losses = (values.lost_above(e) + values.lost_below(family.least_exponent(e)) for e in exponents)
    return min(losses, default=0.0)


def _with_sufficient_range(values: Log2Histogram, family: AccumulatorFamily) -> AccumulatorFamily:
    """Return the family with the least range that loses no more than the limit, or with the widest there is."""
    while least_loss(values, family) > LOST_LIMIT and (wider := family.widened(range_bits=1)):
        family = wider
    return family


def _with_sufficient_precision(seen: NodeRange, swamped: float, family: AccumulatorFamily) -> AccumulatorFamily:
    """Return the family with the least bits with which about as few products as the limit are swamped."""
    estimated_now = _share_swamped(seen, family.precision_bits)
    while wider := family.widened(precision_bits=1):
        family = wider
        if swamped * _share_swamped(seen, family.precision_bits) <= SWAMPED_LIMIT * estimated_now:
            break
    return family


def _share_swamped(seen: NodeRange, mantissa_bits: int) -> float:
    """Return how many pairs of a product and a prefix sum lie at least so many binades apart."""
    sums = seen.levels[1].log2  # which products are added to
    pairs = seen.products_log2.count * sums.count
    below = sum(
        seen.products_log2.share_below(log2 - mantissa_bits) * seen.products_log2.count * count
        for log2, count in sums.bins
    )
    return below / max(pairs, 1)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
