"""Reads samples: all of the data, or one of the two parts that `Part` tells apart.

    sample             0 1 2 3 4 5 6 7 8 9 ...
    kept to check        1     4         9 ...     of every four, one
    to fit and choose  0   2 3   5 6 7 8

Which sample is in which part depends on its position alone (`data.split`), so each part can be read as often as the
data can, and nothing of it is kept in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lba_onnx.data.batches import Batch, Preprocess, read_batches, shorten
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import is_kept_apart, select


@dataclass(frozen=True)
class Part:
    """One part of the samples of some data.

    Attributes:
        data: What `open_blocks` takes.
        is_to_check: Whether the part is the one kept apart, or the rest.
        max_samples: How many samples of the data, of both parts, there are to be; None for all.
    """

    data: Any
    is_to_check: bool
    max_samples: int | None = None

    @property
    def samples(self) -> int | None:
        """How many samples the part has, where that is known before reading."""
        count = sample_count(self.data, self.max_samples)
        return None if count is None else sum(is_kept_apart(i) == self.is_to_check for i in range(count))


def read_samples(
    data: Any, inputs: tuple[ModelInput, ...], batch_size: int, max_samples: int | None, preprocess: Preprocess | None
) -> Iterator[Batch]:
    """Yield checked feeds as `data.batches.read_batches` does, with its arguments; `data` may be a part, too."""
    if not isinstance(data, Part):
        return read_batches(data, inputs, batch_size, max_samples, preprocess)
    batches = read_batches(data.data, inputs, batch_size, data.max_samples, preprocess)
    return _take(select(batches, inputs, data.is_to_check), inputs, max_samples)


def count_samples(data: Any, max_samples: int | None) -> int | None:
    """Return how many samples `read_samples` yields, where that is known before reading."""
    if not isinstance(data, Part):
        return sample_count(data, max_samples)
    return data.samples if max_samples is None or data.samples is None else min(data.samples, max_samples)


def _take(batches: Iterator[Batch], inputs: tuple[ModelInput, ...], max_samples: int | None) -> Iterator[Batch]:
    remaining = max_samples
    for batch in batches:
        if remaining is not None and remaining <= 0:
            return
        batch = shorten(batch, inputs, remaining)
        yield batch
        remaining = None if remaining is None else remaining - batch.samples
