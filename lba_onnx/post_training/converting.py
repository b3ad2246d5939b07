"""Converts a model with data: calibrates, converts, corrects, and measures what came out.

data --+-- three samples of four --> calibrate (ranges) --> convert --> correct (96 of them at most)
|                                                                   |
+-- one of four, up to 512 ----------------------------> measure: converted and corrected beside float32
"""

import contextlib
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from lba_onnx.arithmetic import parse_family
from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.methods import DEFAULT_METHOD, Method
from lba_onnx.correction import DEFAULT_EFFORT, THOROUGH, CorrectionReport, Tuning, correct
from lba_onnx.data.batches import read_batches
from lba_onnx.data.execution import Execution
from lba_onnx.data.inputs import ModelInput, describe_inputs
from lba_onnx.data.reading import Part, count_samples, read_samples
from lba_onnx.data.repeatable import repeatable
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.evaluation.closeness import Closeness
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.files.outputs import check_outputs, kept
from lba_onnx.files.temporary import temporary_folder
from lba_onnx.observation.executed_macs import count_macs
from lba_onnx.post_training.converted_model import ConvertedModel
from lba_onnx.post_training.measure import measure
from lba_onnx.post_training.transformed import TransformedWay, few_feeds
from lba_onnx.rewrite import ConversionReport, ModelSource, Specs, convert
from lba_onnx.rewrite.conversion import convert_quietly, deliver, warn_of_share
from lba_onnx.rewrite.given_specs import provenance_of
from lba_onnx.rewrite.model_files import MAX_PROTOBUF_BYTES, OpenModel, external_bytes, open_model
from lba_onnx.rewrite.model_inputs import model_inputs, spec_inputs
from lba_onnx.rewrite.selection import Selection
from lba_onnx.session import make_session
from lba_onnx.transformation import transform

_LOG = logging.getLogger(__name__)

MAX_CHECKED_SAMPLES = 512
_LEAST_SAMPLES_TO_PART = 8
_CONVERTED, _CORRECTED, _TRANSFORMED = "converted", "corrected", "transformed"


def convert_with_data(
    model: ModelSource,
    data: Any,
    spec: Specs = "M7E4",
    *,
    method: str | Method | None = None,
    with_correction: bool = True,
    effort: str = DEFAULT_EFFORT,
    tune: Tuning | None = None,
    metric: Metric | str | None = None,
    selection: Selection = Selection(),
    portable: bool = False,
    bias_start: bool = False,
    resume_path: str | os.PathLike[str] | None = None,
    execution: Execution = Execution(),
    model_output: str | os.PathLike[str] | None = None,
) -> ConvertedModel:
    """Convert a float32 model: choose its biases, undo what truncation takes away, and measure the result.

    One sample in four, up to 512, is kept apart and measured with: neither the biases nor the correction have seen it.
    With fewer than 8 samples all serve to fit, and nothing is measured.

    Args:
        model: Path, bytes or ModelProto of a float32 model. A path for one with external data.
        data: `Samples`, or plain data in any form that they take; labels add their accuracy to the verdict. What
            can be read only once, such as a generator, is written to temporary files first.
        spec: A family such as "M7E4", whose biases are chosen from the data; or what `convert` takes.
        method: How the biases of a family are chosen, as `calibrate` takes it; None for its default.
        with_correction: Whether to correct the converted model, as `lba_onnx.correct` does; of integers there is none.
        effort: How much the correction tries, as `lba_onnx.correct` takes it. "thorough" also goes the whole way with
            the model transformed first, as `lba_onnx.transform` does, where a family says the accumulators and
            something can be transformed; that is taken where its correction scores higher.
        tune: How the corrected model is tuned by gradient, as `lba_onnx.correct` takes it; None for not at all.
        metric: A function or "module:function", as `evaluate` takes it: methods that look at the output and the choice
            of the correction go by it, and the verdict tells its mean.
        selection: Which nodes to convert.
        portable: As in `convert`.
        bias_start: As in `convert`.
        resume_path: As in `calibrate`, for a family; the correction notes its progress beside it, in a file whose name
            goes on with ".correction". A correction goes on after the calibration has run again.
        execution: How models run. Progress is told step after step, in samples or evaluations.
        model_output: A file to write the result to, as for `convert`.

    Returns:
        The model and what was found on the way. `verdict` is "not measured" where there were too few samples, where
        float32's own output holds NaN, or where no output can be compared.

    Raises:
        DataError: The data cannot be read, do not fit the model's inputs, or hold NaN.
        ModelError: The model cannot be read, or holds nothing to convert.
        OutputError: model_output or resume_path is one of the files that are read, or the other.
        SelectionError: A name or pattern selects nothing.
        TypeError: An argument has the wrong type, or is none.
        ValueError: A number or text is not as described; a method or a resume_path beside a spec that needs none.
    """
    read = [*model_inputs(model), *data_inputs(data), *spec_inputs(spec), *function_inputs(metric=metric)]
    outputs = {"converted model": model_output, "progress file": resume_path}
    correction_path = None
    if resume_path is not None and with_correction:
        correction_path = outputs["progress file of the correction"] = f"{os.fspath(resume_path)}.correction"
    check_outputs(outputs, read)
    running: dict[str, Any] = {"metric": load_metric(metric), "execution": execution}
    inputs = describe_inputs(make_session(model, providers=execution.providers))
    with contextlib.ExitStack() as stack:
        samples = stack.enter_context(_Samples.open(Samples.of(data), inputs))
        way = _Way(spec, samples, selection, portable, bias_start, running)
        needs_calibration = _needs_calibration(spec, method=method, resume_path=resume_path)
        calibration = {"method": method or DEFAULT_METHOD} if needs_calibration else None
        correction = {"effort": effort, "tune": tune} if with_correction else None
        stages = stack.enter_context(_Stages.open(model, model_output))
        made = way.go(model, stages, calibration, correction, resume_path, correction_path)
        transformed = None
        if effort == THOROUGH and needs_calibration and made.correction is not None:
            base, transformation = transform(
                model, few_feeds(samples.to_fit, inputs), execution=execution, model_output=stages.path(_TRANSFORMED)
            )
            other = None
            if transformation.done:
                base = stages.path(_TRANSFORMED) or base
                stages_of_other = stack.enter_context(_Stages.open(base, model_output))
                other = way.go(base, stages_of_other, calibration, correction)
            found = None if other is None else other.correction
            transformed = TransformedWay.of(transformation, found, made.correction)
            _LOG.info("%s", transformed)
            if transformed.is_taken and other is not None:
                made, stages = other, stages_of_other
        warn_of_share(made.report)
        verdicts = _measure(model, made.models, samples, inputs, made.report, running)
        final = next(reversed(made.models))
        proto, path = stages.deliver(made.models[final], model_output)
    before = verdicts[_CONVERTED] if final == _CORRECTED else None
    verdict = verdicts[final] if needs_calibration else _with_remark(verdicts[final], spec)
    result = ConvertedModel(
        *(proto, made.report, made.calibration, made.correction, verdict, before, path, kept(read)), transformed
    )
    if result.is_broken:
        _LOG.warning("%s", result.verdict_line())
    return result


