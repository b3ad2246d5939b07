"""What nodes collect while they compute."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lba_onnx.arithmetic import Accumulator
from lba_onnx.arithmetic.levels import Level
from lba_onnx.native.accumulators import accumulator_handle
from lba_onnx.native.library import LevelStruct, StatisticsStruct, check, load_library


@dataclass(frozen=True, eq=False)
class LevelStatistics:
    """Values of one level of an accumulator.

    Attributes:
        name: The level, as in `Accumulator.levels`.
        max_abs: Largest magnitude of an exact product, or of an unquantized sum, of all outputs; infinite values are
            not counted.
        values: How many values the quantized chain formed; like all that follows over the sampled outputs.
        events: Names of events to how many of these values they happened to.
        log2: int64 [704]; bin i counts exact products, or unquantized prefix sums of the level, v with
            floor(log2|v|) = i - 352.
    """

    name: str
    max_abs: float
    values: int
    events: Mapping[str, int]
    log2: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Intermediate values of one node.

    Attributes:
        outputs: Output values computed.
        sampled_outputs: Output values that were looked into.
        levels: Of products first, of the total last; empty if the node has not run.
    """

    outputs: int
    sampled_outputs: int
    levels: tuple[LevelStatistics, ...]

    def __getitem__(self, name: str) -> LevelStatistics:
        """Return the level of a name."""
        return next(level for level in self.levels if level.name == name)


def statistics_open(run: str, sampled_fraction: float) -> None:
    """Open a statistics run.

    Nodes with keys "run/..." sample this fraction of their rows or output positions for histograms and events.
    """
    check(load_library().lba_statistics_open(run.encode(), sampled_fraction))


def statistics_close(run: str) -> None:
    """Forget a statistics run."""
    check(load_library().lba_statistics_close(run.encode()))


def statistics_forget_largest(key: str) -> None:
    """Let the largest magnitudes of the node with this key begin anew; counts, histograms and sampling go on."""
    check(load_library().lba_statistics_forget_largest(key.encode()))


def statistics_read(key: str) -> Statistics:
    """What the node with this key has collected so far; nothing if it has not run."""
    library, encoded = load_library(), key.encode()
    counts = StatisticsStruct()
    check(library.lba_statistics_read(encoded, counts))
    levels = _read_levels(library.lba_statistics_levels(encoded)) if counts.level_count else ()
    return filled(levels, lambda out: check(library.lba_statistics_read(encoded, out)))


def accumulator_levels(spec: Accumulator | str) -> tuple[Level, ...]:
    """Return what the library counts of an accumulator; the same as its `levels`."""
    return _read_levels(load_library().lba_accumulator_levels(accumulator_handle(spec)))


def filled(levels: Sequence[Level], fill: Callable[[StatisticsStruct], None]) -> Statistics:
    """Return what a function of a library tells of so many levels."""
    room = (LevelStruct * len(levels))()
    out = StatisticsStruct(level_count=len(levels), levels=room)
    fill(out)
    found = tuple(_read_level(level, raw) for level, raw in zip(levels, room, strict=True))
    return Statistics(out.outputs, out.sampled_outputs, found)


def _read_level(level: Level, raw: LevelStruct) -> LevelStatistics:
    events = dict(zip(level.events, raw.events, strict=False))  # the others are not counted
    return LevelStatistics(level.name, raw.max_abs, raw.values, events, np.array(raw.log2, np.int64))


def _read_levels(text: bytes) -> tuple[Level, ...]:
    lines = (line.split() for line in text.decode().splitlines())
    return tuple(Level(name, tuple(events)) for name, *events in lines)
