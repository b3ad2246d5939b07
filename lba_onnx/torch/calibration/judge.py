"""Judges accumulators by the output of a PyTorch model, by the rules of `evaluation.Judge`.

The likeness of outputs is the SQNR in dB of every floating-point tensor that the model returns, averaged; of a model
without any, the percentage of equal values. For a tensor [samples, classes] there is the divergence of classes, too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from lba_onnx.arithmetic import Accumulator
from lba_onnx.data.batches import Batch
from lba_onnx.data.hooks import function_name
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.class_outputs import by_shape
from lba_onnx.evaluation.likeness import Assessment, Likeness, comparable, unit_of
from lba_onnx.evaluation.outputs import Outputs
from lba_onnx.evaluation.sums import Moments
from lba_onnx.evaluation.user_metric import Metric, measure
from lba_onnx.torch.calibration.batches import BatchReader
from lba_onnx.torch.calibration.model_copy import ModelCopy, copy_model, run_model
from lba_onnx.torch.calibration.structure import tensors_of


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

    def assess(self, specs: Mapping[str, Accumulator]) -> Assessment:
        """Return the mean of the metric with these accumulators.

        Raises:
            ValueError: The metric returned something else than a number per sample.
        """
        self._model.set_specs(specs)
        moments = Moments()
        for batch in self._batches:
            outputs = self._model.run(batch)
            moments.update(measure(self._metric, outputs, self._reader.restore(batch), batch.samples).tolist())
        return Assessment.of(moments.mean)


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
        self._expected = [comparable(_outputs(value)) for value in reference]
        self.unit = unit_of(self._expected[0])

    def assess(self, specs: Mapping[str, Accumulator]) -> Assessment:
        """Return how like the reference's the outputs with these accumulators are.

        Raises:
            ModelError: Outputs are missing or have other shapes.
        """
        self._model.set_specs(specs)
        likeness, names = Likeness(self._expected[0], by_shape(self._expected[0])), self._expected[0].keys()
        for batch, expected in zip(self._batches, self._expected, strict=True):
            outputs = _outputs(self._model.run(batch))
            if missing := [name for name in names if name not in expected or name not in outputs]:
                raise ModelError(f"expected the same outputs for every batch, got none called {missing[0]} for one")
            likeness.update(batch, expected, outputs)
        return likeness.assessment


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