@dataclass(frozen=True)
class _Made:
    """What a way to a converted model gives: the models by name, the last of them the best, and the reports."""

    models: dict[str, Any]
    report: ConversionReport
    calibration: Calibration | None
    correction: CorrectionReport | None


@dataclass(frozen=True)
class _Way:
    """From a float32 model to a converted one, with these samples and settings."""

    spec: Specs
    samples: "_Samples"
    selection: Selection
    portable: bool
    bias_start: bool
    running: dict[str, Any]

    def go(
        self,
        model: ModelSource,
        stages: "_Stages",
        calibration: dict[str, Any] | None,
        correction: dict[str, Any] | None,
        resume_path: str | os.PathLike[str] | None = None,
        correction_path: str | None = None,
    ) -> _Made:
        """Calibrate, convert and correct, as far as asked for."""
        chosen, to_fit = None, self.samples.to_fit
        if calibration is not None:
            chosen = calibrate(
                model,
                to_fit,
                str(self.spec),
                selection=self.selection,
                bias_start=self.bias_start,
                resume_path=resume_path,
                **calibration,
                **self.running,
            )
        given = {"spec": self.spec} if chosen is None else {"spec": chosen.specs, "provenance": chosen.provenance}
        converted, report = stages.convert(
            selection=self.selection, portable=self.portable, bias_start=self.bias_start, **given
        )
        report = report.with_macs(count_macs(model, to_fit, self.running["execution"], self.selection))
        _LOG.info("%s", report.summary())
        models, corrected = {_CONVERTED: converted}, None
        if correction is not None and report.converted and not report.sums_codes:
            models[_CORRECTED], corrected = stages.correct(
                converted, to_fit, resume_path=correction_path, **correction, **self.running
            )
        return _Made(models, report, chosen, corrected)


def convert_only(
    model: ModelSource, spec: Specs, *, model_output: str | os.PathLike[str], **settings: Any
) -> ConvertedModel:
    """Convert a model without data: nothing is chosen, corrected or measured.

    Args:
        model: As in `convert`.
        spec: What `convert` takes.
        model_output: A file to write the result to.
        **settings: What else `convert` takes.

    Raises:
        ModelError: As `convert`, whose other errors pass, too.
    """
    proto, report = convert(model, spec, model_output=model_output, **settings)
    verdict = Closeness.unknown("there were no data to measure with")
    return ConvertedModel(proto, report, None, None, verdict, path=Path(model_output))


