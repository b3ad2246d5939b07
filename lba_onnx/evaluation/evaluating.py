"""Runs a model, or two side by side, over data, and gathers figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Execution, Progress
from lba_onnx.data.hooks import function_name
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.data.watching import enter_phase, part
from lba_onnx.evaluation.class_outputs import ClassOutputs, find_class_outputs
from lba_onnx.evaluation.evaluation_result import Comparison, Evaluation
from lba_onnx.evaluation.figures import BatchResult, ComparisonFigures, ModelFigures
from lba_onnx.evaluation.outputs import check_same_interface, run_by_name, tensor_outputs
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnxruntime

    from lba_onnx.rewrite.model_files import ModelSource

_REFERENCE_PART = 0.25  # of the time of a batch, roughly


def evaluate(
    model: "ModelSource",
    data: Any,
    *,
    metric: Metric | str | None = None,
    execution: Execution = Execution(),
) -> Evaluation:
    """Measure one model on data: accuracy where there are labels, and the user's metric.

    The data run through once, whatever their number; only sums are kept. Which output is scores of classes,
    `evaluation.class_outputs` says; where the graph shows none, labels make it the first output [samples, classes].

    Args:
        model: Path, bytes or ModelProto, converted or not.
        data: `Samples`, or plain data in any form that they take.
        metric: Called for each batch with its outputs by name and its labels (None without), returns a number or truth
            per sample, [samples], larger is better; or such a function as "module:function".
        execution: How the model runs.

    Raises:
        DataError: The data cannot be read or do not fit the model, or there are fewer labels than samples.
        ModelError: The model cannot be read.
        ValueError: A metric does not return a number per sample.
    """
    function, samples = load_metric(metric), Samples.of(data)
    session = make_session(model, providers=execution.providers)
    measured = _measured(model, samples, function, execution)
    return gather_evaluation(session, read_batches(samples, describe_inputs(session)), measured).result()


def compare(
    reference: "ModelSource",
    candidate: "ModelSource",
    data: Any,
    *,
    metric: Metric | str | None = None,
    execution: Execution = Execution(),
) -> Comparison:
    """Measure two models on the same data, and how far apart they are.

    Each batch runs through both; the data run through once, whatever their number, and only sums are kept.

    Args:
        reference: The float32 model, as path, bytes or ModelProto.
        candidate: The model to compare with it; its inputs and outputs have the same names.
        data: As in `evaluate`.
        metric: As in `evaluate`.
        execution: As in `evaluate`.

    Raises:
        DataError: The data cannot be read or do not fit the models, or there are fewer labels than samples.
        ModelError: A model cannot be read, or the candidate has other inputs or outputs than the reference.
        ValueError: A metric does not return a number per sample.
    """
    function, samples = load_metric(metric), Samples.of(data)
    expected, given = (make_session(model, providers=execution.providers) for model in (reference, candidate))
    check_same_interface(expected, given)
    measured = _measured(reference, samples, function, execution)
    return gather_comparison(expected, given, read_batches(samples, describe_inputs(given)), measured).result()


@dataclass(frozen=True)
class Measured:
    """What is measured of some batches, and who is told.

    Attributes:
        classes: Which outputs may be scores of classes.
        metric: The user's metric.
        progress: Called after each batch with the samples done and `total`.
        total: How many samples the batches hold; None where that is not known.
    """

    classes: ClassOutputs
    metric: Metric | None = None
    progress: Progress | None = None
    total: int | None = None

    @property
    def metric_name(self) -> str | None:
        """What people call the metric; None without one."""
        return None if self.metric is None else function_name(self.metric)

    def tell(self, samples: int) -> None:
        """Tell how many samples are done."""
        if self.progress is not None:
            self.progress(samples, self.total)


def gather_evaluation(
    session: "onnxruntime.InferenceSession", batches: Iterable[Batch], measured: Measured
) -> ModelFigures:
    """Return the figures of some batches, which merge with those of others.

    Args:
        session: A session of the model.
        batches: With labels, where there are any.
        measured: What is measured.

    Raises:
        DataError: The model does not run on a batch.
        ModelError: The model has no output that is a tensor of numbers.
        ValueError: The metric returned something else than a number per sample.
    """
    figures, names = ModelFigures(measured.metric_name), tensor_outputs(session)
    for batch in batches:
        outputs = run_by_name(session, batch, names, "the model")
        figures.update(BatchResult.of(batch, outputs, measured.classes, measured.metric))
        measured.tell(figures.samples)
    return figures


def gather_comparison(
    reference: "onnxruntime.InferenceSession",
    candidate: "onnxruntime.InferenceSession",
    batches: Iterable[Batch],
    measured: Measured,
) -> ComparisonFigures:
    """Return the figures of some batches, which merge with those of others.

    Args:
        reference: A session of the reference.
        candidate: A session of a model with the same inputs and outputs.
        batches: With labels, where there are any.
        measured: What is measured.

    Raises:
        DataError: A model does not run on a batch.
        ModelError: An output has another shape than the reference's, or none is a tensor of numbers.
        ValueError: The metric returned something else than a number per sample.
    """
    figures, names = ComparisonFigures(measured.metric_name), tensor_outputs(reference)
    for batch in batches:
        with part(0, _REFERENCE_PART):
            expected = run_by_name(reference, batch, names, "the reference")
        with part(_REFERENCE_PART, 1):
            got = run_by_name(candidate, batch, names, "the candidate")
        figures.update(batch, expected, got, measured.classes, measured.metric)
        measured.tell(figures.samples)
    return figures


def _measured(reference: "ModelSource", samples: Samples, metric: Metric | None, execution: Execution) -> Measured:
    total = sample_count(samples)
    enter_phase(total=total)
    return Measured(find_class_outputs(reference), metric, execution.progress, total)
