"""The correction of a converted model: recipes are tried, and the one that its own outputs say is best is folded in."""

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_limits

from lba_onnx.correction.correction_report import NONE, CorrectionReport, NodeCorrection
from lba_onnx.correction.progress_file import LayerNotes, ProgressFile
from lba_onnx.correction.recipes import DEFAULT_EFFORT, EFFORTS, RECIPES, recipes_of
from lba_onnx.correction.reference import restored, widened
from lba_onnx.correction.sequence import correct_in_sequence
from lba_onnx.correction.tuning import SUFFIX, Tuning, make_tuner, tuned
from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import Execution
from lba_onnx.data.finite import finite_batches
from lba_onnx.data.hashing import DataHash
from lba_onnx.data.inputs import ModelInput, describe_inputs
from lba_onnx.data.reading import read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.split import SpreadSample, hold_out
from lba_onnx.data.watching import enter_phase
from lba_onnx.errors import ModelError
from lba_onnx.evaluation.judge import Judge
from lba_onnx.evaluation.likeness import Assessment
from lba_onnx.files.outputs import check_outputs
from lba_onnx.native.heap import give_back_freed, give_back_garbage
from lba_onnx.rewrite.candidates import converted_products
from lba_onnx.rewrite.conversion import deliver
from lba_onnx.rewrite.folding import ChannelAffine, Scalable, find_scalable, fold
from lba_onnx.rewrite.model_files import ModelSource, OpenModel, external_bytes, open_model
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.rewrite.provenance import read_json_entry, set_metadata
from lba_onnx.session import make_session
from lba_onnx.version import __version__

if TYPE_CHECKING:
    import onnx

    from lba_onnx.evaluation.user_metric import Metric

_LOG = logging.getLogger(__name__)

DEFAULT_MAX_SAMPLES = 96
CORRECTION_KEY = "lba_onnx.correction"
NOT_RUN = "did not run on these data"
NOT_MOVED = "its weights are codes of few bits: scaled, not refitted"


def correct(
    model: ModelSource,
    data: Any,
    *,
    effort: str = DEFAULT_EFFORT,
    recipes: Sequence[str] | None = None,
    tune: Tuning | None = None,
    metric: "Metric | str | None" = None,
    execution: Execution = Execution(),
    resume_path: str | PathLike[str] | None = None,
    model_output: str | PathLike[str] | None = None,
) -> "tuple[onnx.ModelProto, CorrectionReport]":
    """Undo, without training, what a low bit-width accumulator takes away from a converted model's dot products.

    Layer after layer, in execution order, on all samples: each meets the inputs that the corrected layers before it
    give. Scales, and changes of weights where the recipe refits them, are folded into weights; offsets into biases.
    Every recipe is tried; the choice between them and no correction is made by the model's outputs on
    one sample in four, kept apart, so that there the corrected model is never worse. A recipe that takes class
    scores clearly further from float32's, over these and as many others, is out. See docs/correction.md.

    Args:
        model: Path, bytes or ModelProto of a converted model that has not been corrected.
        data: `Samples`, or plain data in any form that they take; labels are needed by a metric only. The samples
            stay in memory: 96, from the start of the data, where no max_samples says otherwise.
        effort: How much is tried, one of `correction.recipes.EFFORTS`: "quick", "default" or "thorough". All but the
            last leave out, of networks that mostly convolve, the recipes that are for layers of matrices.
        recipes: Which to try instead, of `correction.recipes.RECIPES`.
        tune: How to go on from the best recipe by gradient, in PyTorch (the extra "torch"); None for not at all. Then
            one in four of the samples that are not kept apart is left out of all fitting and choosing: the report
            tells what tuning brings there.
        metric: What to choose by, as `evaluate` takes it; by default the SQNR of the outputs against float32.
        execution: How models run. Progress is told in layers, over all recipes; of tuning, in samples of all epochs.
        resume_path: A file to note the progress in, and to go on from where it exists; removed at the end.
        model_output: A file to write the result to, as for `convert`.

    Returns:
        The corrected model (a copy of the model where none is better) and what was done.

    Raises:
        DataError: The data cannot be read, do not fit the model, or hold NaN or infinities; or the file at
            `resume_path` belongs to another model or other data.
        LbaError: The model is to be tuned, and PyTorch is not installed.
        ModelError: The model cannot be read, has no converted node, has one that multiplies integers, has been
            corrected before, or is to be tuned and holds something that no gradient passes.
        OutputError: model_output or resume_path is one of the files that are read, or the other.
        ValueError: There is no such effort or recipe, or a number is not as described.
    """
    _check_recipes(effort, recipes)
    read = chain(model_inputs(model), data_inputs(data), function_inputs(metric=metric))
    check_outputs({"corrected model": model_output, "progress file": resume_path}, read)
    opened = open_model(model)
    _check_correctable(opened.proto)
    scalable = find_scalable(opened.proto)
    layers = [node.node.op_type for node in scalable.nodes.values()]
    recipes = recipes_of(effort, layers) if recipes is None else recipes
    with runnable(opened) as file:
        inputs = describe_inputs(make_session(file, providers=execution.providers))
    samples = _Samples(read_samples(Samples.of(data).up_to(DEFAULT_MAX_SAMPLES), inputs), inputs, tune is not None)
    progress_file = ProgressFile(resume_path, {} if resume_path is None else _described(model, samples))
    trials = _Trials(opened, scalable, samples, metric, execution, len(recipes), tune)
    # Its last bits depend on how many threads BLAS has, and more than one mostly wait for each other, awake.
    with threadpool_limits(limits=1, user_api="blas"):
        for recipe in recipes:
            trials.run(recipe, LayerNotes(progress_file, recipe))
    trials.tune()
    report = trials.report()
    _LOG.info("%s", report.summary())
    corrected = trials.fold(report.recipe)
    set_metadata(corrected.proto, CORRECTION_KEY, json.dumps(_provenance(report)))
    delivered = deliver(corrected, model_output)
    progress_file.remove()
    return delivered, report