def _needs_calibration(spec: Specs, **settings: Any) -> bool:
    """Return whether a spec is a family; refuse settings of a calibration beside what needs none."""
    given = [name for name, value in settings.items() if value is not None]
    if not _is_family(spec) and given:
        raise ValueError(f"{', '.join(sorted(given))}: expected a family such as M7E4 to calibrate, got {spec}")
    return _is_family(spec)


def _with_remark(verdict: Closeness, spec: Specs) -> Closeness:
    """Return a verdict that says what specs which came from a calibration may have seen."""
    if verdict.comparison is None or provenance_of(spec) is None:
        return verdict
    return replace(verdict, remark="the calibration that was given may have seen these samples")


def _is_family(spec: Any) -> bool:
    if not isinstance(spec, str):
        return False
    try:
        parse_family(spec)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class _Samples:
    """Which samples serve for what.

    Attributes:
        to_fit: For calibration and correction.
        to_check: For the verdict; None where there are too few for that.
    """

    to_fit: Part
    to_check: Part | None

    @classmethod
    @contextmanager
    def open(cls, samples: Samples, inputs: tuple[ModelInput, ...]) -> "Iterator[_Samples]":
        """Look whether there are enough samples to keep some apart; data read only once live until the block ends."""
        with repeatable(samples.data, inputs, samples.max_samples) as data:
            samples = replace(samples, data=data)
            counts = itertools.accumulate(batch.samples for batch in read_batches(samples, inputs))
            if any(count >= _LEAST_SAMPLES_TO_PART for count in counts):
                to_check = Part.of_samples(samples, True).up_to(MAX_CHECKED_SAMPLES)
                yield cls(Part.of_samples(samples, False), to_check)
            else:
                yield cls(Part.of_samples(samples, None), None)


def _measure(
    model: ModelSource,
    models: Mapping[str, Any],
    samples: _Samples,
    inputs: tuple[ModelInput, ...],
    report: ConversionReport,
    running: Mapping[str, Any],
) -> dict[str, Closeness]:
    if not report.converted:
        return dict.fromkeys(models, Closeness.unknown("no node was converted"))
    if samples.to_check is None:
        reason = f"fewer than {_LEAST_SAMPLES_TO_PART} samples, which all served to fit"
        return dict.fromkeys(models, Closeness.unknown(reason))
    batches, total = read_samples(samples.to_check, inputs), count_samples(samples.to_check)
    return measure(model, models, batches, total=total, **running)


class _Stages:
    """Where the model is between the steps: in memory, or, with external data, in a folder of its own."""

    def __init__(self, model: ModelSource, folder: Path | None) -> None:
        self._model = model
        self._folder = folder
        self._conversion: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def open(cls, model: ModelSource, model_output: str | os.PathLike[str] | None) -> "Iterator[_Stages]":
        """Yield the stages; the folder lives until the block ends, beside the output where there is one.

        Raises:
            ValueError: The weights exceed what a model in memory can hold, and there is no output to write them to.
        """
        size_bytes = external_bytes(open_model(model))
        if not size_bytes:
            yield cls(model, None)
            return
        if model_output is None and size_bytes > MAX_PROTOBUF_BYTES:
            raise ValueError(f"expected a model_output for a model with {size_bytes} bytes of weights, got none")
        place = scratch_folder() if model_output is None else temporary_folder(Path(model_output).parent)
        with place as folder:
            yield cls(model, folder)

    def convert(self, **settings: Any) -> "tuple[Any, ConversionReport]":
        """Convert; return the model, or where it is, and the ledger."""
        path = self.path(_CONVERTED)
        self._conversion = settings
        proto, report = convert_quietly(self._model, model_output=path, **settings)
        return path or proto, report

    def correct(self, converted: Any, samples: Samples, **running: Any) -> tuple[Any, CorrectionReport]:
        """Correct; return the model, or where it is, and the report."""
        path = self.path(_CORRECTED)
        proto, report = correct(converted, samples, model_output=path, **running)
        return path or proto, report

    def deliver(self, final: Any, model_output: str | os.PathLike[str] | None) -> tuple[onnx.ModelProto, Path | None]:
        """Write the model where asked to; return it, and the file that its external data lies beside."""
        if self._folder is None or model_output is None:
            opened = OpenModel(final, None) if self._folder is None else open_model(final)
            proto = deliver(opened, model_output)
        elif final == self.path(_CORRECTED):
            proto = deliver(open_model(final), model_output)
        else:  # its weights are the float32 model's, and may be referred to where they lie
            proto, _ = convert_quietly(self._model, model_output=model_output, **self._conversion)
        return proto, None if model_output is None else Path(model_output)

    def path(self, name: str) -> Path | None:
        """Return where a model of a name lies; None where models are in memory."""
        return None if self._folder is None else self._folder / f"{name}.onnx"
