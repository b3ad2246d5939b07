"""Both models under observation, batch by batch, and the sums that this gives for each layer.

    reference, wide accumulators   --observed-->  outputs of samples, kept for this batch;  the layer's spec, and that
                                                  spec without each cause, on the same operands
    converted model                --observed-->  outputs of the same samples against those kept, and against wide
                                                  accumulators on the same operands

Wide accumulators (`Accumulator.wide`) stand for float32: M22E7b63 has 23 significant bits; of integers, for int32.

A sample is a part of an execution: some rows, or a band of output lines, with all columns or channels. Its place
depends only on the number of the batch and of the execution in it, so both models show the same one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from lba_onnx.arithmetic import Accumulator
from lba_onnx.data.batches import Batch
from lba_onnx.data.watching import part
from lba_onnx.diagnosis.needed_bits import count_bits
from lba_onnx.diagnosis.sums import LayerSums, Values, difference, energy
from lba_onnx.diagnosis.variants import Variants
from lba_onnx.observation.observer import ObservingSession, observing_session

if TYPE_CHECKING:
    from lba_onnx.native import ObservedCall
    from lba_onnx.rewrite.model_files import ModelSource

_MAX_PRODUCTS = 1 << 20
_MAX_OUTPUTS = 1 << 15
_MAX_EARLY_CALLS = 16


class LayerObserver:
    """Sums up what two sessions of the same model show.

    Attributes:
        layers: The sums, by node.
        products: Products of one batch in all executions of all nodes, samples or not: of the last batch.
    """

    def __init__(self, specs: Mapping[str, Accumulator]) -> None:
        self.layers = {name: LayerSums() for name in specs}
        self.products = 0
        self._specs = specs
        self._batch = 0
        self._calls: Counter[str] = Counter()
        self._kept: dict[tuple[str, int], Values] = {}

    def begin_batch(self, number: int) -> None:
        """Forget what was kept of the batch before."""
        self._batch, self.products = number, 0
        self._calls.clear()
        self._kept.clear()

    def begin_converted(self) -> None:
        """Count executions anew, for the second model."""
        self._calls.clear()

    def observe_reference(self, call: "ObservedCall") -> None:
        """Take an execution of the reference."""
        self.products += call.products
        layer, spec = self.layers[call.node], self._specs[call.node]
        if spec.widths:
            layer.result_bits.update(count_bits(call.y))
        number, part = self._sample(call)
        if part is None:
            return
        layer.depth = max(layer.depth, part.depth)
        self._kept[call.node, number] = part.y.copy()
        narrow = part.compute(spec)
        layer.exact_input.add(part.y, narrow)
        noise = energy(difference(part.y, narrow))
        for cause in spec.causes:
            changed = spec.without(cause.name, part.depth)
            if changed is not None:
                layer.saved.setdefault(cause.name, 0.0)
                layer.saved[cause.name] += noise - energy(difference(part.y, part.compute(changed)))

    def observe_converted(self, call: "ObservedCall") -> None:
        """Take an execution of the converted model."""
        number, part = self._sample(call)
        if part is None:
            return
        layer = self.layers[call.node]
        layer.qdq.add(part.compute(self._specs[call.node].wide()), part.y)
        expected = self._kept.get((call.node, number))
        if expected is None or expected.shape != part.y.shape:
            layer.unmatched_calls += 1
        else:
            layer.xmodel.add(expected, np.ascontiguousarray(part.y))

    def _sample(self, call: "ObservedCall") -> "tuple[int, ObservedCall | None]":
        """Return the execution's number in the batch, and a part of it; None where it is not looked at.

        The first executions are, then ever fewer, so that what is kept of a loop does not grow with its length.
        """
        number = self._calls[call.node]
        self._calls[call.node] += 1
        is_looked_at = number < _MAX_EARLY_CALLS or number & (number - 1) == 0
        if not is_looked_at or not call.y.size:
            return number, None
        return number, call.sample(min(_MAX_PRODUCTS, _MAX_OUTPUTS * max(call.depth, 1)), self._batch + number)


class ModelPair:
    """Both models, observed batch by batch.

    Attributes:
        observer: What was summed up so far.
    """

    def __init__(self, observer: LayerObserver, reference: ObservingSession, converted: ObservingSession) -> None:
        self.observer = observer
        self.inputs = reference.session
        self._reference = reference
        self._converted = converted
        self._batches = 0

    def run(self, batch: Batch) -> None:
        """Run a batch through the reference, then through the converted model."""
        self.observer.begin_batch(self._batches)
        with part(0, 0.5):
            self._reference.run(batch, [])
        self.observer.begin_converted()
        with part(0.5, 1):
            self._converted.run(batch, [])
        self._batches += 1


@contextmanager
def open_pair(model: "ModelSource", variants: Variants, providers: Sequence[str]) -> Iterator[ModelPair]:
    """Open a converted model and its reference, in wide formats, for observation while the block runs."""
    observer = LayerObserver(variants.specs)
    wide = variants.make(lambda name, spec: spec.wide())
    with (
        observing_session(wide, observer.observe_reference, providers) as reference,
        observing_session(model, observer.observe_converted, providers) as converted,
    ):
        yield ModelPair(observer, reference, converted)
