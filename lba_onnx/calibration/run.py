"""From data to the accumulators of every node.

data_pass                 one pass of the data: ranges of every node, hash, a few samples kept
fit, least_error, search  the method: exponents of every node
rates, advice, assembly   a run on some samples kept: what happens with these accumulators
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import FormatFamily
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE
from lba_onnx.calibration.assembly import assemble, report
from lba_onnx.calibration.choice import choose
from lba_onnx.calibration.data_pass import DataPass, SessionCollector, sampled_fraction
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.rates import count_events
from lba_onnx.calibration.result import Calibration
from lba_onnx.calibration.settings import DEFAULT_EVALUATIONS, DEFAULT_PERCENTILE, Settings
from lba_onnx.calibration.trial_model import model_hash, open_trial_model
from lba_onnx.data.batches import DEFAULT_BATCH_SIZE, Preprocess
from lba_onnx.data.execution import Progress
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.reading import count_samples, read_samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.watching import enter_phase
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.observation.collection import collecting_session
from lba_onnx.rewrite.model_inputs import model_inputs

if TYPE_CHECKING:
    import onnx

_PACKAGES = ("lba-onnx", "onnx", "onnxruntime", "numpy")


def calibrate(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    family: str = "M7E4",
    method: str = "max",
    *,
    granularity: str = "layer",
    tied: bool = False,
    percentile: float = DEFAULT_PERCENTILE,
    evaluations: int = DEFAULT_EVALUATIONS,
    layer_evaluations: int = 0,
    metric: Metric | str | None = None,
    chunk_size: int | None = DEFAULT_CHUNK_SIZE,
    underflow: bool = True,
    nodes_to_exclude: Sequence[str] = (),
    nodes_to_convert: Sequence[str] = (),
    op_types_to_convert: Sequence[str] = ("MatMul", "Gemm", "Conv"),
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
        family: Formats to choose the biases of, such as "M7E4".
        method: "max", "percentile", "mse" or "zero_shot"; see docs/calibration.md.
        granularity: "layer" for biases of each node's own, "model" for the same everywhere.
        tied: Whether the product's bias follows from the accumulator's by `accumulator.product_bias`.
        percentile: Percent of the sampled products and sums that "percentile" holds.
        evaluations: Most evaluations of the model that "zero_shot" spends on changes to all nodes at once.
        layer_evaluations: Further ones that it spends on changes to single nodes.
        metric: What "mse" and "zero_shot" judge the model's output by, as a function or as "module:function": called
            with outputs by name and labels, returns a number per sample, larger is better. None for the likeness to the
            float32 outputs.
        chunk_size: Products per chunk; None for the whole depth.
        underflow: Whether the specs let small values underflow.
        nodes_to_exclude: Names and regular expressions of nodes to leave out.
        nodes_to_convert: Names and regular expressions of the only nodes to calibrate; all when empty.
        op_types_to_convert: Operator types to calibrate.
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
    settings = Settings(
        FormatFamily.parse(family),
        method,
        granularity,
        tied,
        percentile,
        evaluations,
        layer_evaluations,
        chunk_size,
        underflow,
    )
    metric = load_metric(metric)
    selection = {
        "nodes_to_exclude": list(nodes_to_exclude),
        "nodes_to_convert": list(nodes_to_convert),
        "op_types_to_convert": list(op_types_to_convert),
    }
    total = count_samples(data, max_samples, shared_inputs)
    reading = {"batch_size": batch_size, "sampled_fraction": sampled_fraction(total)}
    progress_file = _open_progress(resume_path, model, {**settings.to_json(), **selection, **reading})
    with open_trial_model(model, chunk_size, selection) as trial:
        with collecting_session(trial.wide(), providers, sampled_fraction(total)) as collecting:
            inputs = describe_inputs(collecting.session)
            batches = read_samples(data, inputs, batch_size, max_samples, preprocess, shared_inputs)
            data_pass = DataPass(SessionCollector(collecting), trial.node_names, progress_file, progress, total)
            enter_phase("ranges", total=total)
            seen = data_pass.run(batches, inputs, method)
        specs, verdict = choose(model, trial, seen, settings, metric, providers, progress)
        events = count_events(trial.with_specs(specs), seen.event_samples(inputs), providers)
    result = assemble(specs, seen, events, settings, verdict, _PACKAGES)
    progress_file.remove()
    report(result)
    return replace(result, sources=kept(read))


def _open_progress(path: str | PathLike[str] | None, model: Any, settings: dict[str, Any]) -> ProgressFile:
    return ProgressFile(path, {} if path is None else {**settings, "model_sha256": model_hash(model)})
