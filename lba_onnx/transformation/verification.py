"""Whether a float32 model still computes what it did: both run on samples, and their outputs are compared."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import Progress
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import count_samples
from lba_onnx.data.samples import Samples
from lba_onnx.data.watching import enter_phase, steps
from lba_onnx.evaluation.outputs import run_by_name, tensor_outputs

if TYPE_CHECKING:
    import onnxruntime


_BLOCK = 1 << 20


@dataclass(frozen=True)
class Verification:
    """How far two models' outputs are apart.

    Attributes:
        samples: How many samples both ran on.
        differences: By output: the root mean square of the difference, divided by that of the first model's output.
        tolerance: The largest difference that is rounding.
    """

    samples: int
    differences: dict[str, float]
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether every output is equal within the tolerance."""
        return all(difference <= self.tolerance for difference in self.differences.values())

    def __str__(self) -> str:
        """Return one line."""
        name, difference = max(self.differences.items(), key=lambda item: item[1])
        found = "equal within rounding" if self.is_equal else "not equal"
        limit = "no difference" if self.tolerance == 0 else f"at most {self.tolerance:.2g}"
        moved = f"output {name!r} moved by {difference:.2g} of its size, expected {limit}"
        return f"{found} on {self.samples} samples: {moved}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the finding as a JSON object."""
        differences = {name: value if math.isfinite(value) else None for name, value in self.differences.items()}
        return {**vars(self), "differences": differences, "is_equal": self.is_equal}


def verify(
    before: "onnxruntime.InferenceSession",
    after: "onnxruntime.InferenceSession",
    samples: Samples,
    tolerance: float,
    progress: Progress | None = None,
) -> Verification:
    """Return how far the outputs of two models are apart.

    Args:
        before: A session of the model as it was.
        after: One of the model as it is.
        samples: What both run on.
        tolerance: As in `Verification`.
        progress: Called with the samples done and the samples in all.

    Raises:
        DataError: The data cannot be read or do not fit the model.
        ModelError: The model has no output that is a tensor of numbers.
    """
    names = tensor_outputs(before)
    sums, done, total = {name: _Sums() for name in names}, 0, count_samples(samples)
    enter_phase("verifying", total=total)
    for batch in read_batches(samples, describe_inputs(before)):
        was, now = (run_by_name(session, batch, names, "the model") for session in steps((before, after)))
        for name in names:
            sums[name].add(was[name], now[name])
        done += batch.samples
        if progress is not None:
            progress(done, total)
    return Verification(done, {name: found.difference for name, found in sums.items()}, tolerance)


@dataclass
class _Sums:
    """Sums of squares of one output; infinite where a value has become another that is not finite, or no longer is."""

    of_difference: float = 0.0
    of_values: float = 0.0

    def add(self, was: NDArray[Any], now: NDArray[Any]) -> None:
        if was.shape != now.shape:
            self.of_difference = math.inf
            return
        for start in range(0, was.size, _BLOCK):
            self._add(was.ravel()[start : start + _BLOCK], now.ravel()[start : start + _BLOCK])

    def _add(self, was: NDArray[Any], now: NDArray[Any]) -> None:
        is_other = (was != now) & ((was == was) | (now == now))  # NaN stays NaN
        self.of_values += _square_sum(was[np.isfinite(was)].astype(np.float64))
        difference = now[is_other].astype(np.float64) - was[is_other].astype(np.float64)
        self.of_difference += _square_sum(difference) if np.isfinite(difference).all() else math.inf

    @property
    def difference(self) -> float:
        if self.of_difference == 0:
            return 0.0
        return math.sqrt(self.of_difference / self.of_values) if self.of_values > 0 else math.inf


def _square_sum(values: NDArray[np.float64]) -> float:
    return float(values @ values)
