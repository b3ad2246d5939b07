"""Where a long command stands, on standard error: a bar in a terminal, elsewhere a line now and then.

calibrating, ranges: 112 of 256 samples, 44 %, 1:10 so far, about 1:30 left
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from lba_onnx.data.watching import SAMPLES, Phase, watched_by

_QUIET = "lba_onnx.quiet"

_SECONDS_BETWEEN_LINES = 30.0
_PERCENT_BETWEEN_LINES = 10.0
_SECONDS_BEFORE_LINES = 2.0  # of a command
_LEAST_SECONDS_BETWEEN_LINES = 2.0
_LEAST_SHARE = 0.01  # of a phase that tells how long the rest takes


@dataclass(frozen=True)
class Standing:
    """Where a command stands.

    Attributes:
        title: What it does, and in which phase.
        done: What is done, in units; fractions of a step included.
        total: Units in all; None where unknown.
        unit: What is counted; "" where it is only one thing.
        seconds: Since the beginning of the command.
        seconds_left: Until the end of the phase; None where nothing is known.
    """

    title: str
    done: float
    total: int | None
    unit: str
    seconds: float
    seconds_left: float | None

    @property
    def percent(self) -> float | None:
        """How much of the phase is done; None where that is unknown."""
        return 100 * self.done / self.total if self.total else None

    @property
    def count(self) -> str:
        """What is done and what there is, in words."""
        of_total = "" if self.total is None else f" of {self.total}"
        counted = f"{int(self.done)}{of_total} {self.unit}" if self.unit else ""
        percent = "" if self.percent is None else f"{self.percent:.0f} %"
        return ", ".join(text for text in (counted, percent) if text)

    @property
    def left(self) -> str:
        """The time left, in words; "" where it is unknown."""
        return "" if self.seconds_left is None else f"about {_clock(self.seconds_left)} left"

    def __str__(self) -> str:
        facts = (self.count, f"{_clock(self.seconds)} so far", self.left)
        return f"{self.title}: {', '.join(fact for fact in facts if fact)}"


class Tracker:
    """Follows a command: its `progress` callback, and a watcher of what lies between two calls of it."""

    def __init__(self, description: str, show: Callable[[Standing], None]) -> None:
        self._description = description
        self._show = show
        self._began = time.monotonic()
        self._total: int | None = None
        self.enter_phase(Phase())

    def report(self, done: int, total: int | None) -> None:
        """Take note of what is done and what there is in all: the `progress` callback."""
        self._done, self._inside = float(done), 0.0
        self._total = self._total if total is None else total
        self._show(self._standing())

    def enter_phase(self, phase: Phase) -> None:
        """Take note of another phase."""
        self._phase = phase
        self._phase_began = time.monotonic()
        self._done, self._inside = float(phase.done), 0.0
        self._total = phase.total if phase.unit else 1
        self._show(self._standing())

    def advance(self, fraction: float, samples: int) -> None:
        """Take note of how far the present step has come; it never goes back."""
        size = samples if self._phase.unit == SAMPLES else 1
        self._inside = max(self._inside, fraction * size)
        self._show(self._standing())

    def _standing(self) -> Standing:
        now, position = time.monotonic(), self._done + self._inside
        if self._total is not None:
            position = min(position, float(self._total))
        title = ", ".join(text for text in (self._description, self._phase.name) if text)
        left = self._seconds_left(now, position)
        return Standing(title, position, self._total, self._phase.unit, now - self._began, left)

    def _seconds_left(self, now: float, position: float) -> float | None:
        moved = position - self._phase.done
        if self._total is None or moved <= 0 or moved < _LEAST_SHARE * self._total:
            return None
        return (now - self._phase_began) * (self._total - position) / moved


class Lines:
    """Prints a line every 30 seconds or 10 percent, and none within the first seconds."""

    def __init__(self, first_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._printed: Standing | None = None

    def show(self, standing: Standing) -> None:
        """Print a line if it is time."""
        if self._is_due(standing):
            click.echo(str(standing), err=True)
            self._printed = standing

    def _is_due(self, standing: Standing) -> bool:
        last = self._printed
        if last is None:
            return standing.seconds >= self._first_seconds
        seconds = standing.seconds - last.seconds
        return seconds >= _SECONDS_BETWEEN_LINES or (
            seconds >= _LEAST_SECONDS_BETWEEN_LINES and _has_moved(last, standing)
        )


def _has_moved(last: Standing, standing: Standing) -> bool:
    if last.title != standing.title:
        return True
    return (standing.percent or 0) - (last.percent or 0) >= _PERCENT_BETWEEN_LINES


@contextmanager
def display(first_seconds: float) -> Iterator[Callable[[Standing], None]]:
    """Yield what shows where a command stands, as long as the block runs.

    Args:
        first_seconds: How long it shows nothing where there is no terminal.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(first_seconds).show
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = ("{task.description}", BarColumn(), TextColumn("{task.fields[count]}"), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, count="", left="")

        def show(at: Standing) -> None:
            bar.update(task, description=at.title, completed=at.done, total=at.total, count=at.count, left=at.left)

        yield show


@contextmanager
def progress_bar(description: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show where a command stands while the block runs, unless it is to be quiet; yield its `progress` callback."""
    if is_quiet():
        yield lambda done, total: None
        return
    with display(_SECONDS_BEFORE_LINES) as show:
        tracker = Tracker(description, show)
        with watched_by(tracker):
            yield tracker.report


def is_quiet() -> bool:
    """Return whether the present command was given --quiet."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def set_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Keep the value of --quiet."""
    context.meta[_QUIET] = value


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
