"""The layers of a converted model corrected one after the other, each on all samples, its predecessors finished.

    float32 (wide) model    x -> layer 1 -> y1 -> layer 2 -> y2             where the recipe follows float32
    converted model         x -> layer 1 -> q1 -> corrected -> layer 2 -> q2 -> corrected

All batches run side by side and wait at each layer (`observation.lockstep`). Rows drawn from all of them correct the
layer; then all go on with what the corrected layer gives.
"""

import zlib
from collections.abc import Callable, Mapping, MutableMapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx import kernels
from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction.corrected_layer import CorrectedLayer
from lba_onnx.correction.evening import dot_products
from lba_onnx.correction.layer import Floats, Layer, correct_layer
from lba_onnx.correction.moments import ANY_VALUES
from lba_onnx.correction.recipes import Recipe
from lba_onnx.data.batches import Batch
from lba_onnx.native import ObservedCall
from lba_onnx.native.observed_layer import ObservedLayer, layer_of
from lba_onnx.observation.lockstep import run_in_lockstep
from lba_onnx.rewrite.folding import ChannelAffine, ScalableNode
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.specs import change_specs

MAX_ROWS = 20_000
MIN_ROWS = 4096
_ROWS_PER_INPUT = 16
_MAX_VALUES = 1 << 25  # of the inputs of the rows: 128 MB
_MAX_PRODUCTS = 1 << 34  # of the rows, where they are more than _ROWS_PER_WEIGHT a weight of a channel
_ROWS_PER_WEIGHT = 4

_Numbers = NDArray[np.int64]


