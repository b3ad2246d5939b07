"""Reads samples: all of the data, or one of the two parts that `Part` tells apart.

    sample             0 1 2 3 4 5 6 7 8 9 ...
    kept to check        1     4         9 ...     of every four, one
    to fit and choose  0   2 3   5 6 7 8

Which sample is in which part depends on its position alone (`data.split`), so each part can be read as often as the
data can, and nothing of it is kept in memory.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from lba_onnx.data.batches import Batch, Preprocess, read_batches, take
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.split import is_kept_apart, select


@dataclass(frozen=True)
class Part:
    """Some of the samples of some data.

    Attributes:
        data: What `open_blocks` takes.
        is_to_check: Whether the part is the one kept apart, or the rest; None for both.
        max_samples: How many samples of the data, of both parts, there are to be; None for all.
    """

    data: Any
    is_to_check: bool | None
    max_samples: int | None = None

    def count(self, shared_inputs: Collection[str]) -> int | None:
        """Return how many samples the part has, where that is known before reading."""
        count = sample_count(self.data, self.max_samples, shared_inputs)
        if count is None or self.is_to_check is None:
            return count
        return sum(is_kept_apart(i) == self.is_to_check for i in range(count))


def read_samples(
    data: Any,
    inputs: tuple[ModelInput, ...],
    batch_size: int,
    max_samples: int | None,
    preprocess: Preprocess | None,
    shared_inputs: Collection[str] = (),
) -> Iterator[Batch]:
    """Yield feeds as `data.batches.read_batches` does, with its arguments, where `data` may be a part, too.

    Raises:
        DataError: As `read_batches`; of a part also where a number in the data, in either part, is not finite.
    """
    if not isinstance(data, Part):
        return read_batches(data, inputs, batch_size, max_samples, preprocess, shared_inputs)
    batches = read_batches(data.data, inputs, batch_size, data.max_samples, preprocess, shared_inputs)
    checked = finite_batches(batches)  # before parting, which leaves no number of a sample to name
    part = checked if data.is_to_check is None else select(checked, inputs, data.is_to_check)
    return take(part, inputs, max_samples)


def count_samples(data: Any, max_samples: int | None, shared_inputs: Collection[str] = ()) -> int | None:
    """Return how many samples `read_samples` yields, where that is known before reading."""
    if not isinstance(data, Part):
        return sample_count(data, max_samples, shared_inputs)
    count = data.count(shared_inputs)
    return count if max_samples is None or count is None else min(count, max_samples)
