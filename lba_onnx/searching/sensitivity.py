"""What each choice for one product does to the model's output, all other products in float32.

    for each product, in the model's order:
        go on to the segment of the model that holds it                             float32
        for each choice:
            run this segment; at the product, the observer computes it in the choice's accumulator
            run those behind it                                                     float32
            loss of the outputs against float32's

No session is made for a choice: the observer writes the product's result. Where models will be corrected, the product
gets the scale, and the offset where it takes one, that bring its channels closest to float32: what the correction of a
layer gives back at least. One of two computed operands gets the factor that its correction gives it.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction.estimators import AFFINE, SCALE
from lba_onnx.correction.moments import ChannelSums, PairedSums
from lba_onnx.correction.product import factor_of, product_sums
from lba_onnx.data.tally import note, tallied
from lba_onnx.data.watching import enter_phase
from lba_onnx.native.observer import ObservedCall
from lba_onnx.observation.observer import observing_session
from lba_onnx.observation.segments import Change, SegmentedModel
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.folding import ScalableNode, find_scalable
from lba_onnx.rewrite.product_scaling import ScalableProduct
from lba_onnx.searching.choices import Choice
from lba_onnx.searching.loss import Reference
from lba_onnx.searching.making import Making
from lba_onnx.searching.progress_file import ProgressFile


@dataclass(frozen=True, eq=False)
class _Probe:
    """What sensitivities are measured with.

    Attributes:
        making: The float32 model; products get scales where its converted ones are corrected.
        reference: The samples, and what float32 gives for them.
        float32: Runs the model on them, as far as it is the same.
        macs: By product how many products it multiplies and adds.
    """

    making: Making
    reference: Reference
    float32: SegmentedModel
    macs: Mapping[str, int]

    def changed(self, name: str, spec: Accumulator) -> Change:
        """Return what stands for the product, and what is around it, where it is converted."""
        settings: dict[str, Any] = {"selection": self.making.selection, "bias_start": self.making.bias_start}
        model, _ = convert_quietly(self.making.model.source, {name: spec.wide()}, **settings)
        return self.float32.move_to(model)

    def passes(self, change: Change, runs: int) -> float:
        """Return which share of the model was run, to get there and for so many choices."""
        cuts = self.float32.cuts
        before = [node for number in change.before for node in cuts.nodes(number, number + 1)]
        behind = [node for number in change.behind for node in cuts.nodes(number, number + 1)]
        return self._share(before) + runs * self._share([*change.model.proto.graph.node, *behind])

    def _share(self, nodes: Sequence[onnx.NodeProto]) -> float:
        """Return which share of the model's products nodes multiply; those in graphs inside count, wherever."""
        if not nodes:
            return 0.0
        own = {text for node in nodes for text in (node.name, *node.output)}
        outside = {
            text
            for node in self.making.model.proto.graph.node
            for text in (node.name, *node.output[:1])
            if text not in own
        }
        return self.share(sum(count for name, count in self.macs.items() if name.rsplit(":", 1)[0] not in outside))

    def share(self, products: float) -> float:
        """Return which share of the model's products so many are."""
        return products / (sum(self.macs.values()) or 1)


