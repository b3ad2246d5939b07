"""Names the sample, or the value in it, that alone sets the ranges of many nodes, and says what that costs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lba_onnx.calibration.peaks import FACTOR, KINDS, Peak, Peaks
from lba_onnx.calibration.ranges import NodeRange
from lba_onnx.calibration.rates import least_exponent
from lba_onnx.calibration.settings import Settings
from lba_onnx.data.batch import Batch
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import single_samples

if TYPE_CHECKING:
    from lba_onnx.arithmetic import Accumulator
    from lba_onnx.native import Statistics

_LEAST_BINADES = 2
_LARGE = 1e6


class Collector(Protocol):
    """A model with wide accumulators whose nodes collect statistics, whatever runs it."""

    def run(self, batch: Batch) -> None:
        """Run a batch.

        Raises:
            DataError: The model does not run on it.
        """

    def read_statistics(self) -> "dict[str, Statistics | None]":
        """Return what each node has seen since the last restart; None for nodes that never ran."""

    def forget_largest(self) -> None:
        """Let the largest magnitudes begin anew."""

    def restart(self) -> None:
        """Forget what was collected, and where the sampling had come to."""


@dataclass(frozen=True)
class Outlier:
    """A sample that stands out.

    Attributes:
        origin: Where the sample comes from.
        peaks: The nodes in which it stands out, by name.
        nodes: How many nodes ran in all.
        value: The one value of the sample that stands out in its input, such as "x[0, 17] is 3e+08"; or "".
    """

    origin: str
    peaks: Mapping[str, tuple[Peak, ...]]
    nodes: int
    value: str = ""


def find_outliers(
    peaks: Peaks, suspects: Mapping[int, Batch], inputs: Sequence[ModelInput], collector: Collector
) -> tuple[Outlier, ...]:
    """Run the samples of suspicious batches one at a time, and return those that stand out by themselves.

    Args:
        peaks: Those of the batches.
        suspects: The batches that stand out, by their numbers.
        inputs: The model's inputs.
        collector: Runs the model; what it has collected is forgotten.

    Raises:
        DataError: The model does not run on a sample alone.
    """
    return tuple(outlier for n, batch in suspects.items() for outlier in _within(n, batch, peaks, inputs, collector))


def _within(
    number: int, batch: Batch, peaks: Peaks, inputs: Sequence[ModelInput], collector: Collector
) -> Iterable[Outlier]:
    total = len(peaks.of_nodes)
    samples = single_samples(batch, inputs)
    if len(samples) == 1:
        if number in peaks.suspects() and peaks.holders > 1:
            yield Outlier(samples[0].origin, peaks.of(number), total, _value_of(batch, None))
        return
    own, is_fresh = Peaks(), True
    for k, sample in enumerate(samples):
        if is_fresh:
            collector.forget_largest()
        collector.run(sample)
        is_fresh = own.see(k, collector.read_statistics())
    both = Peaks({name: _in_both(own.of_nodes[name], peaks.of_nodes[name], number) for name in own.of_nodes}, 2)
    for k in both.suspects():
        yield Outlier(batch.sample_origin(k), both.of(k), total, _value_of(batch, k))


def _in_both(own: tuple[Peak, ...], of_batches: tuple[Peak, ...], number: int) -> tuple[Peak, ...]:
    """Return the peaks of samples beside all other samples: of the same batch, and of the others."""
    pairs = zip(own, of_batches, strict=True)
    return tuple(Peak(o.largest, max(o.rest, b.rest), o.holder) if b.holder == number else Peak() for o, b in pairs)


def _value_of(batch: Batch, row: int | None) -> str:
    """Return the one value of a sample that is far above all others of its input in the batch, and where it is."""
    for name, array in batch.feeds.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.size < 2:
            continue
        sizes = np.where(np.isfinite(array), np.abs(array), 0).astype(np.float64)
        rest, largest = np.partition(sizes, sizes.size - 2, axis=None)[-2:]
        index = [int(i) for i in np.unravel_index(int(sizes.argmax()), array.shape)]
        is_rows = batch.has_rows(name)
        if 0 < FACTOR * rest <= largest and (row is None or not is_rows or index[0] == row):
            shown = ", ".join(map(str, index[1:] if is_rows else index))
            return f"{name}[{shown}] is {largest:.3g}, {_times(float(largest / rest))} any other value"
    return ""


def describe(
    outlier: Outlier, ranges: Mapping[str, NodeRange | None], specs: "Mapping[str, Accumulator]", settings: Settings
) -> str:
    """Return what an outlier costs with the accumulators chosen, and what to do; empty where it costs nothing.

    Args:
        outlier: The sample.
        ranges: What each node has seen.
        specs: The accumulators chosen.
        settings: The family, and whether small values underflow.
    """
    family = settings.family
    lost = {name: _binades(peaks, specs[name], settings) for name, peaks in outlier.peaks.items()}
    if max(lost.values(), default=0) < _LEAST_BINADES:
        return ""
    binades = min(max(lost.values()), 2**family.exponent_bits)
    zeros = max(_zeros(outlier.peaks[name][0], ranges[name], specs[name], settings) for name in lost)
    factor = max(peak.factor for peaks in outlier.peaks.values() for peak in peaks)
    value = f" ({outlier.value})" if outlier.value else ""
    costs = f"that takes {binades} of the {2**family.exponent_bits} binades of {family}"
    if zeros >= 0.01:
        costs += f" and makes up to {100 * zeros:.0f} % more of a node's products zero"
    return (
        f"{outlier.origin}: this sample alone{value} sets the range of {len(lost)} of {outlier.nodes} nodes, up to "
        f"{_times(factor)} what all others reach; {costs}; leave it out, or scale it as the others are; if it is "
        "right, a family with more exponent bits holds both"
    )


def _binades(peaks: tuple[Peak, ...], spec: "Accumulator", settings: Settings) -> int:
    """Return how many binades above what all other samples need the formats chosen reach."""
    formats = dict(zip(KINDS, (spec.product_format, spec.accumulator_format), strict=True))
    pairs = ((peak, formats[kind]) for kind, peak in zip(KINDS, peaks, strict=True))
    return max((settings.family.max_exponent(f) - _log2(p.rest) for p, f in pairs if p.factor >= FACTOR), default=0)


def _zeros(peak: Peak, seen: NodeRange | None, spec: "Accumulator", settings: Settings) -> float:
    """Return which share of a node's products becomes zero because the range is the outlier's."""
    if seen is None or peak.factor < FACTOR:
        return 0.0
    wanted = settings.family.with_max_exponent(_log2(peak.rest))
    limits = (least_exponent(number_format, settings.underflow) for number_format in (spec.product_format, wanted))
    now, otherwise = map(seen.products_log2.share_below, limits)
    return max(now - otherwise, 0.0)


def _log2(value: float) -> int:
    return math.frexp(value)[1] - 1


def _times(factor: float) -> str:
    return f"{factor:.0f} times" if factor < _LARGE else f"{factor:.0e} times"