class _Samples:
    """Samples to estimate from, those kept apart, those to judge by (these and as many others), those to report on."""

    def __init__(self, batches: Iterable[Batch], inputs: Sequence[ModelInput], reports: bool) -> None:
        split = hold_out(finite_batches(batches), inputs)
        self.estimation, self.reported = list(split), []
        if reports:
            parted = hold_out(self.estimation, inputs)
            self.estimation, self.reported = list(parted), [] if parted.is_shared else parted.kept
        self.held_out = split.kept
        self.is_held_out = not split.is_shared
        self.estimation = self.estimation if self.is_held_out else self.held_out
        fitted = SpreadSample(inputs, _count(self.held_out))
        for batch in self.estimation if self.is_held_out else ():
            fitted.offer(batch)
        self.judged = [*self.held_out, *fitted.batches()]
        self.all = [*self.held_out, *self.estimation] if self.is_held_out else self.held_out


class _Trials:
    """What the recipes tried so far have found, and how it scores."""

    def __init__(
        self,
        opened: OpenModel,
        scalable: Scalable,
        samples: _Samples,
        metric: "Metric | str | None",
        execution: Execution,
        count: int,
        tuning: Tuning | None,
    ) -> None:
        self._opened = opened
        self._model_bytes = opened.proto.ByteSize() + external_bytes(opened)
        self._scalable = scalable
        self._samples = samples
        self._execution = execution
        self._done = 0
        self._total = count * (len(scalable.nodes) + len(scalable.products))
        self._tuning, self._tuner = tuning, None
        if tuning is not None:
            wide = OpenModel(widened(opened.proto), opened.path)
            self._tuner = make_tuner(wide, scalable.nodes, samples.estimation[0])
        with runnable(OpenModel(restored(opened.proto), opened.path)) as reference:
            self._judge = Judge(reference, samples.judged, metric=metric, providers=execution.providers)
            self._reporter = None
            if samples.reported:
                self._reporter = Judge(reference, samples.reported, metric=metric, providers=execution.providers)
        give_back_freed()
        self._corrections: dict[str, dict[str, ChannelAffine]] = {NONE: {}}
        self._scores: dict[str, float] = {}
        self._on_all: dict[str, Assessment] = {}
        self._reported: dict[str, float] = {}
        self._assess(NONE)

    def run(self, recipe: str, notes: LayerNotes) -> None:
        """Try a recipe, whose layers are noted; those that are noted already are taken as they are."""
        enter_phase(f"recipe {recipe}", "layers", self._total, self._done)
        if notes.is_done:
            self._corrections[recipe] = {name: layer.affine for name, layer in notes.items()}
            self._advance(len(notes))
        else:
            self._corrections[recipe] = correct_in_sequence(
                self._opened,
                self._scalable,
                self._samples.estimation,
                RECIPES[recipe],
                self._execution.providers,
                self._advance,
                notes,
            )
            notes.finish()
        self._assess(recipe)

    def tune(self) -> None:
        """Go on from the best recipe so far by gradient, if asked to, and tell what that brings."""
        if self._tuning is None or self._tuner is None:
            return
        base = self._best
        self._total = self._tuning.epochs * _count(self._samples.estimation)
        self._done = 0
        enter_phase(f"tuning of {base}", total=self._total)
        name = base + SUFFIX
        self._corrections[name] = tuned(
            self._tuner,
            self.fold(base),
            self._corrections[base],
            self._samples.estimation,
            self._tuning,
            self._advance,
        )
        self._assess(name)
        if self._reporter is not None:
            for recipe in dict.fromkeys((NONE, base, name)):
                with runnable(self.fold(recipe)) as file:
                    self._reported[recipe] = self._reporter.score(file)

    def fold(self, recipe: str) -> OpenModel:
        """Return a copy of the model, corrected as a recipe says."""
        copy = open_model(self._opened.proto).proto
        fold(copy, self._corrections[recipe])
        return OpenModel(copy, self._opened.path)

    def report(self) -> CorrectionReport:
        """Return the verdict: the first of the highest scores, so that no correction wins where nothing is gained."""
        best = self._best
        return CorrectionReport(
            recipe=best,
            scores=dict(self._scores),
            scores_on_all={name: found.score for name, found in self._on_all.items()},
            rejected=tuple(self._rejected),
            divergences={name: found.divergence for name, found in self._on_all.items()},
            unit=self._judge.unit,
            samples=_count(self._samples.estimation),
            held_out_samples=_count(self._samples.held_out),
            is_held_out=self._samples.is_held_out,
            reported_scores=dict(self._reported),
            reported_samples=_count(self._samples.reported),
            nodes=tuple(self._describe(product.name, best) for product in converted_products(self._opened.proto)),
        )

    @property
    def _rejected(self) -> list[str]:
        return [name for name, found in self._on_all.items() if found.decides_worse_than(self._on_all[NONE])]

    @property
    def _best(self) -> str:
        left = [name for name in self._scores if name not in self._rejected]  # no correction is the first of them
        return max(left, key=lambda name: self._scores[name])

    def _describe(self, name: str, recipe: str) -> NodeCorrection:
        affine = self._corrections[recipe].get(name)
        if affine is None:
            reason = self._scalable.reasons.get(name) or ("no recipe is better" if recipe == NONE else NOT_RUN)
            return NodeCorrection(name, None, None, reason)
        used = RECIPES.get(recipe.removesuffix(SUFFIX))
        node = self._scalable.nodes.get(name)
        is_limited = used is not None and used.moves_weights and node is not None and not node.takes_weights
        remark = NOT_MOVED if is_limited else ""
        return NodeCorrection(name, float(affine.scale.mean()), float(abs(affine.offset).max(initial=0)), remark=remark)

    def _assess(self, recipe: str) -> None:
        enter_phase("judging", unit="")
        parts = [range(len(self._samples.held_out)), range(len(self._samples.judged))]
        with runnable(self.fold(recipe)) as file:
            give_back_garbage(self._model_bytes)
            held_out, self._on_all[recipe] = self._judge.assess_parts(file, parts)
        give_back_freed()
        self._scores[recipe] = held_out.score

    def _advance(self, steps: int = 1) -> None:
        self._done += steps
        if self._execution.progress is not None:
            self._execution.progress(self._done, self._total)


