"""What to try next with a converted model that is not close to float32."""

from lba_onnx.arithmetic import AccumulatorFamily, parse_family
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.advice import LOST_LIMIT, least_loss
from lba_onnx.evaluation.closeness import CLOSE, UNKNOWN, Closeness

_DEBUG = "debug shows which layers lose it"


def next_step(verdict: Closeness, calibration: Calibration | None, is_correctable: bool) -> str:
    """Return a sentence: the step most likely to help first; empty where nothing was measured, or nothing is lost.

    Args:
        verdict: How close the converted model is.
        calibration: What chose its biases; None where nothing did.
        is_correctable: Whether it could have been corrected, and was not.
    """
    if verdict.status in (CLOSE, UNKNOWN):
        return ""
    if is_correctable:
        return f"Next: correct it, which was left out; {_DEBUG}"
    if calibration is None:
        return f"Next: let calibration choose biases, or bits of integers, from the data; {_DEBUG}"
    if parse_family(calibration.family).is_of_integers:
        return f"Next: grant less of a loss; {_DEBUG}"
    return f"Next: {_wider(calibration)}; {_DEBUG}"


def _wider(calibration: Calibration) -> str:
    """Return the family with a bit more: of the exponent where ranges do not hold the values, else of the mantissa."""
    family = parse_family(calibration.family)
    more_range = family.widened(range_bits=1) if _loses_range(calibration, family) else None
    return f"try {more_range or family.widened(precision_bits=1) or family}"


def _loses_range(calibration: Calibration, family: AccumulatorFamily) -> bool:
    """Tell whether some node's products or sums lose more than the limit at whatever bias."""
    ranges = [node.range for node in calibration.nodes.values() if node.range is not None]
    values = [histogram for seen in ranges for histogram in (seen.products_log2, seen.sums_log2)]
    return any(least_loss(histogram, family) > LOST_LIMIT for histogram in values)
