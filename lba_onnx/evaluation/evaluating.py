"""Runs a model, or two side by side, over data, and gathers figures."""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Batch, Preprocess, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Progress
from lba_onnx.data.hooks import function_name
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.watching import enter_phase, part
from lba_onnx.evaluation.class_outputs import ClassOutputs, find_class_outputs
from lba_onnx.evaluation.evaluation_result import Comparison, Evaluation
from lba_onnx.evaluation.figures import BatchResult, ComparisonFigures, ModelFigures
from lba_onnx.evaluation.labels import Labels, with_labels
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
    labels: Labels | None = None,
    *,
    metric: Metric | str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    shared_inputs: Collection[str] = (),
    progress: Progress | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Evaluation:
    """Measure one model on data: accuracy where there are labels, and the user's metric.

    The data run through once, whatever their number; only sums are kept. Which output is scores of classes,
    `evaluation.class_outputs` says; where the graph shows none, labels make it the first output [samples, classes].

    Args:
        model: Path, bytes or ModelProto, converted or not.
        data: Samples, in any form that `data.blocks.open_blocks` takes; an entry "label" or "labels" is set apart.
        labels: Class numbers [samples], or the path of an .npy file with them; instead of labels in the data.
        metric: Called for each batch with its outputs by name and its labels (None without), returns a number or truth
            per sample, [samples], larger is better; or such a function as "module:function".
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with the arrays of each feed; returns what the model is fed.
        shared_inputs: Names of the inputs that are the same for all samples, such as a mask; see `read_batches`.
        progress: Called after each feed with the samples done and the samples in all (None where unknown).
        providers: onnxruntime's execution providers.

    Raises:
        DataError: The data cannot be read or do not fit the model, or there are fewer labels than samples.
        ModelError: The model cannot be read.
        ValueError: A number is not as described, or a metric does not return a number per sample.
    """
    function = load_metric(metric)
    session = make_session(model, providers=providers)
    batches = read_batches(data, describe_inputs(session), batch_size, max_samples, preprocess, shared_inputs)
    labelled = with_labels(batches, labels, is_whole=max_samples is None)
    total = sample_count(data, max_samples, shared_inputs)
    enter_phase(total=total)
    return gather_evaluation(session, labelled, find_class_outputs(model), function, progress, total).result()


def compare(
    reference: "ModelSource",
    candidate: "ModelSource",
    data: Any,
    labels: Labels | None = None,
    *,
    metric: Metric | str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    shared_inputs: Collection[str] = (),
    progress: Progress | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Comparison:
    """Measure two models on the same data, and how far apart they are.

    Each batch runs through both; the data run through once, whatever their number, and only sums are kept.

    Args:
        reference: The float32 model, as path, bytes or ModelProto.
        candidate: The model to compare with it; its inputs and outputs have the same names.
        data: As in `evaluate`.
        labels: As in `evaluate`.
        metric: As in `evaluate`.
        batch_size: As in `evaluate`.
        max_samples: As in `evaluate`.
        preprocess: As in `evaluate`.
        shared_inputs: As in `evaluate`.
        progress: As in `evaluate`.
        providers: As in `evaluate`.

    Raises:
        DataError: The data cannot be read or do not fit the models, or there are fewer labels than samples.
        ModelError: A model cannot be read, or the candidate has other inputs or outputs than the reference.
        ValueError: A number is not as described, or a metric does not return a number per sample.
    """
    function = load_metric(metric)
    sessions = make_session(reference, providers=providers), make_session(candidate, providers=providers)
    check_same_interface(*sessions)
    batches = read_batches(data, describe_inputs(sessions[1]), batch_size, max_samples, preprocess, shared_inputs)
    labelled = with_labels(batches, labels, is_whole=max_samples is None)
    total = sample_count(data, max_samples, shared_inputs)
    enter_phase(total=total)
    return gather_comparison(*sessions, labelled, find_class_outputs(reference), function, progress, total).result()


def gather_evaluation(
    session: "onnxruntime.InferenceSession",
    batches: Iterable[Batch],
    classes: ClassOutputs,
    metric: Metric | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> ModelFigures:
    """Return the figures of some batches, which merge with those of others.

    Args:
        session: A session of the model.
        batches: With labels, where there are any.
        classes: Which outputs may be scores of classes.
        metric: The user's metric.
        progress: Called after each batch with the samples done and `total`.
        total: How many samples the batches hold; None where that is not known.

    Raises:
        DataError: The model does not run on a batch.
        ModelError: The model has no output that is a tensor of numbers.
        ValueError: The metric returned something else than a number per sample.
    """
    figures, names = ModelFigures(_name(metric)), tensor_outputs(session)
    for batch in batches:
        figures.update(BatchResult.of(batch, run_by_name(session, batch, names, "the model"), classes, metric))
        if progress is not None:
            progress(figures.samples, total)
    return figures


def gather_comparison(
    reference: "onnxruntime.InferenceSession",
    candidate: "onnxruntime.InferenceSession",
    batches: Iterable[Batch],
    classes: ClassOutputs,
    metric: Metric | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> ComparisonFigures:
    """Return the figures of some batches, which merge with those of others.

    Args:
        reference: A session of the reference.
        candidate: A session of a model with the same inputs and outputs.
        batches: With labels, where there are any.
        classes: Which outputs may be scores of classes.
        metric: The user's metric.
        progress: Called after each batch with the samples done and `total`.
        total: How many samples the batches hold; None where that is not known.

    Raises:
        DataError: A model does not run on a batch.
        ModelError: An output has another shape than the reference's, or none is a tensor of numbers.
        ValueError: The metric returned something else than a number per sample.
    """
    figures, names = ComparisonFigures(_name(metric)), tensor_outputs(reference)
    for batch in batches:
        with part(0, _REFERENCE_PART):
            expected = run_by_name(reference, batch, names, "the reference")
        with part(_REFERENCE_PART, 1):
            got = run_by_name(candidate, batch, names, "the candidate")
        figures.update(batch, expected, got, classes, metric)
        if progress is not None:
            progress(figures.samples, total)
    return figures


def _name(metric: Metric | None) -> str | None:
    return None if metric is None else function_name(metric)
