"""Names the sample, or the value in it, that alone sets the ranges of many nodes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lba_onnx.calibration.peaks import FACTOR, Peak, Peaks
from lba_onnx.calibration.subject import Collector
from lba_onnx.data.batch import Batch
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import single_samples

_LARGE = 1e6


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
            return f"{name}[{shown}] is {largest:.3g}, {times(float(largest / rest))} any other value"
    return ""


def times(factor: float) -> str:
    """Return a factor in words."""
    return f"{factor:.0f} times" if factor < _LARGE else f"{factor:.0e} times"
