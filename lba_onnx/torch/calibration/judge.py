"""Judges accumulators by the output of a PyTorch model, by the rules of `evaluation.Judge`.

The likeness of outputs is the SQNR in dB of every floating-point tensor that the model returns, averaged; of a model
without any, the percentage of equal values. For a tensor [samples, classes] there is the divergence of classes, too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lba_onnx.accumulator import AccumulatorSpec
from lba_onnx.data.batches import Batch
from lba_onnx.data.hooks import function_name
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.judge import MAX_SQNR_DB, Assessment, class_divergence
from lba_onnx.evaluation.metrics import Share, Similarity
from lba_onnx.evaluation.outputs import Outputs, as_rows, class_scores
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.user_metric import Metric, measure
from lba_onnx.torch.calibration.batches import BatchReader
from lba_onnx.torch.calibration.model_copy import ModelCopy, copy_model, run_model
from lba_onnx.torch.calibration.structure import tensors_of

_LEAST_CLASSES = 3


class MetricJudge:
    """Scores by the mean of the user's metric.

    Attributes:
        unit: The metric's name.
    """

    def __init__(self, model: ModelCopy, reader: BatchReader, batches: Sequence[Batch], metric: Metric) -> None:
        self.unit = function_name(metric)
        self._model = model
        self._reader = reader
        self._batches = batches
        self._metric = metric

    def assess(self, specs: Mapping[str, AccumulatorSpec]) -> Assessment:
        """Return the mean of the metric with these accumulators.

        Raises:
            ValueError: The metric returned something else than a number per sample.
        """
        self._model.set_specs(specs)
        moments = Moments()
        for batch in self._batches:
            outputs = self._model.run(batch)
            moments.update(measure(self._metric, outputs, self._reader.restore(batch), batch.samples).tolist())
        return Assessment(-math.inf if math.isnan(moments.mean) else moments.mean, None)


class LikenessJudge:
    """Scores by the likeness to the outputs of a reference.

    Attributes:
        unit: "dB" or "%".
    """

    def __init__(self, model: ModelCopy, reference: Sequence[Any], batches: Sequence[Batch]) -> None:
        """Keep what the reference returned.

        Args:
            model: The model to judge.
            reference: What the reference returned for each batch.
            batches: The batches.

        Raises:
            ModelError: It returned no tensor.
        """
        self._model = model
        self._batches = batches
        self._expected = [_comparable(_outputs(value)) for value in reference]
        self._is_float = {name: array.dtype.kind == "f" for name, array in self._expected[0].items()}
        self.unit = "dB" if any(self._is_float.values()) else "%"

    def assess(self, specs: Mapping[str, AccumulatorSpec]) -> Assessment:
        """Return how like the reference's the outputs with these accumulators are.

        Raises:
            ModelError: Outputs are missing or have other shapes.
        """
        self._model.set_specs(specs)
        figures = {name: Similarity() if is_float else Share() for name, is_float in self._is_float.items()}
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for batch, expected in zip(self._batches, self._expected, strict=True):
            outputs = _outputs(self._model.run(batch))
            for name, figure in figures.items():
                if name not in expected or name not in outputs:
                    raise ModelError(f"expected the same outputs for every batch, got none called {name} for one")
                _compare(figure, *as_rows(name, expected[name], outputs[name], batch))
            wanted, given = class_scores(expected, batch), class_scores(outputs, batch)
            pairs += [] if wanted is None or given is None else [(wanted, given)]
        score = sum(map(_score, figures.values())) / len(figures)
        return Assessment(-math.inf if math.isnan(score) else score, _divergence(pairs))


def open_judge(
    model: nn.Module, copy: ModelCopy, reader: BatchReader, batches: Sequence[Batch], metric: Metric | None
) -> MetricJudge | LikenessJudge:
    """Return what judges accumulators on a few samples.

    Args:
        model: The user's model; what it returns is the reference. If it is converted, its sites count as float32.
        copy: Its copy, which is given the accumulators.
        reader: Knows how to call them.
        batches: The samples.
        metric: The user's metric; None for the likeness.
    """
    if metric is not None:
        return MetricJudge(copy, reader, batches, metric)
    copy.set_specs({})
    if copy.is_converted:
        return LikenessJudge(copy, [copy.run(batch) for batch in batches], batches)
    float_model = copy_model(model)
    return LikenessJudge(copy, [run_model(float_model, reader, batch) for batch in batches], batches)


def _outputs(value: Any) -> Outputs:
    outputs = tensors_of(value, "output")
    if not outputs:
        raise ModelError(
            f"expected a model that returns tensors, got {type(value).__name__}; give a metric or `forward`"
        )
    return outputs


def _comparable(outputs: Outputs) -> Outputs:
    """Leave out integers where there are floating-point outputs."""
    floats = {name: array for name, array in outputs.items() if array.dtype.kind == "f"}
    return floats or outputs


def _compare(figure: Similarity | Share, expected: NDArray[Any], values: NDArray[Any]) -> None:
    if isinstance(figure, Similarity):
        figure.update(expected, values)
    else:
        figure.update(expected == values)


def _score(figure: Similarity | Share) -> float:
    if isinstance(figure, Share):
        return math.nan if figure.proportion is None else figure.proportion.percent
    value = math.nan if figure.sqnr_db is None else figure.sqnr_db
    return value if math.isnan(value) else min(max(value, -MAX_SQNR_DB), MAX_SQNR_DB)


def _divergence(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float | None:
    classes = {wanted.shape[1] for wanted, _ in pairs}
    if len(classes) != 1 or classes.pop() < _LEAST_CLASSES:
        return None
    return class_divergence(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
