"""How close converted models are to float32, on samples used neither to fit nor to choose."""

from collections.abc import Iterable, Mapping

import numpy as np

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.data.hooks import function_name
from lba_onnx.data.watching import enter_phase, steps
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.class_outputs import find_class_outputs
from lba_onnx.evaluation.closeness import Closeness
from lba_onnx.evaluation.figures import ComparisonFigures
from lba_onnx.evaluation.outputs import Outputs, run_by_name, tensor_outputs
from lba_onnx.evaluation.user_metric import Metric
from lba_onnx.rewrite.model_files import ModelSource
from lba_onnx.session import make_session


def measure(
    reference: ModelSource,
    models: Mapping[str, ModelSource],
    batches: Iterable[Batch],
    metric: Metric | None,
    execution: Execution,
    total: int | None,
) -> dict[str, Closeness]:
    """Return how close each model is to the reference; every batch runs once through each, and only sums are kept.

    Args:
        reference: The float32 model.
        models: Names to converted models.
        batches: Samples to check with.
        metric: The user's metric.
        execution: How models run.
        total: How many samples there are; None where that is not known.

    Raises:
        DataError: The data do not fit the model, or a model does not run on them.
        ModelError: A model cannot be read.
        ValueError: The metric returned something else than a number per sample.
    """
    sessions = [make_session(model, providers=execution.providers) for model in (reference, *models.values())]
    names, classes = tensor_outputs(sessions[0]), find_class_outputs(reference)
    figures = {name: ComparisonFigures(None if metric is None else function_name(metric)) for name in models}
    enter_phase("measuring", total=total)
    for batch in batches:
        expected, *outputs = (run_by_name(each, batch, names, "the model") for each in steps(sessions))
        nan = _name_of_nan(expected)
        if nan is not None:
            unknown = Closeness.unknown(f"{batch.origin}: float32's own output {nan} holds NaN")
            return dict.fromkeys(models, unknown)
        try:
            for name, given in zip(models, outputs, strict=True):
                figures[name].update(batch, expected, given, classes, metric)
        except ModelError as error:  # an output whose shape depends on the values, such as boxes that are found
            return dict.fromkeys(models, Closeness.unknown(f"{batch.origin}: {error}"))
        if execution.progress is not None:
            execution.progress(next(iter(figures.values())).samples, total)
    return {name: _closeness(found) for name, found in figures.items()}


def _name_of_nan(outputs: Outputs) -> str | None:
    return next((n for n, v in outputs.items() if v.dtype.kind == "f" and np.isnan(v).any()), None)


def _closeness(figures: ComparisonFigures) -> Closeness:
    if not figures.samples:
        return Closeness.unknown("no samples were kept to check with")
    return Closeness.of(figures.result())
