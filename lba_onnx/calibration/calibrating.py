"""Calibrates an ONNX model: what users call."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE
from lba_onnx.calibration.calibration_result import Calibration
from lba_onnx.calibration.data_pass import sampled_fraction
from lba_onnx.calibration.flow import Data, calibrate_subject
from lba_onnx.calibration.methods import DEFAULT_METHOD, NUMBERS
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.request import Request
from lba_onnx.calibration.session_subject import SessionSubject
from lba_onnx.calibration.trial_model import model_hash, open_trial_model
from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Preprocess
from lba_onnx.data.execution import Progress
from lba_onnx.data.reading import count_samples, read_samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.operators import op_types
from lba_onnx.rewrite.model_inputs import model_inputs

if TYPE_CHECKING:
    import onnx


def calibrate(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    family: str = "M7E4",
    method: str = DEFAULT_METHOD,
    *,
    granularity: str = "layer",
    tied: bool = False,
    percentile: float = NUMBERS["percentile"].default,
    evaluations: int = NUMBERS["evaluations"].default,
    layer_evaluations: int = NUMBERS["layer_evaluations"].default,
    metric: Metric | str | None = None,
    chunk_size: int | None = DEFAULT_CHUNK_SIZE,
    underflow: bool = True,
    nodes_to_exclude: Sequence[str] = (),
    nodes_to_convert: Sequence[str] = (),
    op_types_to_convert: Sequence[str] | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    shared_inputs: Collection[str] = (),
    progress: Progress | None = None,
    resume_path: str | PathLike[str] | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Calibration:
    """Choose the exponent biases of every node from sample data.

    Args:
        model: Path, bytes or ModelProto of a float model.
        data: Samples: a path, a reader, an array, a mapping or an iterable, as `data.blocks.open_blocks` takes.
        family: Text of what to choose the biases of, such as "M7E4" or "M7E4,chunk=32,round=nearest".
        method: How the biases are chosen, one of `calibration.methods.METHODS`; see docs/calibration.md.
        granularity: "layer" for biases of each node's own, "model" for the same everywhere.
        tied: Whether the product's bias follows from the accumulator's by the rule of the paper.
        percentile: Percent of the sampled products and sums to hold, for methods that go by it.
        evaluations: Most evaluations of the model that a search spends on changes to all nodes at once.
        layer_evaluations: Further ones that it spends on changes to single nodes.
        metric: What methods judge the model's output by, as a function or as "module:function": called
            with outputs by name and labels, returns a number per sample, larger is better. None for the likeness to the
            float32 outputs.
        chunk_size: Products per chunk, where the family does not say; None for the whole depth.
        underflow: Whether small values underflow, where the family does not say.
        nodes_to_exclude: Names and regular expressions of nodes to leave out.
        nodes_to_convert: Names and regular expressions of the only nodes to calibrate; all when empty.
        op_types_to_convert: Operator types to calibrate; None for all.
        batch_size: Samples per run where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with the arrays of each feed; returns what the model is fed.
        shared_inputs: Names of the inputs that are the same for all samples, such as a mask; see `read_batches`.
        progress: Called after each feed with the samples done and the samples in all (None where unknown); then again
            from 1 up for what the method does on top, in samples or evaluations.
        resume_path: A file to note the progress in, and to go on from where it exists; removed at the end.
        providers: onnxruntime's execution providers.

    Raises:
        DataError: The data cannot be read, do not fit the model's inputs, or hold NaN or infinities; or the file at
            `resume_path` belongs to another model, other data or other settings.
        ModelError: The model cannot be read, or has nothing to calibrate.
        OutputError: resume_path is one of the files that are read.
        SelectionError: A name or pattern selects nothing.
        ValueError: The family, the method or a number is not as described.
    """
    read = [*model_inputs(model), *data_inputs(data), *function_inputs(metric=metric, preprocess=preprocess)]
    check_outputs({"progress file": resume_path}, read)
    request = Request.of(
        family,
        method,
        granularity=granularity,
        tied=tied,
        chunk_size=chunk_size,
        underflow=underflow,
        percentile=percentile,
        evaluations=evaluations,
        layer_evaluations=layer_evaluations,
    )
    metric = load_metric(metric)
    selection = {
        "nodes_to_exclude": list(nodes_to_exclude),
        "nodes_to_convert": list(nodes_to_convert),
        "op_types_to_convert": list(op_types() if op_types_to_convert is None else op_types_to_convert),
    }
    total = count_samples(data, max_samples, shared_inputs)
    reading = {"batch_size": batch_size, "sampled_fraction": sampled_fraction(total)}
    progress_file = _open_progress(resume_path, model, {**request.to_json(), **selection, **reading})
    samples = Data(
        lambda inputs: read_samples(data, inputs, batch_size, max_samples, preprocess, shared_inputs),
        total,
    )
    with open_trial_model(model, as_spec(request.settings.family.wide()), selection) as trial:
        subject = SessionSubject(model, trial, metric, providers)
        result = calibrate_subject(subject, samples, request, progress_file, progress)
    return replace(result, sources=kept(read))


def _open_progress(path: str | PathLike[str] | None, model: Any, settings: dict[str, Any]) -> ProgressFile:
    return ProgressFile(path, {} if path is None else {**settings, "model_sha256": model_hash(model)})
