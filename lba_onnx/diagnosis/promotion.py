"""The fewest layers to leave in float32, or to give a wider family, until a condition holds.

    order the layers by what each alone does to the model's output
    no layer promoted: holds?  ->  done
    all promoted: does not hold?  ->  no promotion fulfils the condition
    bisect the number k of promoted layers, taken from the most harmful on
    for each promoted layer, the least harmful first: take it back if the condition holds without it

What remains is fewest in the sense that no layer of it can be taken back alone; a smaller set of other layers is not
ruled out.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import Accumulator, parse_family
from lba_onnx.correction import correct
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.execution import Execution
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.data.sources import data_inputs, function_inputs
from lba_onnx.data.watching import enter_phase, passing, watched_by
from lba_onnx.diagnosis.alone import score_alone
from lba_onnx.diagnosis.promotion_result import Promotion, Step
from lba_onnx.diagnosis.variants import Variants, open_variants
from lba_onnx.diagnosis.widening import widen
from lba_onnx.evaluation.class_outputs import find_class_outputs
from lba_onnx.evaluation.condition import Condition
from lba_onnx.evaluation.evaluating import Measured, gather_comparison
from lba_onnx.evaluation.outputs import check_same_interface
from lba_onnx.evaluation.user_metric import Metric, load_metric
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.files.outputs import check_outputs
from lba_onnx.rewrite.conversion import convert_quietly, deliver
from lba_onnx.rewrite.model_files import open_model
from lba_onnx.rewrite.model_inputs import model_inputs
from lba_onnx.rewrite.provenance import OPTIONS_KEY, read_json_entry, write_metadata
from lba_onnx.rewrite.specs import read_specs
from lba_onnx.session import make_session

if TYPE_CHECKING:
    import onnx

    from lba_onnx.rewrite.model_files import ModelSource

_LOG = logging.getLogger(__name__)

DEFAULT_SAMPLES = 256
_SAMPLES_ALONE = 16


def promote_until(
    model: "ModelSource",
    data: Any,
    condition: str,
    reference: "ModelSource | None" = None,
    *,
    wider: str | None = None,
    metric: Metric | str | None = None,
    order: Sequence[str] | None = None,
    execution: Execution = Execution(),
    model_output: "str | os.PathLike[str] | None" = None,
) -> Promotion:
    """Find the fewest layers to leave in float32, or to give a wider family, until a condition holds.

    Where `correct` corrected the converted model, each model tried is corrected too, by the same recipe, on the
    samples at hand. These run once for each model tried: about log2 of the number of layers, and one more for each
    layer that is promoted in between.

    Args:
        model: As in `debug`.
        data: As in `debug`; the first 256 samples where no max_samples says otherwise. They are kept in memory.
        condition: Such as "sqnr>=20", as `Condition` describes.
        reference: As in `debug`.
        wider: A family such as "M10E5" for the promoted nodes, at least as wide as any format of the model, with the
            smallest ranges in which nothing overflows on these samples; None for float32.
        metric: As in `evaluate`.
        order: All nodes, the most harmful first, as in `Diagnosis.ranking`; None to find it out on 16 samples.
        execution: How models run. Progress is told, where there is no order, in nodes; then in models tried.
        model_output: A file to write the promoted model to, where the condition is fulfilled.

    Raises:
        DataError: As `debug`, or the data do not tell the figure of the condition.
        ModelError: As `debug`.
        OutputError: model_output is one of the files that are read.
        ValueError: The condition, the family, the order or a number is not as described.
    """
    files = [
        *model_inputs(model),
        *model_inputs(reference, "reference"),
        *data_inputs(data),
        *function_inputs(metric=metric),
    ]
    check_outputs({"promoted model": model_output}, files)
    wanted, family = Condition.parse(condition), None if wider is None else parse_family(wider)
    with open_variants(model, reference) as variants:
        inputs = describe_inputs(make_session(variants.reference, providers=execution.providers))
        batches = list(read_batches(Samples.of(data).up_to(DEFAULT_SAMPLES), inputs))
        specs = {} if family is None else widen(variants, batches, family, execution.providers)
        trial = _Trial(variants, specs, batches, wanted, load_metric(metric), execution)
        ordered = _order(variants, batches, execution) if order is None else list(order)
        promotion = _promote(trial, ordered, wider)
        if model_output is not None and promotion.is_fulfilled:
            _write(trial, promotion, model_output)
    return promotion


def _promote(trial: "_Trial", ordered: Sequence[str], wider: str | None) -> Promotion:
    names = trial.variants.specs
    if sorted(ordered) != sorted(names):
        raise ValueError(f"expected an order of all converted nodes, {sorted(names)}, got {sorted(ordered)}")
    if trial.variants.is_corrected and trial.variants.recipe is None:
        _LOG.warning("the model's weights are not the reference's: promotion takes the reference's")
    enter_phase("promotions", "models")
    found = _search(trial, ordered)
    specs = {name: trial.spec(name, found.promoted) for name in names}
    return Promotion(
        condition=str(trial.condition),
        is_fulfilled=found.holds,
        promoted=found.promoted,
        value=found.value,
        specs={name: spec for name, spec in specs.items() if spec is not None},
        wider=wider,
        samples=sum(batch.samples for batch in trial.batches),
        steps=tuple(trial.steps),
    )


class _Trial:
    """Tries models with some nodes promoted.

    Attributes:
        variants: The models.
        batches: The samples that they run on.
        condition: What they should fulfil.
        steps: What was tried.
    """

    def __init__(
        self,
        variants: Variants,
        wider_specs: Mapping[str, Accumulator],
        batches: Sequence[Batch],
        condition: Condition,
        metric: Metric | None,
        execution: Execution,
    ) -> None:
        self.variants = variants
        self.batches = batches
        self.condition = condition
        self.steps: list[Step] = []
        self._wider_specs = wider_specs
        self._execution = execution
        self._reference = make_session(variants.reference, providers=execution.providers)
        self._measured = Measured(find_class_outputs(variants.reference), metric)

    def spec(self, name: str, promoted: Sequence[str]) -> Accumulator | None:
        """Return a node's spec; None for float32."""
        return self._wider_specs.get(name) if name in promoted else self.variants.specs[name]

    def correct(self, model: "ModelSource", path: "str | os.PathLike[str] | None" = None) -> "onnx.ModelProto":
        """Return a converted model corrected as that of the user was; write it where there is a path."""
        feeds, recipes = [dict(batch.feeds) for batch in self.batches], [self.variants.recipe or ""]
        with watched_by(None):  # its phases are those of one model tried
            execution = Execution(self._execution.providers)
            return correct(model, feeds, recipes=recipes, execution=execution, model_output=path)[0]

    def run(self, promoted: Sequence[str]) -> Step:
        """Try the model with these nodes promoted."""
        model: ModelSource = self.variants.make(lambda name, _: self.spec(name, promoted))
        if self.variants.recipe is not None and any(self.spec(name, promoted) for name in self.variants.specs):
            model = self.correct(model)
        candidate = make_session(model, providers=self._execution.providers)
        check_same_interface(self._reference, candidate)
        figures = gather_comparison(self._reference, candidate, passing(self.batches), self._measured).result()
        value = self.condition.value(figures)
        self.steps.append(Step(tuple(promoted), value, self.condition.holds(value)))
        if self._execution.progress is not None:
            self._execution.progress(len(self.steps), None)
        return self.steps[-1]