def correct_in_sequence(
    model: OpenModel,
    nodes: Mapping[str, ScalableNode],
    batches: Sequence[Batch],
    recipe: Recipe,
    providers: Sequence[str],
    progress: Callable[[], None],
    corrected: MutableMapping[str, CorrectedLayer] | None = None,
) -> dict[str, ChannelAffine]:
    """Correct a converted model's layers.

    Args:
        model: The converted model.
        nodes: The nodes to correct, by name.
        batches: Samples, run once.
        recipe: How each layer is corrected.
        providers: onnxruntime's execution providers.
        progress: Called after each layer.
        corrected: Layers that an interrupted run has corrected, by name, which are taken as they are; others are added.

    Returns:
        By name; nodes that did not run, or had nothing to multiply, are left out.
    """
    corrected = {} if corrected is None else corrected
    sequence = _Sequence(nodes, recipe, progress, corrected)
    models = [model, OpenModel(widened(model.proto), model.path)] if recipe.follows_float32 else [model]
    run_in_lockstep(models, batches, sequence.visit, providers)
    return {name: layer.affine for name, layer in corrected.items()}


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a converted model that stands for float32: all its accumulators are wide."""
    return change_specs(model, lambda _, spec: spec.wide())


class _Sequence:
    """Corrects a layer when it is visited first, and makes every call of it one of the corrected layer."""

    def __init__(
        self,
        nodes: Mapping[str, ScalableNode],
        recipe: Recipe,
        progress: Callable[[], None],
        corrected: MutableMapping[str, CorrectedLayer],
    ) -> None:
        self._corrected = corrected
        self._met: set[str] = set()
        self._nodes = nodes
        self._recipe = recipe
        self._progress = progress

    def visit(self, name: str, calls: Sequence[Sequence[ObservedCall | None]]) -> None:
        """Take all calls of a product at a time: of the converted model, and of float32 where there is one."""
        node = self._nodes.get(name)
        if node is None:
            return
        layers = [[None if call is None else layer_of(call, node.operand) for call in row] for row in calls]
        # A run of float32 that took another way has nothing to say of this one's rows.
        complete = [[layer for layer in row if layer is not None and layer.call.y.size] for row in layers]
        complete = [row for row in complete if len(row) == len(calls[0]) and row[0].is_whole]
        if name not in self._met and complete:
            self._met.add(name)
            if name not in self._corrected:
                self._corrected[name] = self._correct(node, complete)
            self._progress()
        if name in self._met:
            for layer, *_ in layers:
                if layer is not None and layer.call.y.size:
                    _go_on(layer, self._corrected[name], node.channel_axis)

    @ANY_VALUES
    def _correct(self, node: ScalableNode, pairs: Sequence[Sequence[ObservedLayer]]) -> CorrectedLayer:
        weights, start, spec = pairs[0][0].weights, pairs[0][0].start, pairs[0][0].call.spec
        numbers = _draw(node.name, [row[0].row_count for row in pairs], weights)
        sampled = list(zip(pairs, numbers, strict=True))
        x = np.concatenate([row[0].rows(chosen) for row, chosen in sampled], 1)
        if self._recipe.follows_float32:
            y = np.concatenate([row[1].outputs(chosen) for row, chosen in sampled], 1)
        else:
            y = dot_products(x, weights, start)

        def low(x: Floats, weights: Floats, start: Floats | None) -> Floats:
            return _low_bit_products(x, weights, spec, start)

        additions = spec.additions(x.shape[2])
        layer = Layer(x, y, weights, low, node.dtype, node.takes_offset, additions, start)
        found = correct_layer(layer, self._recipe)
        refitted = pairs[0][0].operand(found.weights).copy() if found.is_refitted else None
        return CorrectedLayer(
            ChannelAffine(found.scale, found.offset, refitted),
            found.weights,
            None if start is None else start * found.scale + found.offset,
        )


def _draw(name: str, counts: Sequence[int], weights: Floats) -> list[_Numbers]:
    """Return which rows of each call correct the layer: as many as are of use, from all calls alike."""
    groups, depth, channels = weights.shape
    by_products = max(_MAX_PRODUCTS // (groups * depth * channels), _ROWS_PER_WEIGHT * depth)
    of_use = min(max(MIN_ROWS, _ROWS_PER_INPUT * depth), MAX_ROWS)
    wanted = min(of_use, by_products, max(_MAX_VALUES // (groups * depth), 1))
    total = sum(counts)
    random = np.random.default_rng(zlib.crc32(name.encode()))
    shares = [count if wanted >= total else -(-wanted * count // total) for count in counts]
    return [
        np.arange(count) if share >= count else np.sort(random.choice(count, share, replace=False))
        for count, share in zip(counts, shares, strict=True)
    ]


def _low_bit_products(x: Floats, weights: Floats, spec: Accumulator, start: Floats | None = None) -> Floats:
    """Return the dot products of rows and weights in an accumulator, float32 [groups, rows, channels].

    Several groups are one grouped convolution along a line: the rows are its positions, the depth its taps.
    """
    groups, rows, depth = x.shape
    if groups == 1:
        product: Floats = kernels.matmul(x[0], weights[0], spec, initial=start)[np.newaxis]
        return product
    image = x.swapaxes(1, 2).reshape(1, groups, depth, rows)
    filters = weights.swapaxes(1, 2).reshape(-1, 1, depth, 1)
    initial = None if start is None else start.reshape(1, -1, 1, 1)
    y = kernels.conv(image, filters, spec, group=groups, initial=initial)
    by_group: Floats = np.ascontiguousarray(y.reshape(groups, -1, rows).swapaxes(1, 2))
    return by_group


def _go_on(layer: ObservedLayer, corrected: CorrectedLayer, channel_axis: int) -> None:
    """Let a call give what the corrected layer gives: an offset is a part of what sums start from, or is added."""
    layer.fill(corrected.weights, corrected.start)
    if corrected.start is None and corrected.affine.offset.any():
        y = layer.call.y
        shape = [1] * y.ndim
        shape[channel_axis] = -1
        with np.errstate(invalid="ignore", over="ignore"):
            y += corrected.affine.offset.reshape(shape)
