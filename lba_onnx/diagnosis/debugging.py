"""Runs both models over samples and tells of each layer how much it loses and why."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.blocks import sample_count
from lba_onnx.data.execution import Execution, Progress, run_batch
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.samples import Samples
from lba_onnx.data.watching import enter_phase, part
from lba_onnx.diagnosis.alone import score_alone
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis
from lba_onnx.diagnosis.layers import ModelPair, open_pair
from lba_onnx.diagnosis.model_diagnosis import Diagnosis
from lba_onnx.diagnosis.needed_bits import needed_bits
from lba_onnx.diagnosis.sums import LayerSums
from lba_onnx.diagnosis.variants import Variants, open_variants
from lba_onnx.integers import as_count
from lba_onnx.observation.collection import CollectingSession, collecting_session
from lba_onnx.observation.event_rates import EventRates

if TYPE_CHECKING:
    from lba_onnx.native import Statistics
    from lba_onnx.rewrite.model_files import ModelSource

DEFAULT_SAMPLES = 64
DEFAULT_SAMPLES_ALONE = 16

_PAIR_PART = 0.8  # of the time of a batch, roughly
_COUNTED_SAMPLES = 16  # counting takes several times as long as computing
_COUNTED_PRODUCTS = 1 << 23  # of all samples; they are followed one by one


def debug(
    model: "ModelSource",
    data: Any,
    reference: "ModelSource | None" = None,
    *,
    samples_alone: int = DEFAULT_SAMPLES_ALONE,
    execution: Execution = Execution(),
) -> Diagnosis:
    """Tell of each converted node how much it loses, how often something goes wrong in it, and which cause counts.

    Each batch runs through the reference, then through the converted model, and the first 16 samples through the
    converted model again to count events; each time parts of the executions are looked at, so that what is kept grows
    neither with the number of samples nor with their size. Then each node is tried as the only converted one.

    Args:
        model: Path, bytes or ModelProto of a converted model.
        data: `Samples`, or plain data in any form that they take; the first 64 where no max_samples says otherwise.
        reference: The float32 model it was made from. None takes the converted model's own weights, which will not do
            where they were corrected.
        samples_alone: How many of them to use for `output_sqnr_alone`, in whole batches; 0 to skip it.
        execution: How models run. Progress is told in samples, then in nodes.

    Raises:
        DataError: The data cannot be read or do not fit the model.
        ModelError: A model cannot be read, the first has no converted node, the reference lacks one of its nodes, or
            there is none although the first was corrected.
        ValueError: A number is not as described.
    """
    as_count("samples_alone", samples_alone, 0)
    samples, providers = Samples.of(data).up_to(DEFAULT_SAMPLES), execution.providers
    with open_variants(model, reference) as variants:
        with open_pair(model, variants, providers) as pair, ExitStack() as stack:
            inputs = describe_inputs(pair.inputs)
            batches, total = read_batches(samples, inputs), sample_count(samples)
            seen = _run(pair, _Counting(stack, model, providers), batches, samples_alone, execution.progress, total)
        del pair  # and its sessions
        scores = score_alone(variants, seen.kept, execution) if seen.kept else {}
    layers = _layers(variants, seen, scores)
    return Diagnosis(layers, seen.samples, sum(batch.samples for batch in seen.kept), variants.is_corrected)


@dataclass(frozen=True)
class _Seen:
    """What the pass over the samples leaves.

    Attributes:
        sums: By node.
        statistics: By node that ran.
        samples: How many there were.
        kept: The first batches.
    """

    sums: Mapping[str, LayerSums]
    statistics: "Mapping[str, Statistics]"
    samples: int
    kept: list[Batch]


class _Counting:
    """Counts events in the converted model: of the first samples, and of as large a part of the outputs as is cheap."""

    def __init__(self, stack: ExitStack, model: "ModelSource", providers: Sequence[str]) -> None:
        self._stack = stack
        self._model = model
        self._providers = providers
        self._samples = 0
        self._session: CollectingSession | None = None

    def run(self, batch: Batch, products: int) -> None:
        """Run a batch, in which nodes compute so many products; pass over it where enough samples have been counted."""
        if self._samples >= _COUNTED_SAMPLES:
            return
        self._samples += batch.samples
        if self._session is None:
            expected = products * max(1, _COUNTED_SAMPLES // batch.samples)
            fraction = min(1.0, _COUNTED_PRODUCTS / max(expected, 1))
            self._session = self._stack.enter_context(collecting_session(self._model, self._providers, fraction))
        run_batch(self._session.session, batch, [])

    def read(self) -> "dict[str, Statistics | None]":
        """Return the statistics so far, by node."""
        return {} if self._session is None else self._session.read_statistics()


def _run(
    pair: ModelPair,
    counting: _Counting,
    batches: Iterator[Batch],
    samples_alone: int,
    progress: Progress | None,
    total: int | None,
) -> _Seen:
    kept: list[Batch] = []
    samples = 0
    enter_phase(total=total)
    for batch in batches:
        with part(0, _PAIR_PART):
            pair.run(batch)
        with part(_PAIR_PART, 1):
            counting.run(batch, pair.observer.products)
        if samples < samples_alone:
            kept.append(batch)
        samples += batch.samples
        if progress is not None:
            progress(samples, total)
    statistics = {name: found for name, found in counting.read().items() if found is not None}
    return _Seen(pair.observer.layers, statistics, samples, kept)


def _layers(variants: Variants, seen: _Seen, scores: Mapping[str, float]) -> tuple[LayerDiagnosis, ...]:
    return tuple(
        LayerDiagnosis(
            node=name,
            op_type=variants.op_types[name],
            spec=spec,
            output_sqnr_alone=scores.get(name),
            exact_input_err=seen.sums[name].exact_input.sqnr_db,
            qdq_err=seen.sums[name].qdq.sqnr_db,
            xmodel_err=seen.sums[name].xmodel.sqnr_db,
            shares={cause.name: seen.sums[name].share(cause.name) for cause in spec.causes},
            events=_rates(spec, seen.statistics.get(name)),
            largest_sum=_largest(seen.statistics.get(name), slice(1, None)),
            largest_product=_largest(seen.statistics.get(name), slice(1)),
            reordered=_reordered(spec, seen.sums[name].depth),
            outputs=seen.sums[name].exact_input.values,
            notes=_notes(spec, seen.sums[name]),
            bits=needed_bits(spec, seen.statistics.get(name), seen.sums[name].result_bits),
            can_overflow=variants.can_overflow[name],
        )
        for name, spec in variants.specs.items()
    )


def _rates(spec: Accumulator, statistics: "Statistics | None") -> EventRates | None:
    if statistics is None:
        return None
    return EventRates.by_level(statistics) if spec.widths else EventRates.pooled(statistics)


def _largest(statistics: "Statistics | None", levels: slice) -> float | None:
    return None if statistics is None else max(level.max_abs for level in statistics.levels[levels])


def _reordered(spec: Accumulator, depth: int) -> str | None:
    """Return the text of a spec without its cause that is an order of additions; None where there is none to change."""
    for cause in spec.causes:
        changed = spec.without(cause.name, depth) if cause.is_order and depth else None
        if changed is not None:
            return str(changed)
    return None


def _notes(spec: Accumulator, sums: LayerSums) -> tuple[str, ...]:
    notes = [note for note in (spec.limit_note(cause.name) for cause in spec.causes) if note]
    if sums.unmatched_calls:
        notes.append(f"executions in the converted model without an equal in the reference: {sums.unmatched_calls}")
    return tuple(notes)
