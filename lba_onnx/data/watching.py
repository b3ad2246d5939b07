"""What whoever watches a long call hears beside its `progress` callback: phases, and how far a batch has come.

    with watched_by(display):                    # the command line
        calibrate(..., progress=display.report)

    enter_phase("ranges", total=256)             # inside calibrate
    for batch in batches:
        with part(0, 0.25):                      # where a step takes several runs: this one's part of it
            run_batch(...)                       # advance(0.3, 16 samples), advance(0.7, 16 samples), ...
        progress(done, total)

A step is what lies between two calls of `progress`: a batch, or an evaluation of a model. Nobody has to watch.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

from lba_onnx.data.batches import Batch

SAMPLES = "samples"
Item = TypeVar("Item")


@dataclass(frozen=True)
class Phase:
    """A part of a long call.

    Attributes:
        name: What it does, in a few words; "" where the call has no other.
        unit: What `progress` counts in it, such as "samples"; "" where it is not called, so that all is one step.
        total: How many of them there are; None where that is not known.
        done: What `progress` has counted before.
    """

    name: str = ""
    unit: str = SAMPLES
    total: int | None = None
    done: int = 0


class Watcher(Protocol):
    """Who watches."""

    def enter_phase(self, phase: "Phase") -> None:
        """Hear that what follows is another phase."""

    def advance(self, fraction: float, samples: int) -> None:
        """Hear which fraction of the present step is done, 0 to 1, and how many samples the step holds."""


@dataclass(frozen=True)
class _Part:
    """The part of a step that a run is, from one fraction to another, and the step's samples (None: the run's)."""

    begin: float = 0.0
    end: float = 1.0
    samples: int | None = None


_WATCHER: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_PART: ContextVar[_Part | None] = ContextVar("part", default=None)


@contextmanager
def watched_by(watcher: Watcher | None) -> Iterator[None]:
    """Let a watcher hear what this thread does while the block runs; None for nobody."""
    outer = _WATCHER.get(), _PART.get()
    _WATCHER.set(watcher)
    _PART.set(None)
    try:
        yield
    finally:
        _WATCHER.set(outer[0])
        _PART.set(outer[1])


def enter_phase(name: str = "", unit: str = SAMPLES, total: int | None = None, done: int = 0) -> None:
    """Announce a phase, described as by `Phase`; inside a part of a step there are none."""
    watcher = _WATCHER.get()
    if watcher is not None and _PART.get() is None:
        watcher.enter_phase(Phase(name, unit, total, done))


@contextmanager
def part(begin: float, end: float, samples: int | None = None) -> Iterator[None]:
    """Let runs in the block be a part of the present step, or of the part that this is in.

    Args:
        begin: Where it begins, 0 to 1.
        end: Where it ends.
        samples: How many samples the step holds; None where the run itself tells.
    """
    before = _PART.get()
    outer = before or _Part()
    size = outer.end - outer.begin
    _PART.set(_Part(outer.begin + begin * size, outer.begin + end * size, outer.samples or samples))
    try:
        yield
    finally:
        _PART.set(before)


def steps(items: Sequence[Item]) -> Iterator[Item]:
    """Yield items that together are one step, or the present part of it, each while it is its part."""
    for index, item in enumerate(items):
        with part(index / len(items), (index + 1) / len(items)):
            yield item


def passing(batches: Sequence[Batch]) -> Iterator[Batch]:
    """Yield batches that together are one step, or the present part of it, each while it is its part."""
    total = max(sum(batch.samples for batch in batches), 1)
    done = 0
    for batch in batches:
        with part(done / total, (done + batch.samples) / total, total):
            yield batch
        done += batch.samples


def advance(fraction: float, samples: int) -> None:
    """Tell the watcher how far a run of so many samples has come, 0 to 1."""
    watcher = _WATCHER.get()
    if watcher is not None:
        place = _PART.get() or _Part()
        watcher.advance(place.begin + fraction * (place.end - place.begin), place.samples or samples)
