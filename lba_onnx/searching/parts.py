"""Which samples serve for what.

sample            0 1 2 3 4 5 6 7 8 9 ...
kept apart          1     4         9 ...      of every four, one: intervals are of these
to fit            0   2 3   5 6 7 8            calibration; the first of them for sensitivities and corrections
"""

from collections.abc import Sequence
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
        to_fit: What calibrations and corrections read.
        first: One sample.
        seen: What sensitivities are measured on: the same that corrections go by.
        kept_apart: What models are checked with.
    """

    to_fit: Part
    first: Part
    seen: tuple[Batch, ...]
    kept_apart: tuple[Batch, ...]

    @classmethod
    def open(cls, stack: ExitStack, making: Making, max_samples: int) -> "Parts":
        """Read the samples; data that can be read only once live until the stack closes.

        Raises:
            DataError: They cannot be read, do not fit the model, or are too few.
        """
        inputs = describe_inputs(make_session(making.model, providers=making.execution.providers))
        samples = making.to_fit
        data = stack.enter_context(repeatable(samples.data, inputs, samples.max_samples))
        samples = replace(samples, data=data)
        to_fit, to_check = (Part.of_samples(samples, is_to_check) for is_to_check in (False, True))
        seen = tuple(read_samples(to_fit.up_to(max_samples), inputs))
        kept_apart = tuple(read_samples(to_check.up_to(MAX_CHECKED_SAMPLES), inputs))
        count = _count(seen) + _count(kept_apart)
        if count < _LEAST_SAMPLES or not kept_apart:
            raise DataError(
                f"expected at least {_LEAST_SAMPLES} samples, one in four of them to keep apart, got {count}"
            )
        return cls(to_fit.up_to(max_samples), to_fit.up_to(1), seen, kept_apart)

    def hexdigest(self) -> str:
        """Return the hash of all samples."""
        digest = DataHash()
        for batch in (*self.seen, *self.kept_apart):
            digest.update(batch)
        return digest.hexdigest()


def _count(batches: Sequence[Batch]) -> int:
    return sum(batch.samples for batch in batches)