def corrected_by(model: "onnx.ModelProto") -> str | None:
    """Return the recipe that a model was corrected by, as its metadata say; None for a model that was not."""
    entry = read_json_entry(model, CORRECTION_KEY)
    recipe = entry.get("recipe", entry.get("estimator", NONE))  # "estimator" in models of before 0.2
    return None if recipe == NONE else recipe


def _check_recipes(effort: str, recipes: Sequence[str] | None) -> None:
    if effort not in EFFORTS:
        raise ValueError(f"expected an effort out of {', '.join(EFFORTS)}, got {effort!r}")
    for recipe in recipes or ():
        if recipe not in RECIPES:
            raise ValueError(f"expected recipes out of {', '.join(RECIPES)}, got {recipe!r}")


def _check_correctable(model: "onnx.ModelProto") -> None:
    products = converted_products(model)
    if not products:
        raise ModelError("expected a converted model, got one without low-bit-accumulator nodes")
    for product in products:
        if product.present_spec is not None and product.present_spec.sums_codes:
            raise ModelError(f"expected products of floats to correct, got {product.name!r}, which multiplies integers")
    if corrected_by(model) is not None:
        raise ModelError("expected a model that has not been corrected, got a corrected one; convert it anew")


def _described(model: ModelSource, samples: _Samples) -> dict[str, Any]:
    """Return what the progress of a correction depends on, as JSON values."""
    data = DataHash()
    for batch in samples.all:
        data.update(batch)
    sizes = [batch.samples for batch in samples.all]
    return {
        "model_sha256": model_hash(model),
        "data_sha256": data.hexdigest(),
        "batches": sizes,
        "version": __version__,
    }


def _count(batches: Sequence[Batch]) -> int:
    return sum(batch.samples for batch in batches)


def _provenance(report: CorrectionReport) -> dict[str, Any]:
    described = report.to_json()
    return {name: described[name] for name in ("recipe", "scores", "unit", "samples", "held_out_samples")}
