"""The layers of a converted model corrected one after the other, each on all samples, its predecessors finished.

    float32 (wide) model    x -> layer 1 -> y1 -> layer 2 -> y2             first, where the recipe follows float32
    converted model         x -> layer 1, corrected -> layer 2, corrected

All batches run side by side and wait at each layer (`observation.lockstep`). Rows drawn from all of them correct the
layer (`rows`); then all go on with what the corrected layer gives. A layer in a loop is corrected when it is met first,
with rows of all steps in the float32 model (`loop_rows`). A product of two computed operands is corrected on all that
it gives (`product`).
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import ExitStack

import numpy as np

from lba_onnx import kernels
from lba_onnx.any_values import ANY_VALUES
from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction.corrected_layer import Corrected, CorrectedLayer, CorrectedProduct
from lba_onnx.correction.evening import dot_products
from lba_onnx.correction.layer import Floats, Layer, correct_layer
from lba_onnx.correction.loop_rows import LoopRows, loop_rows
from lba_onnx.correction.product import product_factor
from lba_onnx.correction.recipes import Recipe
from lba_onnx.correction.reference import widened
from lba_onnx.correction.rows import Rows
from lba_onnx.correction.targets import Targets, float32_targets
from lba_onnx.data.batches import Batch
from lba_onnx.data.tally import note
from lba_onnx.native import ObservedCall, ObservedMatMul
from lba_onnx.native.heap import give_back_freed
from lba_onnx.native.observed_layer import ObservedLayer, float32_products, layer_of
from lba_onnx.observation.lockstep import run_in_lockstep
from lba_onnx.rewrite.folding import ChannelAffine, Scalable, ScalableNode
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.product_scaling import ScalableProduct


def correct_in_sequence(
    model: OpenModel,
    scalable: Scalable,
    batches: Sequence[Batch],
    recipe: Recipe,
    providers: Sequence[str],
    progress: Callable[[], None],
    corrected: MutableMapping[str, Corrected] | None = None,
) -> dict[str, ChannelAffine]:
    """Correct a converted model's layers.

    Args:
        model: The converted model.
        scalable: What to correct.
        batches: Samples, run once.
        recipe: How each layer is corrected.
        providers: onnxruntime's execution providers.
        progress: Called after each layer.
        corrected: Layers that an interrupted run has corrected, by name, which are taken as they are; others are added.

    Returns:
        By name; nodes that did not run, or had nothing to multiply, are left out.
    """
    corrected, nodes = {} if corrected is None else corrected, scalable.nodes
    with ExitStack() as stack:
        targets, looped = None, {}
        has_loops = any(node.scope.repeats for node in nodes.values())
        wide = OpenModel(widened(model.proto), model.path) if recipe.follows_float32 or has_loops else model
        if recipe.follows_float32:
            targets = stack.enter_context(float32_targets(wide, nodes, batches, providers))
        if has_loops:
            looped = loop_rows(wide, nodes, batches, providers)
        sequence = _Sequence(scalable, recipe, progress, corrected, Rows(batches), targets, looped)
        run_in_lockstep(model, batches, sequence.visit, providers)
    return {name: layer.affine for name, layer in corrected.items()}


class _Sequence:
    """Corrects a layer when it is visited first, and makes every call of it one of the corrected layer."""

    def __init__(
        self,
        scalable: Scalable,
        recipe: Recipe,
        progress: Callable[[], None],
        corrected: MutableMapping[str, Corrected],
        rows: Rows,
        targets: Targets | None,
        looped: Mapping[str, LoopRows],
    ) -> None:
        self._scalable, self._recipe, self._progress = scalable, recipe, progress
        self._corrected = corrected
        self._rows, self._targets, self._looped = rows, targets, looped
        self._met: set[str] = set()

    def visit(self, name: str, calls: Sequence[ObservedCall | None]) -> None:
        """Take the calls of a product in all batches at a time."""
        if name in self._scalable.nodes:
            self._visit_layer(self._scalable.nodes[name], calls)
            return
        run = [call for call in calls if call is not None]
        for call in run:
            call.fill()
        if name in self._scalable.products:
            self._go_on_scaled(self._scalable.products[name], run)

    def _visit_layer(self, node: ScalableNode, calls: Sequence[ObservedCall | None]) -> None:
        name = node.name
        layers = {number: layer_of(call, node.operand) for number, call in enumerate(calls) if call is not None}
        if name not in self._met and (usable := self._usable(node, layers)):
            self._finish(name, lambda: self._correct(node, usable))
        corrected = self._corrected[name] if name in self._met else None
        for layer in layers.values():
            _go_on(layer, corrected if isinstance(corrected, CorrectedLayer) else None, node.channel_axis)

    @ANY_VALUES
    def _go_on_scaled(self, product: ScalableProduct, calls: Sequence[ObservedCall]) -> None:
        """Multiply what calls of a product have given by its factor."""
        usable = [call for call in calls if isinstance(call, ObservedMatMul) and call.y.size]
        if product.name not in self._met and usable:
            self._finish(product.name, lambda: _corrected_product(product, usable))
        for call in usable:
            y, factor = call.y, self._corrected[product.name].affine.scale
            y *= factor

    def _finish(self, name: str, correct: Callable[[], Corrected]) -> None:
        """Correct what is met first, unless an interrupted run has."""
        self._met.add(name)
        if name not in self._corrected:
            self._corrected[name] = correct()
        give_back_freed()  # else the peak is that of all layers, not of the largest
        self._progress()

    def _usable(self, node: ScalableNode, layers: Mapping[int, ObservedLayer]) -> dict[int, ObservedLayer]:
        """Leave out what is no layer; and a batch whose run of float32 took another way, which says nothing of it."""
        whole = {number: layer for number, layer in layers.items() if layer.call.y.size and layer.is_whole}
        if self._targets is None:
            return whole
        return {number: layer for number, layer in whole.items() if (node.name, number) in self._targets}

    @ANY_VALUES
    def _correct(self, node: ScalableNode, layers: Mapping[int, ObservedLayer]) -> CorrectedLayer:
        first = next(iter(layers.values()))
        weights, start, spec = first.weights, first.start, first.call.spec
        x, y = self._looped.get(node.name) or self._drawn(node, layers)

        def low(x: Floats, weights: Floats, start: Floats | None) -> Floats:
            return _low_bit_products(x, weights, spec, start)

        additions = spec.additions(x.shape[2])
        layer = Layer(x, y, weights, low, node.weights_dtype, node.takes_offset, additions, start)
        found = correct_layer(layer, self._recipe if node.takes_weights else self._recipe.without_moves())
        refitted = first.operand(found.weights).copy() if found.is_refitted else None
        return CorrectedLayer(
            ChannelAffine(found.scale, found.offset, refitted),
            found.weights,
            None if start is None else start * found.scale + found.offset,
        )

    def _drawn(self, node: ScalableNode, layers: Mapping[int, ObservedLayer]) -> tuple[Floats, Floats]:
        """Return rows of the calls, and what they should give."""
        x = np.concatenate([layer.rows(self._rows.of(node.name, n, layer)) for n, layer in layers.items()], 1)
        if self._targets is not None:
            return x, np.concatenate([self._targets[node.name, number] for number in layers], 1)
        first = next(iter(layers.values()))
        return x, dot_products(x, first.weights, first.start)


def _corrected_product(product: ScalableProduct, calls: Sequence[ObservedMatMul]) -> CorrectedProduct:
    for call in calls:
        note(products=call.products)
    factor = product_factor(pair for call in calls for pair in zip(call.y, float32_products(call), strict=True))
    return CorrectedProduct(factor.astype(product.dtype).astype(np.float32))


def _low_bit_products(x: Floats, weights: Floats, spec: Accumulator, start: Floats | None = None) -> Floats:
    """Return the dot products of rows and weights in an accumulator, float32 [groups, rows, channels].

    Several groups are one grouped convolution along a line: the rows are its positions, the depth its taps. Rows that
    lie side by side in memory are its image as they are.
    """
    groups, rows, depth = x.shape
    note(products=x.size * weights.shape[2])
    if groups == 1:
        product: Floats = kernels.matmul(x[0], weights[0], spec, initial=start)[np.newaxis]
        return product
    image = x.swapaxes(1, 2).reshape(1, groups, depth, rows)
    filters = weights.swapaxes(1, 2).reshape(-1, 1, depth, 1)
    initial = None if start is None else start.reshape(1, -1, 1, 1)
    y = kernels.conv(image, filters, spec, group=groups, initial=initial)
    by_group: Floats = np.ascontiguousarray(y.reshape(groups, -1, rows).swapaxes(1, 2))
    return by_group


def _go_on(layer: ObservedLayer, corrected: CorrectedLayer | None, channel_axis: int) -> None:
    """Let a call give what the corrected layer gives: an offset is a part of what sums start from, or is added."""
    if corrected is None:
        layer.call.fill()
        return
    layer.fill(corrected.weights, corrected.start)
    if corrected.start is None and corrected.affine.offset.any():
        y = layer.call.y
        shape = [1] * y.ndim
        shape[channel_axis] = -1
        with np.errstate(invalid="ignore", over="ignore"):
            y += corrected.affine.offset.reshape(shape)
