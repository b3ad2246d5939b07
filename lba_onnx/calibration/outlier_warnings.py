"""Says what an outlier costs with the accumulators chosen, and what to do about it."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lba_onnx.arithmetic import AccumulatorFamily
from lba_onnx.calibration.outliers import Outlier, times
from lba_onnx.calibration.peaks import FACTOR, Peak
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.settings import Settings

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator

_LEAST_BINADES = 2


def outlier_warning(
    outlier: Outlier, ranges: Mapping[str, NodeRange | None], specs: "Mapping[str, Accumulator]", settings: Settings
) -> str:
    """Return what an outlier costs with the accumulators chosen, and what to do; empty where it costs nothing.

    Args:
        outlier: The sample.
        ranges: What each node has seen.
        specs: The accumulators chosen.
        settings: The family.
    """
    family = settings.family
    lost = {name: _binades(peaks, specs[name]) for name, peaks in outlier.peaks.items()}
    if max(lost.values(), default=0) < _LEAST_BINADES:
        return ""
    binades = min(max(lost.values()), family.binades)
    zeros = max(_zeros(outlier.peaks[name][0], ranges[name], specs[name], family) for name in lost)
    factor = max(peak.factor for peaks in outlier.peaks.values() for peak in peaks)
    value = f" ({outlier.value})" if outlier.value else ""
    of_family = "bits of the sums" if family.is_of_integers else f"of the {family.binades} binades of {family.bits}"
    costs = f"that takes {binades} {of_family}"
    if zeros >= 0.01:
        costs += f" and makes up to {100 * zeros:.0f} % more of a node's products zero"
    remedy = "let it overflow" if family.is_of_integers else "a family with more exponent bits holds both"
    return (
        f"{outlier.origin}: this sample alone{value} sets the range of {len(lost)} of {outlier.nodes} nodes, up to "
        f"{times(factor)} what all others reach; {costs}; leave it out, or scale it as the others are; if it is "
        f"right, {remedy}"
    )


def _binades(peaks: tuple[Peak, ...], spec: "Accumulator") -> int:
    """Return how many binades above what all other samples need the formats chosen reach."""
    pairs = zip(spec.ranges, peaks, strict=True)
    return max((held.max_exponent - _log2(p.rest) for held, p in pairs if p.factor >= FACTOR), default=0)


def _zeros(peak: Peak, seen: NodeRange | None, spec: "Accumulator", family: AccumulatorFamily) -> float:
    """Return which share of a node's products becomes zero because the range is the outlier's."""
    if seen is None or peak.factor < FACTOR:
        return 0.0
    limits = spec.ranges[0].min_exponent, family.least_exponent(_log2(peak.rest))
    now, otherwise = map(seen.products_log2.share_below, limits)
    return max(now - otherwise, 0.0)


def _log2(value: float) -> int:
    return math.frexp(value)[1] - 1
