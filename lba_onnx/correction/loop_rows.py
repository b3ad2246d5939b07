"""Rows of layers that run many times in an execution, as the recurrent product of an LSTM does.

Each step of a loop meets what the one before has made, so that the first step alone, which often starts from zeros,
says little of the layer. Its rows are those of all steps in the float32 model; past MAX_ROWS every second is dropped.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lba_onnx.correction.rows import MAX_ROWS
from lba_onnx.data.batches import Batch
from lba_onnx.native import ObservedCall
from lba_onnx.native.observed_layer import layer_of
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import ScalableNode
from lba_onnx.rewrite.model_files import OpenModel

Floats = NDArray[np.float32]
LoopRows: TypeAlias = tuple[Floats, Floats]
"""Rows of a layer [groups, rows, depth], and what they give [groups, rows, channels]."""


def loop_rows(
    model: OpenModel, nodes: Mapping[str, ScalableNode], batches: Sequence[Batch], providers: Sequence[str]
) -> dict[str, LoopRows]:
    """Return the rows of layers that run more than once for a batch, in a Loop or Scan.

    Args:
        model: The model whose accumulators are wide.
        nodes: The nodes to correct, by name.
        batches: Samples.
        providers: onnxruntime's execution providers.
    """
    gatherers = {name: _Gatherer(node) for name, node in nodes.items() if node.scope.repeats}
    seen: Counter[str] = Counter()

    def keep(call: ObservedCall) -> None:
        if call.node in gatherers and call.y.size:
            seen[call.node] += 1
            gatherers[call.node].add(call)

    with observing_session(model, keep, providers, is_lean=True) as observing:
        for batch in batches:
            observing.run(batch, [])
    return {name: gatherer.rows for name, gatherer in gatherers.items() if seen[name] > len(batches)}


@dataclass
class _Gatherer:
    """Keeps every `stride`-th row of a layer."""

    node: ScalableNode
    stride: int = 1
    count: int = 0
    parts: list[LoopRows] = field(default_factory=list)

    def add(self, call: ObservedCall) -> None:
        layer = layer_of(call, self.node.operand)
        if not layer.is_whole:
            return
        numbers = np.arange(-self.count % self.stride, layer.row_count, self.stride)
        self.count += layer.row_count
        self.parts.append((layer.rows(numbers), layer.outputs(numbers)))
        if self.count > MAX_ROWS * self.stride:
            self.stride *= 2
            self.parts = [_every_second(self.rows)]

    @property
    def rows(self) -> LoopRows:
        x, y = zip(*self.parts, strict=True)
        return np.concatenate(x, 1), np.concatenate(y, 1)


def _every_second(rows: LoopRows) -> LoopRows:
    x, y = rows
    return x[:, ::2].copy(), y[:, ::2].copy()
