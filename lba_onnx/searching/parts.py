"""Which samples serve for what.

sample            0 1 2 3 4 5 6 7 8 9 ...
kept apart          1     4         9 ...      of every four, one: intervals are of these
to fit            0   2 3   5 6 7 8            calibration; the first of them for sensitivities and corrections
"""

import itertools
import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from lba_onnx.data.batches import Batch
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import Part, read_samples
from lba_onnx.data.repeatable import repeatable
from lba_onnx.errors import DataError
from lba_onnx.searching.making import Making
from lba_onnx.session import make_session

MAX_CHECKED_SAMPLES = 512
_LEAST_SAMPLES = 8


@dataclass(frozen=True, eq=False)
class Parts:
    """The samples.

    Attributes:
        to_fit: What calibrations and corrections read: the samples that are seen.
        first: One sample.
        seen: What sensitivities are measured on.
        chosen_by: What models that are tried are measured on.
        kept_apart: What models are checked with.
    """

    to_fit: Part
    first: Part
    seen: tuple[Batch, ...]
    chosen_by: tuple[Batch, ...]
    kept_apart: tuple[Batch, ...]

    @classmethod
    def open(cls, stack: ExitStack, making: Making, max_samples: int) -> "Parts":
        """Read the samples; data that can be read only once live until the stack closes.

        Raises:
            DataError: They cannot be read, do not fit the model, or are too few.
        """
        inputs = describe_inputs(make_session(making.model.source, providers=making.execution.providers))
        samples = making.to_fit
        data = stack.enter_context(repeatable(samples.data, inputs, samples.max_samples))
        samples = replace(samples, data=data)
        to_fit, to_check = (Part.of_samples(samples, is_to_check) for is_to_check in (False, True))
        kept_apart = tuple(read_samples(to_check.up_to(MAX_CHECKED_SAMPLES), inputs))
        total = _count(read_samples(to_fit.up_to(2 * max_samples), inputs))
        if total + _count(kept_apart) < _LEAST_SAMPLES or not kept_apart:
            found = total + _count(kept_apart)
            raise DataError(f"expected at least {_LEAST_SAMPLES} samples, one in four to be kept apart, got {found}")
        half = total // 2
        to_fit = replace(to_fit, batch_size=_even(half, to_fit.batch_size))
        batches = tuple(read_samples(to_fit.up_to(total), inputs))
        begins = itertools.accumulate((batch.samples for batch in batches), initial=0)
        seen = tuple(batch for batch, begin in zip(batches, begins, strict=False) if begin < half)
        to_fit = to_fit.up_to(_count(seen))
        return cls(to_fit, replace(to_fit, max_in_part=1), seen, batches[len(seen) :], kept_apart)

    def sizes(self) -> dict[str, list[int]]:
        """Return how many samples each batch holds, of what is seen, of what chooses, and of what is kept apart."""
        parts = {"seen": self.seen, "chosen_by": self.chosen_by, "kept_apart": self.kept_apart}
        return {name: [batch.samples for batch in batches] for name, batches in parts.items()}

    def hexdigest(self) -> str:
        """Return the hash of all samples."""
        digest = DataHash()
        for batch in (*self.seen, *self.chosen_by, *self.kept_apart):
            digest.update(batch)
        return digest.hexdigest()


def _even(samples: int, batch_size: int) -> int:
    """Return a batch size, no larger, of which whole batches come to a number of samples, or to few more."""
    return math.ceil(samples / math.ceil(samples / batch_size))


def _count(batches: Iterable[Batch]) -> int:
    return sum(batch.samples for batch in batches)
