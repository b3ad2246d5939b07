"""What each choice for one product does to the model's output, all other products in float32.

    for each product, in the model's order:
        feeds = what the rest of the model, from this product on, reads            float32, from the feeds before
        for each choice:
            run the rest once; at the product, the observer computes it in the choice's accumulator
            loss of the outputs against float32's

No session is made for a choice: the observer writes the product's result. Where models will be corrected, the product
gets the scale, and the offset where it takes one, that bring its channels closest to float32: what the correction of a
layer gives back at least.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction.estimators import AFFINE, SCALE
from lba_onnx.correction.moments import ChannelSums, PairedSums
from lba_onnx.data.execution import run_session
from lba_onnx.data.watching import enter_phase
from lba_onnx.native.observer import ObservedCall
from lba_onnx.observation.observer import ObservingSession, observing_session
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.cutting import Suffix, cut_prefix, cut_suffix, with_inputs
from lba_onnx.rewrite.folding import ScalableNode, scalable_nodes
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.searching.choices import Choice
from lba_onnx.searching.loss import Reference
from lba_onnx.searching.making import Making
from lba_onnx.searching.progress_file import ProgressFile
from lba_onnx.session import make_session

Values = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Probe:
    """What sensitivities are measured with.

    Attributes:
        making: The float32 model; products get scales where its converted ones are corrected.
        reference: The samples, and what float32 gives for them.
        macs: By product how many products it multiplies and adds.
    """

    making: Making
    reference: Reference
    macs: Mapping[str, int]


@dataclass
class Sensitivities:
    """What was measured.

    Attributes:
        losses: By product, the mean loss with each choice; None where it does not take it.
        passes: How much of the model was run, in runs of the whole.
    """

    losses: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    passes: float = 1.0  # the reference


def measure_sensitivities(
    making: Making, reference: Reference, choices: Sequence[Choice], macs: Mapping[str, int], notes: ProgressFile
) -> Sensitivities:
    """Measure each product with each choice.

    Args:
        making: The float32 model; progress is told in products.
        reference: The samples, and what float32 gives for them.
        choices: The choices; those that are the same accumulator are measured once.
        macs: By product, in the model's order, how many products it multiplies and adds.
        notes: Where products that were measured are found, and noted.

    Raises:
        DataError: The model does not run on the samples.
    """
    probe = _Probe(making, reference, macs)
    found, frontier = Sensitivities(), _Frontier(probe)
    enter_phase("sensitivities", "products", len(macs))
    for done, name in enumerate(macs, 1):
        known = notes.find(f"sensitivity {name}")
        if known is None:
            known = _measure(probe, frontier, name, choices)
            notes.add(f"sensitivity {name}", known)
        found.losses[name] = tuple(known["losses"])
        found.passes += known["passes"]
        if making.execution.progress is not None:
            making.execution.progress(done, len(macs))
    return found


def _measure(probe: _Probe, frontier: "_Frontier", name: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the losses of a product, and what was run for them."""
    known: dict[Accumulator | None, float | None] = {None: 0.0}
    wanted = dict.fromkeys(spec for choice in choices if (spec := choice.specs.get(name)) is not None)
    passes = 0.0
    for sums_codes in (False, True):
        specs = [spec for spec in wanted if spec.sums_codes == sums_codes]
        if specs:
            known |= _losses(probe, frontier, name, specs)
            passes += frontier.passes(len(specs))
    return {"losses": [known[c.specs[name]] if name in c.specs else None for c in choices], "passes": passes}


def _losses(
    probe: _Probe, frontier: "_Frontier", name: str, specs: Sequence[Accumulator]
) -> dict[Accumulator | None, float | None]:
    feeds = frontier.move_to(name, specs[0])
    found: dict[Accumulator, list[NDArray[np.float64]]] = {spec: [] for spec in specs}
    with frontier.listening(name) as (rest, ear):
        for number, batch in enumerate(probe.reference.batches):
            ear.begin_batch()
            fed = replace(batch, feeds=feeds[number], shared=frozenset())
            for spec, losses in found.items():
                ear.begin(spec)
                outputs = rest.run(fed, list(frontier.suffix.outputs)) if frontier.suffix.outputs else []
                given = dict(zip(frontier.suffix.outputs, outputs, strict=True))
                losses.append(probe.reference.losses(number, given))
    return {spec: float(np.concatenate(losses).mean()) for spec, losses in found.items()}


