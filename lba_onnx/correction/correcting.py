"""The correction of a converted model: estimators are tried, and what its own outputs say is best is folded in."""

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any

from lba_onnx.correction.correction_report import NONE, CorrectionReport, NodeCorrection
from lba_onnx.correction.estimation import estimate, widened
from lba_onnx.correction.estimators import ESTIMATORS
from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.inputs import ModelInput, describe_inputs
from lba_onnx.data.reading import read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.split import hold_out
from lba_onnx.data.watching import enter_phase, part
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.likeness import Assessment
from lba_onnx.files.outputs import check_outputs
from lba_onnx.rewrite.candidates import converted_products
from lba_onnx.rewrite.conversion import deliver
from lba_onnx.rewrite.folding import ChannelAffine, fold, scalable_nodes
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, open_model
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.rewrite.provenance import read_json_entry, set_metadata
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnx

    from lba_onnx.evaluation.user_metric import Metric

_LOG = logging.getLogger(__name__)

DEFAULT_MAX_SAMPLES = 96
CORRECTION_KEY = "lba_onnx.correction"
NOT_RUN = "did not run on these data"


def correct(
    model: ModelSource,
    data: Any,
    *,
    estimators: Sequence[str] = tuple(ESTIMATORS),
    metric: "Metric | str | None" = None,
    execution: Execution = Execution(),
    model_output: str | PathLike[str] | None = None,
) -> "tuple[onnx.ModelProto, CorrectionReport]":
    """Undo, without training, what truncation systematically takes away from a converted model's dot products.

    Per output channel a scale and, where it helps, an offset are estimated layer after layer and folded into weights
    and biases. Every estimator is tried; the choice between them and no correction is made by the model's outputs on
    one sample in four, kept apart, so that there the corrected model is never worse. An estimator that takes class
    scores clearly further from float32's, over all samples, is out. See `correction.estimators`.

    Args:
        model: Path, bytes or ModelProto of a converted model that has not been corrected.
        data: `Samples`, or plain data in any form that they take; labels are needed by a metric only. The samples
            stay in memory: 96, from the start of the data, where no max_samples says otherwise.
        estimators: Which to try: "scale", "affine", "chain".
        metric: What to choose by, as `evaluate` takes it; by default the SQNR of the outputs against float32.
        execution: How models run. Progress is told in samples, over all estimators.
        model_output: A file to write the result to, as for `convert`.

    Returns:
        The corrected model (a copy of the model where none is better) and what was done.

    Raises:
        DataError: The data cannot be read, do not fit the model, or hold NaN or infinities.
        ModelError: The model cannot be read, has no converted node, or has been corrected before.
        OutputError: model_output is one of the files that are read.
        ValueError: An estimator or a number is not as described.
    """
    _check_estimators(estimators)
    read = chain(model_inputs(model), data_inputs(data), function_inputs(metric=metric))
    check_outputs({"corrected model": model_output}, read)
    opened = open_model(model)
    _check_correctable(opened.proto)
    with runnable(opened) as file:
        inputs = describe_inputs(make_session(file, providers=execution.providers))
    samples = _Samples(read_samples(Samples.of(data).up_to(DEFAULT_MAX_SAMPLES), inputs), inputs)
    trials = _Trials(opened, samples, metric, execution, len(estimators))
    for estimator in estimators:
        trials.run(estimator)
    report = trials.report()
    _LOG.info("%s", report.summary())
    corrected = trials.fold(report.estimator)
    set_metadata(corrected.proto, CORRECTION_KEY, json.dumps(_provenance(report)))
    return deliver(corrected, model_output), report


class _Samples:
    """The samples to estimate from, those kept apart, and both."""

    def __init__(self, batches: Iterable[Batch], inputs: Sequence[ModelInput]) -> None:
        split = hold_out(finite_batches(batches), inputs)
        self.estimation = list(split)
        self.held_out = split.kept
        self.is_held_out = not split.is_shared
        self.estimation = self.estimation if self.is_held_out else self.held_out
        self.all = [*self.estimation, *self.held_out] if self.is_held_out else self.held_out


