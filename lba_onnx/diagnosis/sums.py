"""What is summed up of a layer while samples run: energies of its outputs and of their errors."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
"""Results: float32, or int32 or int64, whose differences are taken in float64."""


@dataclass
class Energies:
    """Energy of what values should be, and of what they differ by.

    Attributes:
        values: How many values.
        signal: Sum of their squares as they should be.
        noise: Sum of the squared differences.
    """

    values: int = 0
    signal: float = 0.0
    noise: float = 0.0

    def add(self, expected: Values, values: Values) -> None:
        """Add arrays of the same shape."""
        self.values += expected.size
        self.signal += energy(expected)
        self.noise += energy(difference(expected, values))

    @property
    def sqnr_db(self) -> float | None:
        """20 log10 of the ratio of the norms, as onnxruntime's quantization debugger takes it; None without values.

        Infinite where nothing differs, minus infinite where there is nothing but difference.
        """
        if not self.values:
            return None
        if self.noise == 0:
            return math.inf
        ratio = self.signal / self.noise  # NaN where a value is
        return -math.inf if ratio == 0 else 10 * math.log10(ratio)


def energy(values: Values) -> float:
    """Return the sum of squares."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.square(values, dtype=np.float64).sum())


def difference(expected: Values, values: Values) -> NDArray[np.float64]:
    """Return by how much values differ; equal infinities do not."""
    with np.errstate(invalid="ignore"):
        return np.where(expected == values, 0.0, values.astype(np.float64) - expected)


@dataclass
class LayerSums:
    """Everything that is summed up of one layer.

    Attributes:
        exact_input: The layer's spec against a wide one, on the reference's inputs.
        qdq: The same on the converted model's inputs.
        xmodel: The converted model's outputs against the reference's.
        saved: By cause, how much energy the error on the reference's inputs loses when the cause is switched off; none
            for causes that could not be.
        depth: Products per dot product, the largest seen.
        result_bits: Of integers, bits to how many of all results on the reference's inputs need them.
        unmatched_calls: Executions in the converted model that the reference had no equal for.
    """

    exact_input: Energies = field(default_factory=Energies)
    qdq: Energies = field(default_factory=Energies)
    xmodel: Energies = field(default_factory=Energies)
    saved: dict[str, float] = field(default_factory=dict)
    depth: int = 0
    result_bits: Counter[int] = field(default_factory=Counter)
    unmatched_calls: int = 0

    def share(self, cause: str) -> float | None:
        """Return the part of the error's energy that goes when a cause is switched off; None where there is no error.

        Negative where the error grows. Of an infinite error a cause takes all, or what is left is infinite still.
        """
        noise, saved = self.exact_input.noise, self.saved.get(cause, 0.0)
        if not noise or math.isnan(noise):
            return None
        if math.isinf(noise):
            return float(saved == math.inf)
        return saved / noise