class _Frontier:
    """The float32 model, run as far as the product that is measured: what the rest reads is at hand.

    Attributes:
        suffix: The rest of the model, with the product converted.
    """

    suffix: Suffix

    def __init__(self, probe: _Probe) -> None:
        self._probe = probe
        self._inputs = [{name: value for name, value in batch.feeds.items()} for batch in probe.reference.batches]
        self._held: list[Values] = self._inputs
        self._model: onnx.ModelProto | None = None
        self._prefix_passes = 0.0

    def move_to(self, name: str, spec: Accumulator) -> list[Values]:
        """Convert a product; return by batch what the rest of the model is fed from it on."""
        making = self._probe.making
        settings: dict[str, Any] = {"selection": making.selection, "bias_start": making.bias_start}
        changed, _ = convert_quietly(making.model.source, {name: spec.wide()}, **settings)
        self.suffix = cut_suffix(changed, making.model.proto)
        self._held = self._advanced(self.suffix.inputs)
        feeds = [{read: values[read] for read in self.suffix.inputs} for values in self._held]
        self._model = with_inputs(self.suffix.model, feeds[0])
        return feeds

    def passes(self, runs: int) -> float:
        """Return which share of the model was run, for the feeds and for so many choices."""
        return self._prefix_passes + runs * self._share(self.suffix.model)

    @contextmanager
    def listening(self, name: str) -> "Iterator[tuple[ObservingSession, _Ear]]":
        """Open a session of the rest, in which a product is computed in any accumulator."""
        assert self._model is not None
        ear = _Ear(name, scalable_nodes(self._model)[0].get(name) if self._probe.making.effort else None)
        making = self._probe.making
        opened = OpenModel(self._model, making.model.path)
        with observing_session(opened, ear.hear, making.execution.providers, fills=True) as session:
            yield session, ear

    def _advanced(self, names: Sequence[str]) -> list[Values]:
        """Return by batch the values of these names, and the model's inputs."""
        known = self._held[0].keys()
        missing = [name for name in names if name not in known]
        values = [
            {**inputs, **{n: held[n] for n in names if n in held}}
            for inputs, held in zip(self._inputs, self._held, strict=True)
        ]
        self._prefix_passes = 0.0
        if not missing:
            return values
        part, inputs = cut_prefix(self._probe.making.model.proto, missing, known)
        self._prefix_passes = self._share(part)
        making, fed = self._probe.making, with_inputs(part, {n: self._held[0][n] for n in inputs})
        with runnable(OpenModel(fed, making.model.path)) as file:
            session = make_session(file, providers=making.execution.providers)
        for found, held in zip(values, self._held, strict=True):
            found |= zip(missing, run_session(session, missing, {n: held[n] for n in inputs}), strict=True)
        return values

    def _share(self, part: onnx.ModelProto) -> float:
        """Return which share of the model's products a part multiplies; those in graphs inside count, wherever."""
        macs = self._probe.macs
        own = {text for node in part.graph.node for text in (node.name, *node.output)}
        outside = {
            text
            for node in self._probe.making.model.proto.graph.node
            for text in (node.name, *node.output[:1])
            if text not in own
        }
        inside = sum(count for name, count in macs.items() if name.rsplit(":", 1)[0] not in outside)
        return inside / (sum(macs.values()) or 1)


class _Ear:
    """Computes a product in the accumulator of the present choice, and others as they are.

    A correction goes by all calls so far, the present one among them.
    """

    def __init__(self, name: str, node: ScalableNode | None) -> None:
        self._name = name
        self._node = node
        self._sums: dict[Accumulator, PairedSums] = {}
        self._expected: NDArray[Any] | None = None

    def begin_batch(self) -> None:
        """Forget what float32 gives: another batch follows."""
        self._expected = None

    def begin(self, spec: Accumulator) -> None:
        """Take another accumulator."""
        self._spec = spec

    def hear(self, call: ObservedCall) -> None:
        """Write the result of a call."""
        if call.node != self._name:
            call.fill()
            return
        given = call.compute(self._spec)
        call.y[...] = given if self._node is None else self._corrected(call, given, self._node)

    def _corrected(self, call: ObservedCall, given: NDArray[Any], node: ScalableNode) -> NDArray[Any]:
        sums = PairedSums.of(given, self._float32(call, node), node.channel_axis)
        sums = self._sums[self._spec] = sums + self._sums[self._spec] if self._spec in self._sums else sums
        estimator = AFFINE if node.takes_offset and node.node.op_type != "LbaMatMul" else SCALE
        scale = estimator.scale(sums, node.takes_offset)
        offset = 0 * scale if estimator.offset is None else estimator.offset(_scaled(sums, scale))
        shape = [1] * given.ndim
        shape[node.channel_axis] = -1
        corrected: NDArray[Any] = given * scale.reshape(shape) + offset.reshape(shape)
        return corrected

    def _float32(self, call: ObservedCall, node: ScalableNode) -> NDArray[Any]:
        """Return what float32 gives for a call; of a product that has several in a run, anew each time."""
        if node.scope.outer is not None or isinstance(node.scope.body, onnx.FunctionProto):
            return call.compute(call.spec)
        if self._expected is None:
            self._expected = call.compute(call.spec)
        return self._expected


def _scaled(sums: PairedSums, scale: NDArray[np.float32]) -> PairedSums:
    """Return the sums that there would be if what a node gives were scaled."""
    given = ChannelSums(sums.q.count, sums.q.total * scale, sums.q.squares * np.square(scale, dtype=np.float64))
    return PairedSums(given, sums.y, sums.products * scale)
