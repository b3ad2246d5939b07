"""What layers give in the float32 model, for the rows that correct them.

The float32 model runs first, batch after batch, so that nothing of it is alive while layers are corrected. What its
layers give lies in a temporary file: for each layer the values of its rows, at most rows.MAX_ROWS and one for each
batch more.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom

import numpy as np
from numpy.typing import NDArray

from lba_onnx.correction.rows import Rows
from lba_onnx.data.batches import Batch
from lba_onnx.files.leftovers import scratch_folder
from lba_onnx.native import ObservedCall
from lba_onnx.native.heap import give_back_freed
from lba_onnx.native.observed_layer import layer_of
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.folding import ScalableNode
from lba_onnx.rewrite.model_files import OpenModel

Floats = NDArray[np.float32]


class Targets:
    """Outputs by node and number of the batch; those of the first call of each."""

    def __init__(self, file: BufferedRandom) -> None:
        self._file = file
        self._places: dict[tuple[str, int], tuple[int, tuple[int, ...]]] = {}

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._places

    def __getitem__(self, key: tuple[str, int]) -> Floats:
        offset, shape = self._places[key]
        values = np.empty(shape, np.float32)
        self._file.seek(offset)
        self._file.readinto(values.data)
        return values

    def __setitem__(self, key: tuple[str, int], values: Floats) -> None:
        self._places[key] = self._file.seek(0, 2), values.shape
        self._file.write(values.data)


@contextmanager
def float32_targets(
    model: OpenModel,
    nodes: Mapping[str, ScalableNode],
    batches: Sequence[Batch],
    providers: Sequence[str],
) -> Iterator[Targets]:
    """Run a model and yield what its layers give; the file goes with the block.

    Args:
        model: The model whose accumulators are wide.
        nodes: The nodes to correct, by name.
        batches: Samples.
        providers: onnxruntime's execution providers.
    """
    with scratch_folder() as folder, (folder / "targets").open("w+b") as file:
        recorder = _Recorder(Targets(file), nodes, Rows(batches))
        with observing_session(model, recorder.keep, providers, fills=True, is_lean=True) as observing:
            for number, batch in enumerate(batches):
                recorder.number = number
                observing.run(batch, [])
        give_back_freed()
        yield recorder.targets


@dataclass
class _Recorder:
    """Computes what layers give for a batch, and keeps it."""

    targets: Targets
    nodes: Mapping[str, ScalableNode]
    rows: Rows
    number: int = 0

    def keep(self, call: ObservedCall) -> None:
        node, key = self.nodes.get(call.node), (call.node, self.number)
        if node is None or not call.y.size:
            call.fill()
            return
        layer = layer_of(call, node.operand)
        layer.fill_float32()
        if key not in self.targets:
            self.targets[key] = layer.outputs(self.rows.of(call.node, self.number, layer))
