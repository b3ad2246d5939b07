"""What to try next with a converted model that is not close to float32."""

from typing import TYPE_CHECKING

from lba_onnx.arithmetic import AccumulatorFamily, parse_family
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.advice import LOST_LIMIT, least_loss
from lba_onnx.evaluation.closeness import CLOSE, UNKNOWN

if TYPE_CHECKING:
    from lba_onnx.post_training.converted_model import ConvertedModel

_DEBUG = "debug shows which layers lose it"


def next_step(result: "ConvertedModel") -> str:
    """Return a sentence: the step most likely to help first; empty where nothing was measured, or nothing is lost."""
    if result.verdict.status in (CLOSE, UNKNOWN):
        return ""
    if result.correction is None:
        return f"Next: correct it, which was left out; {_DEBUG}"
    if result.calibration is None:
        return f"Next: let calibration choose the biases from the data; {_DEBUG}"
    return f"Next: {_wider(result.calibration)}; {_DEBUG}"


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
