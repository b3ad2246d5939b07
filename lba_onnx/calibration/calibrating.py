"""Calibrates an ONNX model: what users call."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from os import PathLike
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import as_spec
from lba_onnx.calibration.calibration_result import Calibration
from lba_onnx.calibration.data_pass import sampled_fraction
from lba_onnx.calibration.flow import Data, calibrate_seen, calibrate_subject, see_data
from lba_onnx.calibration.methods import DEFAULT_METHOD, NUMBERS, Method
from lba_onnx.calibration.progress_file import ProgressFile
from lba_onnx.calibration.request import Request
from lba_onnx.calibration.session_subject import SessionSubject
from lba_onnx.calibration.trial_model import open_trial_model
from lba_onnx.data.execution import Execution
from lba_onnx.data.reading import count_samples, read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.selection import Selection

if TYPE_CHECKING:
    import onnx


def calibrate(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    family: str = "M7E4",
    method: str | Method = DEFAULT_METHOD,
    *,
    metric: Metric | str | None = None,
    selection: Selection = Selection(),
    bias_start: bool = False,
    resume_path: str | PathLike[str] | None = None,
    execution: Execution = Execution(),
) -> Calibration:
    """Choose the exponent biases of every node, or of an int8 model the bits, from sample data.

    Args:
        model: Path, bytes or ModelProto of a float model, or of an int8 model for a family of integers.
        data: `Samples`, or plain data in any form that they take.
        family: Text of what to choose the biases of, such as "M7E4" or "M7E4,chunk=32,round=nearest";
            "int-wrap" or "int-saturate", to choose the bits of.
        method: How they are chosen: one of `calibration.methods.METHODS` by its name, or with its settings, such
            as `Percentile(99.9, granularity="model")`; see docs/calibration.md.
        metric: What methods judge the model's output by, as a function or as "module:function": called
            with outputs by name and labels, returns a number per sample, larger is better. None for the likeness to the
            float32 outputs.
        selection: Which nodes to calibrate.
        bias_start: Whether the sums of Gemm and Conv start from their bias, as in `convert`.
        resume_path: A file to note the progress in, and to go on from where it exists; removed at the end.
        execution: How the model runs. After the samples, progress is told again, from 1 up, for what the method does on
            top, in samples or evaluations.

    Raises:
        DataError: The data cannot be read, do not fit the model's inputs, or hold NaN or infinities; or the file at
            `resume_path` belongs to another model, other data or other settings.
        ModelError: The model cannot be read, or has nothing to calibrate.
        OutputError: resume_path is one of the files that are read.
        SelectionError: A name or pattern selects nothing.
        ValueError: The family or the method is not as described.
    """
    read = [*model_inputs(model), *data_inputs(data), *function_inputs(metric=metric)]
    check_outputs({"progress file": resume_path}, read)
    request, samples, metric = Request.of(family, method), Samples.of(data), load_metric(metric)
    total = count_samples(samples)
    described = {} if resume_path is None else _described(model, request, selection, samples, total)
    described |= {"bias_start": True} if bias_start and described else {}
    progress_file = ProgressFile(resume_path, described)
    to_read = Data(lambda inputs: read_samples(samples, inputs), total)
    with open_trial_model(model, as_spec(request.family.wide()), selection, bias_start) as trial:
        subject = SessionSubject(model, trial, metric, execution.providers)
        result = calibrate_subject(subject, to_read, request, progress_file, execution.progress)
    return replace(result, model_sha256=model_hash(model), sources=kept(read))


def calibrate_families(
    model: "str | PathLike[str] | bytes | onnx.ModelProto",
    data: Any,
    families: Sequence[str],
    method: str | Method = DEFAULT_METHOD,
    *,
    selection: Selection = Selection(),
    bias_start: bool = False,
    execution: Execution = Execution(),
) -> Iterator[tuple[str, Calibration]]:
    """Yield each family with what `calibrate` returns for it; the data run once for all of the same order of sums.

    Args:
        model: As in `calibrate`.
        data: As in `calibrate`; of several orders, data that can be read again.
        families: Texts of families.
        method: As in `calibrate`, for all of them.
        selection: As in `calibrate`.
        bias_start: As in `calibrate`.
        execution: As in `calibrate`.

    Raises:
        DataError, ModelError, SelectionError, ValueError: As `calibrate`.
    """
    samples, sha256 = Samples.of(data), model_hash(model)
    to_read = Data(lambda inputs: read_samples(samples, inputs), count_samples(samples))
    requests = sorted(((text, Request.of(text, method)) for text in families), key=lambda pair: _pass_key(pair[1]))
    for (wide, _), alike in groupby(requests, key=lambda pair: _pass_key(pair[1])):
        with open_trial_model(model, as_spec(wide), selection, bias_start) as trial:
            subject, seen = SessionSubject(model, trial, None, execution.providers), None
            for text, request in alike:
                seen = seen or see_data(subject, to_read, request, ProgressFile(None, {}), execution.progress)
                found = calibrate_seen(subject, seen, request, execution.progress)
                yield text, replace(found, model_sha256=sha256)


def _pass_key(request: Request) -> tuple[str, list[str]]:
    """Return what a data pass depends on."""
    return request.family.wide(), sorted(request.family.passed_levels)


def _described(
    model: Any, request: Request, selection: Selection, samples: Samples, total: int | None
) -> dict[str, Any]:
    """Return what the progress of a calibration depends on, as JSON values."""
    return {
        **request.described(),
        **dict.fromkeys(NUMBERS),
        **request.method.to_json(),
        **selection.described(),
        "batch_size": samples.batch_size,
        "sampled_fraction": sampled_fraction(total),
        "model_sha256": model_hash(model),
    }
