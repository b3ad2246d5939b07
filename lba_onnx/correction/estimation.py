"""One pass over samples that estimates every node's correction, in execution order.

For each batch the nodes run one after the other; each adds the batch to its sums and corrects what it passes on by
what the sums say so far: the next node sees the inputs that the corrected model will give it.

    float32 (wide) model    x -> node 1 -> y1 -> node 2 -> y2            only for `chain`: the sums of y1, y2
    converted model         x -> node 1 -> q1, corrected -> node 2 -> q2, corrected
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import onnx

from lba_onnx.correction.estimators import ESTIMATORS
from lba_onnx.correction.moments import ChannelSums, PairedSums
from lba_onnx.data.batches import Batch
from lba_onnx.data.watching import part
from lba_onnx.native import ObservedCall
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import ChannelAffine, ScalableNode
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.specs import change_specs


def estimate(
    model: OpenModel,
    nodes: Mapping[str, ScalableNode],
    batches: Sequence[Batch],
    estimator: str,
    providers: Sequence[str],
    progress: Callable[[int], None],
) -> dict[str, ChannelAffine]:
    """Estimate the corrections of a converted model's nodes.

    Args:
        model: The converted model.
        nodes: The nodes to correct, by name.
        batches: Samples, run once.
        estimator: One of ESTIMATORS.
        providers: onnxruntime's execution providers.
        progress: Called after each batch with its number of samples.

    Returns:
        By name; nodes that did not run, or had nothing to multiply, are left out.
    """
    corrector = _ChainCorrector(nodes) if estimator == "chain" else _Corrector(nodes, estimator)
    with ExitStack() as stack:
        observing = stack.enter_context(observing_session(model, corrector.correct, providers))
        reference = None
        if isinstance(corrector, _ChainCorrector):
            wide = OpenModel(widened(model.proto), model.path)
            reference = stack.enter_context(observing_session(wide, corrector.look_up_to, providers))
        for batch in batches:
            half = 0.0 if reference is None else 0.5
            if reference is not None:
                with part(0, half):
                    reference.run(batch, [])
            with part(half, 1):
                observing.run(batch, [])
            progress(batch.samples)
    return corrector.corrections


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a converted model that stands for float32: all its accumulators are wide."""
    return change_specs(model, lambda _, spec: spec.wide())


class _Corrector:
    """Corrects calls on the way, from the float32 dot products of their own operands."""

    def __init__(self, nodes: Mapping[str, ScalableNode], estimator: str) -> None:
        self.corrections: dict[str, ChannelAffine] = {}
        self._nodes = nodes
        self._fit = ESTIMATORS[estimator]
        self._sums: dict[str, PairedSums] = {}

    def correct(self, call: ObservedCall) -> None:
        """Take a call into account, and correct its result."""
        node = self._nodes.get(call.node)
        if node is None or call.y.size == 0:
            return
        affine = self._fit(self._updated(call, node.channel_axis), node.takes_offset)
        self.corrections[call.node] = affine
        shape = [1] * call.y.ndim
        shape[node.channel_axis] = -1
        with np.errstate(invalid="ignore", over="ignore"):
            call.y[...] = call.y * affine.scale.reshape(shape) + affine.offset.reshape(shape)

    def _updated(self, call: ObservedCall, channel_axis: int) -> PairedSums:
        sums = PairedSums.of(call.y, call.compute(call.spec.wide()), channel_axis)
        known = self._sums.get(call.node)
        self._sums[call.node] = sums if known is None else known + sums
        return self._sums[call.node]


class _ChainCorrector(_Corrector):
    """Corrects calls on the way, from the outputs of the same nodes in the float32 model."""

    def __init__(self, nodes: Mapping[str, ScalableNode]) -> None:
        super().__init__(nodes, "chain")
        self._given: dict[str, ChannelSums] = {}
        self._expected: dict[str, ChannelSums] = {}

    def look_up_to(self, call: ObservedCall) -> None:
        """Take a call of the float32 model into account."""
        node = self._nodes.get(call.node)
        if node is not None and call.y.size:
            _add(self._expected, call, node.channel_axis)

    def _updated(self, call: ObservedCall, channel_axis: int) -> PairedSums:
        given = _add(self._given, call, channel_axis)
        return PairedSums(given, self._expected.get(call.node, given), None)


def _add(sums: dict[str, ChannelSums], call: ObservedCall, channel_axis: int) -> ChannelSums:
    seen = ChannelSums.of(call.y, channel_axis)
    sums[call.node] = sums[call.node] + seen if call.node in sums else seen
    return sums[call.node]
