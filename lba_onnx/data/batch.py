"""One feed of a model, and what is known of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.inputs import Feeds


@dataclass(frozen=True)
class Batch:
    """One feed and what is known of it.

    Attributes:
        feeds: Input names to arrays, as the model takes them.
        samples: How many samples it holds, filling left out.
        rows: Length of the axis that runs over samples in the feeds, filling included; None where there is none.
        labels: int [samples], or None.
        source: File or position, for messages.
        start: Number of its first sample in the source; None where the source is this one feed.
        shared: Names of the inputs that are the same for all samples.
    """

    feeds: Feeds
    samples: int
    rows: int | None
    labels: NDArray[Any] | None
    source: str
    start: int | None = None
    shared: frozenset[str] = frozenset()

    @property
    def origin(self) -> str:
        """Where it comes from, for messages."""
        return self.source if self.start is None else f"{self.source}, sample {self.start}"

    def sample_origin(self, row: int) -> str:
        """Return where one of its samples comes from, for messages."""
        if self.start is None:
            return self.source if self.samples == 1 else f"{self.source}, sample {row}"
        return f"{self.source}, sample {self.start + row}"

    def has_rows(self, name: str) -> bool:
        """Return whether the first axis of an input runs over the samples, as far as its length tells."""
        value = self.feeds[name]
        if self.rows is None or name in self.shared or not isinstance(value, np.ndarray):
            return False
        return value.ndim > 0 and len(value) == self.rows