class _Trials:
    """What the estimators tried so far have found, and how it scores."""

    def __init__(
        self,
        opened: OpenModel,
        samples: _Samples,
        metric: "Metric | str | None",
        execution: Execution,
        count: int,
    ) -> None:
        self._opened = opened
        self._nodes, self._reasons = scalable_nodes(opened.proto)
        self._samples = samples
        self._execution = execution
        self._done = 0
        self._total = count * _count(samples.estimation)
        with runnable(OpenModel(widened(opened.proto), opened.path)) as reference:
            self._judge = Judge(reference, samples.held_out, metric=metric, providers=execution.providers)
            self._arbiter = Judge(reference, samples.all, metric=metric, providers=execution.providers)
        self._corrections: dict[str, dict[str, ChannelAffine]] = {NONE: {}}
        self._scores: dict[str, float] = {}
        self._on_all: dict[str, Assessment] = {}
        self._assess(NONE)

    def run(self, estimator: str) -> None:
        """Try an estimator."""
        batches = self._samples.estimation
        enter_phase(f"estimator {estimator}", total=self._total, done=self._done)
        found = estimate(self._opened, self._nodes, batches, estimator, self._execution.providers, self._advance)
        self._corrections[estimator] = found
        self._assess(estimator)

    def fold(self, estimator: str) -> OpenModel:
        """Return a copy of the model, corrected as an estimator says."""
        copy = open_model(self._opened.proto).proto
        fold(copy, self._corrections[estimator])
        return OpenModel(copy, self._opened.path)

    def report(self) -> CorrectionReport:
        """Return the verdict: the first of the highest scores, so that no correction wins where nothing is gained."""
        rejected = [n for n, found in self._on_all.items() if found.decides_worse_than(self._on_all[NONE])]
        left = [name for name in self._scores if name not in rejected]  # no correction is the first of them
        best = max(left, key=lambda name: self._scores[name])
        return CorrectionReport(
            estimator=best,
            scores=dict(self._scores),
            rejected=tuple(rejected),
            divergences={name: found.divergence for name, found in self._on_all.items()},
            unit=self._judge.unit,
            samples=_count(self._samples.estimation),
            held_out_samples=_count(self._samples.held_out),
            is_held_out=self._samples.is_held_out,
            nodes=tuple(self._describe(product.name, best) for product in converted_products(self._opened.proto)),
        )

    def _describe(self, name: str, estimator: str) -> NodeCorrection:
        affine = self._corrections[estimator].get(name)
        if affine is None:
            reason = self._reasons.get(name) or ("no estimator is better" if estimator == NONE else NOT_RUN)
            return NodeCorrection(name, None, None, reason)
        return NodeCorrection(name, float(affine.scale.mean()), float(abs(affine.offset).max(initial=0)))

    def _assess(self, estimator: str) -> None:
        enter_phase("judging", unit="")
        few, all_of_them = _count(self._samples.held_out), _count(self._samples.all)
        with runnable(self.fold(estimator)) as file:
            with part(0, few / (few + all_of_them)):
                self._scores[estimator] = self._judge.score(file)
            with part(few / (few + all_of_them), 1):
                self._on_all[estimator] = self._arbiter.assess(file)

    def _advance(self, samples: int) -> None:
        self._done += samples
        if self._execution.progress is not None:
            self._execution.progress(self._done, self._total)


def _check_estimators(estimators: Sequence[str]) -> None:
    for estimator in estimators:
        if estimator not in ESTIMATORS:
            raise ValueError(f"expected estimators out of {', '.join(ESTIMATORS)}, got {estimator!r}")


def _check_correctable(model: "onnx.ModelProto") -> None:
    if not converted_products(model):
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    if read_json_entry(model, CORRECTION_KEY).get("estimator", NONE) != NONE:
        raise ModelError("expected a model that has not been corrected, got a corrected one; convert it anew")


def _count(batches: Sequence[Batch]) -> int:
    return sum(batch.samples for batch in batches)


def _provenance(report: CorrectionReport) -> dict[str, Any]:
    described = report.to_json()
    return {name: described[name] for name in ("estimator", "scores", "unit", "samples", "held_out_samples")}
