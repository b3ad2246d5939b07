"""Samples taken out of a stream and kept in memory: a bounded number, spread evenly over all of it.

    stream      0 1 2 3 4 5 6 7 8 9 ...
    kept          1     4         9 ...     of every four, one
    the rest    0   2 3   5 6 7 8

Which ones depends on their positions alone: sample i has the rank frac((i - 1) * 0.382), a sequence that fills the
interval evenly from its first term on and follows no period of the data; the lowest ranks stay. Feeds are cut by sample
where the model leaves the number of samples in a feed open or fills feeds up; otherwise a feed is kept or passed whole.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lba_onnx.data.batch import Batch
from lba_onnx.data.inputs import ModelInput
from lba_onnx.integers import as_count

DEFAULT_EVERY = 4
DEFAULT_MAX_SAMPLES = 64

_STEP = (3 - 5**0.5) / 2  # 1 - 1 / golden ratio


def hold_out(
    batches: Iterable[Batch],
    inputs: Sequence[ModelInput],
    every: int = DEFAULT_EVERY,
    max_samples: int = DEFAULT_MAX_SAMPLES,
) -> "HoldOut":
    """Split a stream; nothing is read before the iteration over the result starts.

    Args:
        batches: The stream, read once.
        inputs: The model's inputs.
        every: Of so many samples, one is kept apart; at least 2.
        max_samples: Most samples to keep; further ones push earlier ones out, into the rest.

    Raises:
        ValueError: A number is out of range.
    """
    return HoldOut(batches, SpreadSample(inputs, max_samples, as_count("every", every, 2)))


def single_samples(batch: Batch, inputs: Sequence[ModelInput]) -> list[Batch]:
    """Return the samples of a batch one at a time, filled up where the model fixes their number; whole where it is one.

    Args:
        batch: The batch.
        inputs: The model's inputs.
    """
    units = _cut(batch, inputs, _inputs_to_cut(batch, inputs), range(batch.samples))
    return [_joined([unit]) for unit in units]


def is_kept_apart(position: int, every: int = DEFAULT_EVERY) -> bool:
    """Return whether the sample at a position is one of those kept apart, of which there is one in `every`."""
    return _rank(position) < 1 / every


def select(batches: Iterable[Batch], inputs: Sequence[ModelInput], is_apart: bool) -> Iterator[Batch]:
    """Yield the samples that `is_kept_apart` says are, or those that are not, in batches of about the same size.

    Args:
        batches: The stream, from its first sample on; at most a batch of it is kept.
        inputs: The model's inputs.
        is_apart: Which of the two.
    """
    start, kept = 0, []
    for batch in batches:
        cut = _inputs_to_cut(batch, inputs)
        positions = range(start, start + (batch.samples if cut else 1))
        start = positions.stop
        for unit in _cut(batch, inputs, cut, positions):
            if is_kept_apart(unit.position) != is_apart:
                continue
            kept.append(unit)
            if len(kept) >= unit.rows:
                yield from _join(kept)
                kept = []
    yield from _join(kept)


class HoldOut:
    """A stream in two parts: iterate over the larger; what is kept apart is in `kept` afterwards.

    Attributes:
        is_shared: Whether there was one sample only, so that both parts consist of it. Known at the end.
    """

    def __init__(self, batches: Iterable[Batch], sample: "SpreadSample") -> None:
        self.is_shared = False
        self._batches = iter(batches)
        self._sample = sample
        self._is_complete = False

    def __iter__(self) -> Iterator[Batch]:
        """Yield what is not kept apart, in batches of the given size or less."""
        first = None
        for batch in self._batches:
            rest = self._sample.offer(batch)
            first = rest[0] if first is None and rest else first
            yield from rest
            if len(self._sample):
                first = None  # no longer needed
        if not len(self._sample) and first is not None:
            self._sample.keep(first)
            self.is_shared = True
        self._is_complete = True

    @property
    def kept(self) -> list[Batch]:
        """The samples kept apart, in batches; to be read when the iteration has come to its end.

        Raises:
            RuntimeError: It has not.
        """
        if not self._is_complete:
            raise RuntimeError("expected the stream to be read to its end before the samples kept apart")
        return self._sample.batches()


class SpreadSample:
    """At most so many samples of a stream, spread evenly over it."""

    def __init__(
        self, inputs: Sequence[ModelInput], max_samples: int = DEFAULT_MAX_SAMPLES, every: int | None = None
    ) -> None:
        """Start with none.

        Args:
            inputs: The model's inputs.
            max_samples: Most samples to keep, at least 1.
            every: Keep only one of so many, even while there is room for more; None for all that there is room for.

        Raises:
            ValueError: A number is out of range.
        """
        self._inputs = tuple(inputs)
        self._max_samples = as_count("max_samples", max_samples)
        self._limit = 1.0 if every is None else 1 / every
        self._units: list[_Unit] = []  # a heap: the highest rank first
        self._samples = 0
        self._offered = 0

    def __len__(self) -> int:
        return self._samples

    def offer(self, batch: Batch) -> list[Batch]:
        """Keep some samples of a batch; return all that are not kept, those that had to make room among them."""
        cut = _inputs_to_cut(batch, self._inputs)
        positions = range(self._offered, self._offered + (batch.samples if cut else 1))
        self._offered = positions.stop
        is_full = self._samples >= self._max_samples
        limit = min(self._limit, self._units[0].rank) if is_full else self._limit
        if all(_rank(position) >= limit for position in positions):
            return [batch]
        passed = []
        for unit in _cut(batch, self._inputs, cut, positions):
            passed += self._push(unit) if unit.rank < self._limit else [unit]
        return _join(passed)

    def keep(self, batch: Batch) -> None:
        """Keep a batch whole, whatever its rank."""
        self._push(_Unit(0.0, self._offered, batch, frozenset(), 1, False))

    def batches(self) -> list[Batch]:
        """Return the samples kept, in the order in which they came."""
        return _join(self._units)

    def _push(self, unit: "_Unit") -> "list[_Unit]":
        heapq.heappush(self._units, unit)
        self._samples += unit.batch.samples
        pushed_out = []
        while self._samples > self._max_samples and len(self._units) > 1:
            pushed_out.append(heapq.heappop(self._units))
            self._samples -= pushed_out[-1].batch.samples
        return pushed_out


@dataclass(frozen=True)
class _Unit:
    """What is kept or passed as a whole: one sample where feeds can be cut, else one feed.

    Attributes:
        rank: From 0 to 1; the lowest stay.
        position: In the stream.
        batch: The feeds; of an axis that the model fixes, one row.
        cut: Names of the inputs whose first axis runs over samples; empty for a whole feed.
        rows: Rows of a joined batch: at most so many, or, where is_fixed, exactly.
        is_fixed: Whether joined batches have to be filled up.
    """

    rank: float
    position: int
    batch: Batch = field(repr=False)
    cut: frozenset[str]
    rows: int
    is_fixed: bool

    def __lt__(self, other: "_Unit") -> bool:
        return self.rank > other.rank


def _rank(position: int) -> float:
    return (position - 1) * _STEP % 1.0


def _cut(batch: Batch, inputs: Sequence[ModelInput], cut: frozenset[str], positions: Sequence[int]) -> "list[_Unit]":
    if not cut or batch.rows is None:
        return [_Unit(_rank(positions[0]), positions[0], batch, cut, 1, False)]
    is_fixed = any(i.shape is not None and i.shape[0] is not None for i in inputs if i.name in cut)
    rows = batch.rows
    return [_Unit(_rank(p), p, _take(batch, cut, k), cut, rows, is_fixed) for k, p in enumerate(positions)]


def _inputs_to_cut(batch: Batch, inputs: Sequence[ModelInput]) -> frozenset[str]:
    """Return the inputs whose first axis runs over samples; none where another may have such an axis elsewhere."""
    if batch.rows is None:
        return frozenset()
    with_rows = {i.name for i in inputs if batch.has_rows(i.name)}
    free = {i.name for i in inputs if i.shape is None or i.shape[0] is None}
    cut = with_rows & free or with_rows
    is_open = any(None in (i.shape or ()) for i in inputs if i.name not in cut | batch.shared)
    return frozenset() if is_open else frozenset(cut)


def _take(batch: Batch, cut: frozenset[str], k: int) -> Batch:
    feeds = {name: array[k : k + 1].copy() if name in cut else array for name, array in batch.feeds.items()}
    labels = None if batch.labels is None else batch.labels[k : k + 1]
    start = None if batch.start is None else batch.start + k
    return replace(batch, feeds=feeds, samples=1, rows=1, labels=labels, start=start)


def _join(units: Iterable[_Unit]) -> list[Batch]:
    """Put samples that fit together into batches again, in the order in which they came."""
    groups: list[list[_Unit]] = []
    for unit in sorted(units, key=lambda unit: unit.position):
        if groups and len(groups[-1]) < unit.rows and _fits(groups[-1][0], unit):
            groups[-1].append(unit)
        else:
            groups.append([unit])
    return [_joined(group) for group in groups]


def _fits(first: _Unit, second: _Unit) -> bool:
    if not first.cut or first.cut != second.cut or (first.batch.labels is None) != (second.batch.labels is None):
        return False
    pairs = ((name, array, second.batch.feeds[name]) for name, array in first.batch.feeds.items())
    return all(a.shape == b.shape if name in first.cut else _is_same(a, b) for name, a, b in pairs)


def _is_same(a: "np.ndarray", b: "np.ndarray") -> bool:
    return a is b or np.array_equal(a, b)


def _joined(units: Sequence[_Unit]) -> Batch:
    first = units[0]
    if not first.cut:
        return first.batch
    filling = itertools.repeat(units[-1], first.rows - len(units) if first.is_fixed else 0)
    rows = [unit.batch.feeds for unit in (*units, *filling)]
    feeds = {
        name: np.concatenate([row[name] for row in rows]) if name in first.cut else array
        for name, array in first.batch.feeds.items()
    }
    labels = None
    if first.batch.labels is not None:
        labels = np.concatenate([unit.batch.labels for unit in units if unit.batch.labels is not None])
    return Batch(feeds, len(units), len(rows), labels, first.batch.origin, shared=first.batch.shared)