def _search(trial: _Trial, ordered: Sequence[str]) -> Step:
    """Return the step whose promoted nodes are to be taken."""
    none = trial.run(())
    if none.holds:
        return none
    best = trial.run(ordered)
    if not best.holds:
        return best
    fails, holds = 0, len(ordered)
    while holds - fails > 1:
        middle = (fails + holds) // 2
        step = trial.run(ordered[:middle])
        if step.holds:
            best, holds = step, middle
        else:
            fails = middle
    return _prune(trial, best)


def _prune(trial: _Trial, best: Step) -> Step:
    """Take promoted nodes back one at a time, the least harmful first, but for the last that was found needed."""
    for name in best.promoted[-2::-1]:
        step = trial.run([other for other in best.promoted if other != name])
        best = step if step.holds else best
    return best


def _order(variants: Variants, batches: Sequence[Batch], execution: Execution) -> list[str]:
    few: list[Batch] = []
    for batch in batches:
        if sum(other.samples for other in few) < _SAMPLES_ALONE:
            few.append(batch)
    scores = score_alone(variants, few, execution)
    return sorted(scores, key=lambda name: scores[name])


def _write(trial: _Trial, promotion: Promotion, path: "str | os.PathLike[str]") -> None:
    variants = trial.variants
    settings: dict[str, Any] = {"bias_start": variants.bias_start, "selection": variants.selection}
    said = {"condition": promotion.condition, "promoted": list(promotion.promoted), "wider": promotion.wider}
    settings["provenance"] = {**variants.provenance, "promotion": said}
    if not variants.has_given_reference and any(spec.sums_codes for spec in variants.specs.values()):
        _write_integers(trial, promotion, settings["provenance"], path)
        return
    if variants.recipe is None or not promotion.specs:
        convert_quietly(variants.reference, promotion.specs, model_output=path, **settings)
        return
    with scratch_folder() as folder:
        plain = folder / "converted.onnx"
        convert_quietly(variants.reference, promotion.specs, model_output=plain, **settings)
        trial.correct(plain, path)


def _write_integers(
    trial: _Trial, promotion: Promotion, provenance: dict[str, Any], path: "str | os.PathLike[str]"
) -> None:
    """Write the model as it was tried: without the int8 model there is none to convert anew."""
    promoted = open_model(trial.variants.make(lambda name, _: trial.spec(name, promotion.promoted)))
    options = read_json_entry(promoted.proto, OPTIONS_KEY)
    write_metadata(promoted.proto, read_specs(promoted.proto), options, provenance)
    deliver(promoted, path)
