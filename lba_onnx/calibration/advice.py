"""Says where a family is too narrow for a node, and which family would lose less.

Too few exponent bits: whatever the bias, more than LOST_LIMIT of the magnitude of the sampled products, or of the sums,
added up, lies above and below the range and is lost. The family advised has a bias that loses less.

Too few mantissa bits: more than SWAMPED_LIMIT of the nonzero products leave the partial sum as it was. Each further bit
moves the line between what counts and what is swamped by a binade; how many products lie there is estimated from the
histograms of products and prefix sums, taken as independent, and scaled to the share that was counted.
"""

from lba_onnx.arithmetic import FloatFormat, FormatFamily
from lba_onnx.arithmetic.formats import MAX_MANTISSA_BITS
from lba_onnx.calibration.histogram import Log2Histogram
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.rates import EventRates, least_exponent
from lba_onnx.calibration.settings import Settings

LOST_LIMIT = 0.01
SWAMPED_LIMIT = 0.25

_MOST_EXPONENT_BITS = 7


def warning_of(seen: NodeRange, rates: EventRates, settings: Settings) -> str:
    """Return where the family is too narrow for a node, and the family that would lose less; empty where it is not."""
    texts, family = [], settings.family
    exponent_bits, mantissa_bits = family.exponent_bits, family.mantissa_bits
    for what, values in (("products", seen.products_log2), ("sums", seen.sums_log2)):
        lost = least_loss(values, family, settings.underflow)
        if lost > LOST_LIMIT:
            texts.append(f"{what} lose at least {_percent(lost)} of their magnitude, whatever the bias")
            exponent_bits = max(exponent_bits, _sufficient_exponent_bits(values, settings))
    swamped = rates.partial_sum_swamped or 0.0
    if swamped > SWAMPED_LIMIT:
        texts.append(f"{_percent(swamped)} of the products are swamped")
        mantissa_bits = _sufficient_mantissa_bits(seen, swamped, settings)
    if not texts:
        return ""
    return f"{', '.join(texts)}: {FormatFamily(mantissa_bits, exponent_bits)} would lose less"


def least_loss(values: Log2Histogram, family: FormatFamily, underflow: bool) -> float:
    """Return which share of the values' magnitude overflow and underflow take at the bias where they take least."""
    formats = (family.with_max_exponent(log2) for log2, _ in values.bins)
    return min((_loss(values, f, family, underflow) for f in formats), default=0.0)


def _loss(values: Log2Histogram, number_format: FloatFormat, family: FormatFamily, underflow: bool) -> float:
    below = values.lost_below(least_exponent(number_format, underflow))
    return values.lost_above(family.max_exponent(number_format)) + below


def _sufficient_exponent_bits(values: Log2Histogram, settings: Settings) -> int:
    family = settings.family
    for exponent_bits in range(family.exponent_bits + 1, _MOST_EXPONENT_BITS):
        if least_loss(values, FormatFamily(family.mantissa_bits, exponent_bits), settings.underflow) <= LOST_LIMIT:
            return exponent_bits
    return _MOST_EXPONENT_BITS


def _sufficient_mantissa_bits(seen: NodeRange, swamped: float, settings: Settings) -> int:
    """Return the least mantissa bits with which about as few products as the limit are swamped."""
    now = settings.family.mantissa_bits
    estimated_now = _share_swamped(seen, now)
    for mantissa_bits in range(now + 1, MAX_MANTISSA_BITS):
        if swamped * _share_swamped(seen, mantissa_bits) <= SWAMPED_LIMIT * estimated_now:
            return mantissa_bits
    return MAX_MANTISSA_BITS


def _share_swamped(seen: NodeRange, mantissa_bits: int) -> float:
    """Return how many pairs of a product and a prefix sum lie at least so many binades apart."""
    pairs = seen.products_log2.count * seen.partial_sums_log2.count
    below = sum(
        seen.products_log2.share_below(log2 - mantissa_bits) * seen.products_log2.count * count
        for log2, count in seen.partial_sums_log2.bins
    )
    return below / max(pairs, 1)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
