"""The one pass of the data: every node's ranges, the hash of the data, and a few samples for what comes after.

The data run once through the model with accumulators so wide (M22E7b63) that its results are those of float32 to about
six digits. The memory this takes does not depend on how many samples there are.

Statistics are gathered a stretch of samples at a time, each from a fresh start, where sampling restarts at the first
row: a run that goes on from a saved stretch samples what an uninterrupted run would have.
"""

from collections.abc import Iterable, Iterator

from lba_onnx.calibration.outliers import Outlier, find_outliers
from lba_onnx.calibration.peaks import Peaks
from lba_onnx.calibration.progress_file import Counted, ProgressFile
from lba_onnx.calibration.ranges import NodeRange, add_ranges
from lba_onnx.calibration.seen import DataSeen, Keep, Kept
from lba_onnx.calibration.subject import Collector
from lba_onnx.data.batch import Batch
from lba_onnx.data.execution import Progress
from lba_onnx.data.finite import check_finite
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import DEFAULT_MAX_SAMPLES, SpreadSample, hold_out

_STRETCH_SAMPLES = 128
_LEAST_SAMPLES = 3  # of two, neither stands out
_EVENT_EVERY = 16
_EVENT_SAMPLES = 8
_CONFIRMING = (2, 256)  # of so many samples one is kept apart, and most of them


def sampled_fraction(samples: int | None) -> float:
    """Return which share of the rows or positions histograms are taken from: less the more samples there are.

    Args:
        samples: Number of samples; None where unknown.
    """
    return 1 / 256 if samples is None else 1 / min(max(2 * samples, 256), 1024)


class DataPass:
    """The pass, its settings and its progress."""

    def __init__(
        self,
        collector: Collector,
        node_names: Iterable[str],
        progress_file: ProgressFile,
        report: Progress | None,
        total: int | None,
    ) -> None:
        """Prepare the pass.

        Args:
            collector: Runs the wide model.
            node_names: The nodes whose ranges are wanted.
            progress_file: Where to go on, and where to note how far the pass has come.
            report: Called after each feed with the samples done and `total`.
            total: Number of samples in all; None where unknown.
        """
        self._collector = collector
        self._file = progress_file
        self._report = report
        self._total = total
        self._samples = 0
        self._hash = DataHash()
        self._stretch = 0  # samples in it
        self._is_over = False
        self._peaks = Peaks.from_json(progress_file.saved.peaks)
        self._suspects: dict[int, Batch] = {}  # by the number of their first sample
        self._ranges: dict[str, NodeRange | None] = {name: progress_file.saved.ranges.get(name) for name in node_names}

    def run(self, batches: Iterable[Batch], inputs: tuple[ModelInput, ...], keep: Keep) -> DataSeen:
        """Run all batches.

        Args:
            batches: The data.
            inputs: The model's inputs.
            keep: Which samples stay in memory.

        Raises:
            DataError: The data do not fit the model, hold NaN or infinities, or are not those of the interrupted run.
        """
        try:
            kept = _keep(self._watch(batches), inputs, keep)
        except BaseException:
            self._file.write()
            raise
        digest = self._hash.hexdigest()
        if self._samples < self._file.saved.samples:
            self._file.check_data(self._file.saved.samples, digest)
        self._end_stretch()
        self._file.write()
        outliers = self._find_outliers(inputs)
        return DataSeen(self._ranges, self._samples, digest, kept, self._counted(kept, inputs), outliers)

    def _counted(self, kept: Kept, inputs: tuple[ModelInput, ...]) -> list[Batch]:
        return _spread(kept.judged, inputs, max(1, min(_EVENT_SAMPLES, self._samples // _EVENT_EVERY)))

    def _find_outliers(self, inputs: tuple[ModelInput, ...]) -> tuple[Outlier, ...]:
        if self._samples < _LEAST_SAMPLES:
            return ()
        suspects = {n: b for n, b in self._suspects.items() if n in self._peaks.suspects()}
        return find_outliers(self._peaks, suspects, inputs, self._collector)

    def _watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches, each after it has run, or was found to be one that the interrupted run has counted."""
        for batch in batches:
            check_finite(batch, self._samples)
            self._hash.update(batch)
            first, is_counted = self._samples, self._samples < self._file.saved.samples
            self._samples += batch.samples
            if is_counted:
                self._file.check_data(self._samples, self._hash.hexdigest())
            else:
                self._count(batch, first)
            if first in self._peaks.suspects():
                self._suspects[first] = batch
            if self._report is not None:
                self._report(self._samples, self._total)
            yield batch

    def _count(self, batch: Batch, first: int) -> None:
        if self._is_over:
            self._collector.restart()
            self._is_over = False
        self._collector.run(batch)
        self._stretch += batch.samples
        self._look_for_peaks(first)
        if self._stretch >= _STRETCH_SAMPLES:
            self._end_stretch()

    def _look_for_peaks(self, first: int) -> None:
        statistics = self._collector.read_statistics()
        if self._peaks.see(first, statistics):
            largest = {n: NodeRange.largest_of(s) for n, s in statistics.items() if s is not None and n in self._ranges}
            self._ranges = {**self._ranges, **add_ranges(self._ranges, largest)}
            self._collector.forget_largest()
            self._suspects = {n: b for n, b in self._suspects.items() if n in self._peaks.suspects()}

    def _end_stretch(self) -> None:
        if not self._stretch:
            return
        statistics = self._collector.read_statistics()
        seen = {name: statistics[name] for name in self._ranges}
        stretch = {name: None if s is None else NodeRange.from_statistics(s) for name, s in seen.items()}
        self._ranges = add_ranges(self._ranges, stretch)
        self._stretch = 0
        self._is_over = True
        self._peaks.start_afresh()
        self._file.update(Counted(self._samples, self._hash.hexdigest(), self._ranges, self._peaks.to_json()))


def _keep(batches: Iterable[Batch], inputs: tuple[ModelInput, ...], keep: Keep) -> Kept:
    if keep in (Keep.APART, Keep.MANY_APART):
        held = hold_out(batches, inputs, *(_CONFIRMING if keep is Keep.MANY_APART else ()))
        fitted = _spread(held, inputs, DEFAULT_MAX_SAMPLES)
        return Kept(held.kept, fitted, held.is_shared)
    return Kept(_spread(batches, inputs, DEFAULT_MAX_SAMPLES if keep is Keep.SPREAD else _EVENT_SAMPLES))


def _spread(batches: Iterable[Batch], inputs: tuple[ModelInput, ...], max_samples: int) -> list[Batch]:
    sample = SpreadSample(inputs, max_samples)
    for batch in batches:
        sample.offer(batch)
    return sample.batches()
