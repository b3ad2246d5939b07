"""Counts what runs: samples through models, and products of layers that are computed beside them.

    with tallied() as tally:
        correct(...)
    tally                       # Tally(samples=576, products=120_000_000)

Nobody has to count.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Tally:
    """What has run.

    Attributes:
        samples: How many samples sessions have run, each session by itself.
        products: How many products of layers were computed beside what sessions run, in any accumulator or in float32.
    """

    samples: int = 0
    products: int = 0
    _outer: "Tally | None" = field(default=None, repr=False, compare=False)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def add(self, samples: int = 0, products: int = 0) -> None:
        """Add to it, from any thread."""
        with self._lock:
            self.samples += samples
            self.products += products
        if self._outer is not None:
            self._outer.add(samples, products)

    def taken(self) -> "Tally":
        """Return what has run since the last time, and start anew."""
        with self._lock:
            found = Tally(self.samples, self.products)
            self.samples = self.products = 0
        return found

    def to_json(self) -> dict[str, int]:
        """Return the counts as a JSON object."""
        return {"samples": self.samples, "products": self.products}


_TALLY: ContextVar[Tally | None] = ContextVar("tally", default=None)


@contextmanager
def tallied() -> Iterator[Tally]:
    """Count what runs in the block, also in threads that take its context along; a block around it counts it, too."""
    tally = Tally(_outer=_TALLY.get())
    token = _TALLY.set(tally)
    try:
        yield tally
    finally:
        _TALLY.reset(token)


def note(samples: int = 0, products: int = 0) -> None:
    """Let whoever counts know of samples that ran, or of products that were computed."""
    tally = _TALLY.get()
    if tally is not None:
        tally.add(samples, products)
