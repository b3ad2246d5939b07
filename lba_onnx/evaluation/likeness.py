"""How like a reference's outputs those of a model are: one score, and whether its classes decide the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.any_values import ANY_VALUES
from lba_onnx.data.batches import Batch
from lba_onnx.evaluation.class_outputs import ClassOutputs
from lba_onnx.evaluation.metrics import Share, Similarity
from lba_onnx.evaluation.outputs import Outputs, as_rows

MAX_SQNR_DB = 200.0
_CLEARLY_MORE = 1.1
_NEGLIGIBLE_NATS = 0.01
_LEAST_CLASSES = 3


@dataclass(frozen=True)
class Assessment:
    """What a judge says of a model.

    Attributes:
        score: Larger is better; minus infinity where something is not a number.
        divergence: How far its class scores are from the reference's (`class_divergence`); None where no output is
            [samples, 3 classes or more], or where a user's metric decides.
    """

    score: float
    divergence: float | None

    @classmethod
    def of(cls, score: float, divergence: float | None = None) -> "Assessment":
        """Return the assessment with a score that may be NaN."""
        return cls(-math.inf if math.isnan(score) else score, divergence)

    def decides_worse_than(self, other: "Assessment") -> bool:
        """Return whether its class scores are further from the reference's than another model's.

        By more than a tenth, that is, and by more than 0.01 nats in all: what is less changes next to no class.
        Clipping can bring outputs closer to the reference on the whole, and yet level the few scores that decide.
        """
        if self.divergence is None or other.divergence is None:
            return False
        return not self.divergence <= max(_CLEARLY_MORE * other.divergence, _NEGLIGIBLE_NATS)


class Likeness:
    """Gathers how like a reference's outputs those of one model are.

    That is the SQNR in dB of each floating-point output, within -200 and 200, averaged over outputs; for a model
    without such outputs, the percentage of equal values.
    """

    def __init__(self, expected: Outputs, classes: ClassOutputs) -> None:
        """Say which outputs count.

        Args:
            expected: The reference's for some batch, as `comparable` returns them.
            classes: Which of them may be scores of classes.
        """
        self._classes = classes
        self._figures = {name: Similarity() if _is_float(values) else Share() for name, values in expected.items()}
        self._scores: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def update(self, batch: Batch, expected: Outputs, outputs: Outputs) -> None:
        """Add a batch.

        Args:
            batch: What was run.
            expected: The reference's outputs, as `comparable` returns them.
            outputs: The model's, the same ones or more.

        Raises:
            ModelError: An output has another shape than the reference's.
        """
        for name, figure in self._figures.items():
            wanted, given = as_rows(name, expected[name], outputs[name], batch)
            if isinstance(figure, Similarity):
                figure.update(wanted, given)
            else:
                figure.update(wanted == given)
        scores = self._classes.find(expected, batch), self._classes.find(outputs, batch)
        for name in list(scores[0])[:1]:
            self._scores.append((scores[0][name], scores[1][name]))

    @property
    def assessment(self) -> Assessment:
        """The verdict so far."""
        return Assessment.of(sum(map(_score, self._figures.values())) / len(self._figures), _divergence(self._scores))


def comparable(outputs: Outputs) -> Outputs:
    """Return the outputs that count: floating-point ones, or all where there are none of these."""
    floats = {name: values for name, values in outputs.items() if _is_float(values)}
    return floats or outputs


def unit_of(outputs: Mapping[str, NDArray[Any]]) -> str:
    """Return what the score of such outputs counts, "dB" or "%"."""
    return "dB" if any(map(_is_float, outputs.values())) else "%"


@ANY_VALUES
def class_divergence(expected: NDArray[Any], scores: NDArray[Any]) -> float:
    """Return the mean divergence of class distributions, in nats, whatever the unit of the scores.

    Both are turned into distributions by a softmax whose temperature is a quarter of the standard deviation of the
    expected scores around each sample's mean; before, one factor for all samples brings `scores` to the size of
    `expected`. So a model that only shrinks its scores does not diverge.

    Args:
        expected: Numbers [samples, classes].
        scores: Numbers of the same shape.

    Returns:
        0 where the expected scores are all alike; infinity where a number is infinite or NaN.
    """
    expected, scores = expected.astype(np.float64), scores.astype(np.float64)
    temperature = float((expected - expected.mean(axis=1, keepdims=True)).std()) / 4
    energy = float(np.square(scores).sum())
    if temperature == 0:
        return 0.0
    if not (math.isfinite(temperature) and math.isfinite(energy)):
        return math.inf
    factor = float((expected * scores).sum()) / energy if energy > 0 else 0.0
    wanted, given = _log_softmax(expected / temperature), _log_softmax(factor * scores / temperature)
    return float((np.exp(wanted) * (wanted - given)).sum(axis=1).mean())


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _is_float(values: NDArray[Any]) -> bool:
    return bool(np.issubdtype(values.dtype, np.floating))


def _divergence(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float | None:
    classes = {wanted.shape[1] for wanted, _ in pairs}
    if len(classes) != 1 or classes.pop() < _LEAST_CLASSES:
        return None
    return class_divergence(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def _score(figure: Similarity | Share) -> float:
    if isinstance(figure, Similarity):
        value = figure.sqnr_db
        # Comparisons with NaN are false, so that it passes.
        return math.nan if value is None or math.isnan(value) else min(max(value, -MAX_SQNR_DB), MAX_SQNR_DB)
    return math.nan if figure.proportion is None else figure.proportion.percent
