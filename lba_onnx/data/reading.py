"""Reads samples: all of the data, or one of the two parts that `Part` tells apart.

    sample             0 1 2 3 4 5 6 7 8 9 ...
    kept to check        1     4         9 ...     of every four, one
    to fit and choose  0   2 3   5 6 7 8

Which sample is in which part depends on its position alone (`data.split`), so each part can be read as often as the
data can, and nothing of it is kept in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from lba_onnx.data.batches import Batch, read_batches, take
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.samples import Samples
from lba_onnx.data.split import is_kept_apart, select


@dataclass(frozen=True, eq=False, kw_only=True)
class Part(Samples):
    """Some of the samples; the fields of `Samples` describe all of them, of both parts.

    Attributes:
        is_to_check: Whether the part is the one kept apart, or the rest; None for both.
        max_in_part: Most samples of the part; None for all.
    """

    is_to_check: bool | None
    max_in_part: int | None = None

    @classmethod
    def of_samples(cls, samples: Samples, is_to_check: bool | None) -> "Part":
        """Return a part of some samples."""
        return cls(**vars(samples), is_to_check=is_to_check)

    def up_to(self, count: int) -> "Part":
        """Return at most so many samples of the part where nothing says how many."""
        return self if self.max_in_part is not None else replace(self, max_in_part=count)


def read_samples(samples: Samples, inputs: tuple[ModelInput, ...]) -> Iterator[Batch]:
    """Yield feeds as `data.batches.read_batches` does, where the samples may be a part, too.

    Raises:
        DataError: As `read_batches`; of a part also where a number in the data, in either part, is not finite.
    """
    batches = read_batches(samples, inputs)
    if not isinstance(samples, Part):
        return batches
    checked = finite_batches(batches)  # before parting, which leaves no number of a sample to name
    part = checked if samples.is_to_check is None else select(checked, inputs, samples.is_to_check)
    return take(part, inputs, samples.max_in_part)


def count_samples(samples: Samples) -> int | None:
    """Return how many samples `read_samples` yields, where that is known before reading."""
    count = sample_count(samples)
    if not isinstance(samples, Part) or count is None:
        return count
    if samples.is_to_check is not None:
        count = sum(is_kept_apart(i) == samples.is_to_check for i in range(count))
    return count if samples.max_in_part is None else min(count, samples.max_in_part)
