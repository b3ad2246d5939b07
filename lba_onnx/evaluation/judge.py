"""A quick verdict on a model, from a few samples that stay in memory: for searches that try many models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.data.hooks import function_name
from lba_onnx.errors import DataError
from lba_onnx.evaluation.metrics import Share, Similarity
from lba_onnx.evaluation.outputs import (
    Outputs,
    as_rows,
    check_same_names,
    class_scores,
    run_by_name,
    tensor_outputs,
)
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.user_metric import Metric, load_metric, measure
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnxruntime

    from lba_onnx.rewrite.model_files import ModelSource

MAX_SQNR_DB = 200.0
_CLEARLY_MORE = 1.1
_NEGLIGIBLE_NATS = 0.01
_LEAST_CLASSES = 3


@dataclass(frozen=True)
class Assessment:
    """What a Judge says of a model.

    Attributes:
        score: Larger is better; minus infinity where something is not a number.
        divergence: How far its class scores are from the reference's (`class_divergence`); None where no output is
            [samples, 3 classes or more], or where a user's metric decides.
    """

    score: float
    divergence: float | None

    def decides_worse_than(self, other: "Assessment") -> bool:
        """Return whether its class scores are further from the reference's than another model's.

        By more than a tenth, that is, and by more than 0.01 nats in all: what is less changes next to no class.
        Clipping can bring outputs closer to the reference on the whole, and yet level the few scores that decide.
        """
        if self.divergence is None or other.divergence is None:
            return False
        return not self.divergence <= max(_CLEARLY_MORE * other.divergence, _NEGLIGIBLE_NATS)


class Judge:
    """Scores models on the same few samples, larger is better.

    A score is the mean of the user's metric; without one, the SQNR in dB of the model's floating-point outputs against
    the reference's, averaged over outputs; for a model without such outputs, the percentage of equal values.

    Attributes:
        unit: What scores count: the metric's name, "dB" or "%".
    """

    def __init__(
        self,
        reference: "ModelSource",
        batches: Sequence[Batch],
        *,
        metric: Metric | str | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        """Run the reference once; keep the feeds and, without a metric, the reference's outputs.

        Args:
            reference: The float32 model, as path, bytes or ModelProto.
            batches: Few samples, as `data.batches.read_batches` yields them, with labels if the metric needs them.
            metric: Called with outputs by name and labels (or None), returns a number per sample; or "module:function".
            providers: onnxruntime's execution providers.

        Raises:
            DataError: There are no batches, or the reference does not run on them.
            ModelError: The reference cannot be read.
            ValueError: There is no such metric.
        """
        if not batches:
            raise DataError("expected at least one batch to judge by, got none")
        self._providers = tuple(providers)
        self._metric = load_metric(metric)
        self._batches = tuple(batches)
        session = make_session(reference, providers=self._providers)
        self._outputs = session.get_outputs()
        names = tensor_outputs(session)
        self._expected: list[Outputs] = []
        if self._metric is None:
            self._expected = [_comparable(run_by_name(session, b, names, "the reference")) for b in self._batches]
        self.unit = function_name(self._metric) if self._metric else _unit(self._expected[0])

    def score(self, model: "ModelSource") -> float:
        """Return how good a model is, larger is better.

        Returns:
            The mean of the metric, or the SQNR in dB, within -200 and 200 for each output, or the percentage of equal
            values. Minus infinity where a metric is NaN or a difference of outputs is.

        Raises:
            DataError: The model does not run on the samples.
            ModelError: The model cannot be read, or has other outputs than the reference.
            ValueError: The metric returned something else than a number per sample.
        """
        return self.assess(model).score

    def assess(self, model: "ModelSource") -> Assessment:
        """Return the score of a model, and whether it decides as the reference does; raises as `score`."""
        session = make_session(model, providers=self._providers)
        check_same_names("outputs", self._outputs, session.get_outputs())
        if self._metric is not None:
            return Assessment(_number(self._mean(session, self._metric)), None)
        return self._likeness(session)

    def _mean(self, session: "onnxruntime.InferenceSession", metric: Metric) -> float:
        moments, names = Moments(), tensor_outputs(session)
        for batch in self._batches:
            outputs = run_by_name(session, batch, names, "the model")
            moments.update(measure(metric, outputs, batch.labels, batch.samples).tolist())
        return moments.mean

    def _likeness(self, session: "onnxruntime.InferenceSession") -> Assessment:
        names = list(self._expected[0])
        figures: dict[str, Similarity | Share] = {name: _figure(self._expected[0][name]) for name in names}
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for batch, expected in zip(self._batches, self._expected, strict=True):
            outputs = run_by_name(session, batch, names, "the model")
            for name, figure in figures.items():
                _compare(figure, *as_rows(name, expected[name], outputs[name], batch))
            pairs += _class_scores(expected, outputs, batch)
        mean = sum(_score(figure) for figure in figures.values()) / len(figures)
        return Assessment(_number(mean), _divergence(pairs))


def _comparable(outputs: Outputs) -> Outputs:
    """Leave out integers where there are floating-point outputs."""
    is_float = {name: np.issubdtype(values.dtype, np.floating) for name, values in outputs.items()}
    return {name: values for name, values in outputs.items() if is_float[name] or not any(is_float.values())}


def _unit(outputs: Mapping[str, NDArray[Any]]) -> str:
    return "dB" if any(np.issubdtype(values.dtype, np.floating) for values in outputs.values()) else "%"


def _figure(values: NDArray[Any]) -> Similarity | Share:
    return Similarity() if np.issubdtype(values.dtype, np.floating) else Share()


def _compare(figure: Similarity | Share, expected: NDArray[Any], values: NDArray[Any]) -> None:
    if isinstance(figure, Similarity):
        figure.update(expected, values)
    else:
        figure.update(expected == values)


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


def _class_scores(expected: Outputs, outputs: Outputs, batch: Batch) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    wanted, given = class_scores(expected, batch), class_scores(outputs, batch)
    return [] if wanted is None or given is None else [(wanted, given)]


def _divergence(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float | None:
    classes = {wanted.shape[1] for wanted, _ in pairs}
    if len(classes) != 1 or classes.pop() < _LEAST_CLASSES:
        return None
    return class_divergence(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def _number(score: float) -> float:
    return -math.inf if math.isnan(score) else score


def _score(figure: Similarity | Share) -> float:
    if isinstance(figure, Similarity):
        value = figure.sqnr_db
        # Comparisons with NaN are false, so that it passes.
        return math.nan if value is None or math.isnan(value) else min(max(value, -MAX_SQNR_DB), MAX_SQNR_DB)
    return math.nan if figure.proportion is None else figure.proportion.percent