@dataclass
class Sensitivities:
    """What was measured.

    Attributes:
        losses: By product, the mean loss with each choice; None where it does not take it.
        passes: How much of the model was run, in runs of the whole; float32 of single products, for their scales, too.
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
    float32 = SegmentedModel(making.model, reference.batches, making.execution.providers)
    probe, found = _Probe(making, reference, float32, macs), Sensitivities()
    enter_phase("sensitivities", "products", len(macs))
    for done, name in enumerate(macs, 1):
        known = notes.find(f"sensitivity {name}")
        if known is None:
            known = _measure(probe, name, choices)
            notes.add(f"sensitivity {name}", known)
        found.losses[name] = tuple(known["losses"])
        found.passes += known["passes"]
        if making.execution.progress is not None:
            making.execution.progress(done, len(macs))
    return found


def _measure(probe: _Probe, name: str, choices: Sequence[Choice]) -> dict[str, Any]:
    """Return the losses of a product, and what was run for them."""
    known: dict[Accumulator | None, float | None] = {None: 0.0}
    wanted = dict.fromkeys(spec for choice in choices if (spec := choice.specs.get(name)) is not None)
    passes = 0.0
    for sums_codes in (False, True):
        specs = [spec for spec in wanted if spec.sums_codes == sums_codes]
        if specs:
            change = probe.changed(name, specs[0])
            with tallied() as tally:
                known |= _losses(probe, change, name, specs)
            passes += probe.passes(change, len(specs)) + probe.share(tally.products / probe.reference.samples)
    return {"losses": [known[c.specs[name]] if name in c.specs else None for c in choices], "passes": passes}


def _losses(
    probe: _Probe, change: Change, name: str, specs: Sequence[Accumulator]
) -> dict[Accumulator | None, float | None]:
    """Return the loss with each accumulator, of a change that takes any of them."""
    found: dict[Accumulator, list[NDArray[np.float64]]] = {spec: [] for spec in specs}
    making = probe.making
    ear = _Ear(name, find_scalable(change.model.proto).get(name) if making.effort else None)
    with ExitStack() as stack:
        if change.outputs:
            observed = observing_session(change.model, ear.hear, making.execution.providers, fills=True)
            observing = stack.enter_context(observed)
        for number, batch in enumerate(change.batches):
            ear.begin_batch()
            for spec, losses in found.items():
                ear.begin(spec)
                outputs = observing.run(batch, change.outputs) if change.outputs else []
                given = dict(zip(change.outputs, outputs, strict=True))
                losses.append(probe.reference.losses(number, probe.float32.finish(change, number, given)))
    return {spec: float(np.concatenate(losses).mean()) for spec, losses in found.items()}


class _Ear:
    """Computes a product in the accumulator of the present choice, and others as they are.

    A correction goes by all calls so far, the present one among them.
    """

    def __init__(self, name: str, place: ScalableNode | ScalableProduct | None) -> None:
        self._name = name
        self._place = place
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
        if isinstance(self._place, ScalableNode):
            given = self._corrected_layer(call, given, self._place)
        elif self._place is not None:
            given = self._corrected_product(call, given, self._place)
        call.y[...] = given

    def _corrected_layer(self, call: ObservedCall, given: NDArray[Any], node: ScalableNode) -> NDArray[Any]:
        sums = self._sums_with(PairedSums.of(given, self._float32(call, node), node.channel_axis))
        estimator = AFFINE if node.takes_offset and node.node.op_type != "LbaMatMul" else SCALE
        scale = estimator.scale(sums, node.takes_offset)
        offset = 0 * scale if estimator.offset is None else estimator.offset(_scaled(sums, scale))
        shape = [1] * given.ndim
        shape[node.channel_axis] = -1
        corrected: NDArray[Any] = given * scale.reshape(shape) + offset.reshape(shape)
        return corrected

    def _corrected_product(self, call: ObservedCall, given: NDArray[Any], product: ScalableProduct) -> NDArray[Any]:
        sums = self._sums_with(product_sums(given, self._float32(call, product)))
        corrected: NDArray[Any] = given * factor_of(sums)
        return corrected

    def _sums_with(self, sums: PairedSums) -> PairedSums:
        """Return the sums of all calls in this accumulator so far."""
        sums = self._sums[self._spec] = sums + self._sums[self._spec] if self._spec in self._sums else sums
        return sums

    def _float32(self, call: ObservedCall, place: ScalableNode | ScalableProduct) -> NDArray[Any]:
        """Return what float32 gives for a call; of a product that has several in a run, anew each time."""
        if self._expected is not None:
            return self._expected
        note(products=call.products)
        expected = call.compute(call.spec)
        if place.scope.outer is None and not isinstance(place.scope.body, onnx.FunctionProto):
            self._expected = expected
        return expected


def _scaled(sums: PairedSums, scale: NDArray[np.float32]) -> PairedSums:
    """Return the sums that there would be if what a node gives were scaled."""
    given = ChannelSums(sums.q.count, sums.q.total * scale, sums.q.squares * np.square(scale, dtype=np.float64))
    return PairedSums(given, sums.y, sums.products * scale)
