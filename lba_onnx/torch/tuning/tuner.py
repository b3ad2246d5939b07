"""Tuning by gradient: all layers of a corrected model at once, towards what they give in the float32 model.

    float32      x -> layer 1 -> y1 -> layer 2 -> y2 -> ... -> outputs
    corrected    x -> layer 1 -> q1 -> layer 2 -> q2 -> ... -> outputs        whose weights and offsets move

    minimise     mean over layers of |q - y|^2 / |y - mean y|^2   +   mean over outputs of the same

Products of the corrected model are those of its accumulators, to the bit; gradients pass them by an estimator. Adam
moves the weights of a layer in units of their root mean square, and its offsets in units of the deviation of y, so that
one learning rate serves all; it falls along a cosine.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lba_onnx.data.batches import Batch
from lba_onnx.data.execution import run_batch
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.folding import ScalableNode, as_operand
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.model_writer import runnable
from lba_onnx.session import make_session
from lba_onnx.torch.tuning.program import Change, Program

Floats = NDArray[np.float32]
_RISING_STEPS = 10
_MOMENTA = (0.9, 0.99)
_TOLERANCE = 2.0**-10
"""Root mean square of the difference that two libraries' float32 makes of an output, to that of the output."""


@dataclass(frozen=True, eq=False)
class TunedLayer:
    """What becomes of a layer.

    Attributes:
        weights: float32, as `rewrite.folding.ChannelAffine` has them.
        offset: float32 [channels], what its sums are raised by, besides what they were.
    """

    weights: Floats
    offset: Floats


class Tuner:
    """The float32 model that layers are tuned towards."""

    def __init__(self, wide: OpenModel, nodes: Mapping[str, ScalableNode], first: Batch) -> None:
        """Read a model, and see whether PyTorch computes what it does.

        Args:
            wide: The converted model as it was before any correction, all its accumulators standing for float32.
            nodes: The nodes that may be tuned, by name.
            first: Samples to compare onnxruntime and PyTorch on.

        Raises:
            DataError: The model does not run on the samples.
            ModelError: PyTorch does not compute it here, or has no gradient of an operator in it.
        """
        with runnable(wide) as file:
            session = make_session(file)
            names = [output.name for output in session.get_outputs()]
            expected = run_batch(session, first, names, "the float32 model")
        self._nodes = nodes
        self._float32 = Program(wide, accumulates=False)
        layers = self._layers(self._float32)
        found = self._float32.run(first.feeds, names, {layer.node.name: layer.change for layer in layers})
        for name, values in zip(names, expected, strict=True):
            _compare(name, found[name].detach().numpy()[: len(values) if values.ndim else None], values)

    def tune(
        self,
        corrected: OpenModel,
        batches: Sequence[Batch],
        epochs: int,
        learning_rate: float,
        estimator: str,
        progress: Callable[[int], None],
    ) -> dict[str, TunedLayer]:
        """Tune a corrected model, which is not changed.

        Args:
            corrected: The model, in which all values have the names of the one given first.
            batches: Samples.
            epochs: How often all of them are seen; the order changes from one time to the next.
            learning_rate: Of Adam, at most.
            estimator: How gradients pass accumulators, one of `estimators.ESTIMATORS`.
            progress: Called after each step with the number of samples in it.

        Returns:
            The layers by name.
        """
        program = Program(corrected, accumulates=True, estimator=estimator)
        layers = self._layers(program)
        outputs = [name for name in program.outputs if self._is_float(name, batches[0])]
        wanted = list(dict.fromkeys([*(layer.value for layer in layers), *outputs]))
        optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters], learning_rate, _MOMENTA)
        order, step, steps = torch.Generator().manual_seed(0), 0, epochs * len(batches)
        for _ in range(epochs):
            for number in torch.randperm(len(batches), generator=order).tolist():
                rising = min((step + 1) / _RISING_STEPS, 1.0)
                rate = learning_rate * rising * (1 + math.cos(math.pi * step / steps)) / 2
                optimizer.param_groups[0]["lr"] = rate
                self._step(program, layers, batches[number], wanted, outputs, optimizer)
                step += 1
                progress(batches[number].samples)
        return {layer.node.name: layer.tuned for layer in layers}

    def _step(
        self,
        program: Program,
        layers: "Sequence[_Layer]",
        batch: Batch,
        wanted: Sequence[str],
        outputs: Sequence[str],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        with torch.no_grad():
            y = self._float32.run(batch.feeds, wanted)
            for layer in layers:
                layer.see(y[layer.value])
        q = program.run(batch.feeds, wanted, {layer.node.name: layer.change for layer in layers})
        of_layers = [_distance(q[x.value], y[x.value], x.node.channel_axis) for x in layers]
        of_outputs = [_distance(q[name], y[name], -1) for name in outputs]
        loss = torch.stack(of_layers).mean() + torch.stack(of_outputs).mean()
        optimizer.zero_grad()
        if torch.isfinite(loss):  # else the samples say nothing
            loss.backward()
            optimizer.step()

    def _layers(self, program: Program) -> "list[_Layer]":
        layers = [_Layer(node, program.operand(name, node.operand)) for name, node in self._nodes.items()]
        return [layer for layer in layers if layer.is_whole]

    def _is_float(self, name: str, batch: Batch) -> bool:
        with torch.no_grad():
            return bool(self._float32.run(batch.feeds, [name])[name].is_floating_point())


class _Layer:
    """A layer on the way.

    Attributes:
        node: The node.
        value: The name of what it gives.
        parameters: What moves: weights and, where the node takes one, an offset, from zero on.
    """

    def __init__(self, node: ScalableNode, weights: Tensor) -> None:
        self.node, self.value = node, str(node.node.output[0])
        self._weights = weights
        self._unit = float(weights.square().mean().sqrt()) or 1.0
        self._deviation = 0.0  # until it has been seen
        self._moved = torch.zeros_like(weights, requires_grad=True)
        self._raised = torch.zeros(self._channels, requires_grad=node.takes_offset)
        self.parameters = [self._moved, self._raised] if node.takes_offset else [self._moved]

    @property
    def is_whole(self) -> bool:
        """Whether the weights are one matrix, or filters."""
        is_conv = self.node.node.op_type == "LbaConv"
        return bool(is_conv or self._weights.ndim <= 2 or self._weights.shape[:-2].numel() == 1)

    @property
    def change(self) -> Change:
        """What takes the place of its weights now."""
        offset = self._raised * self._deviation
        if self.node.node.op_type == "LbaConv":
            offset = offset.reshape(-1, *[1] * (self._weights.ndim - 2))
        elif self.node.rank == 1:
            offset = offset.reshape(())
        elif self.node.operand == 0 and (self.node.node.op_type == "LbaGemm" or self.node.other_rank != 1):
            offset = offset.reshape(-1, 1)
        return Change(self.node.operand, self._weights + self._unit * self._moved, offset)

    @property
    def tuned(self) -> TunedLayer:
        """What has become of it."""
        weights = (self._weights + self._unit * self._moved).detach().numpy()
        return TunedLayer(as_operand(self.node, weights), (self._raised * self._deviation).detach().numpy())

    def see(self, y: Tensor) -> None:
        """Take the deviation of what it should give as the unit of its offsets, the first time."""
        self._deviation = self._deviation or float(y.std(correction=0))

    @property
    def _channels(self) -> int:
        operand = as_operand(self.node, self._weights.numpy())
        return int(operand.shape[1 if self.node.channel_axis == -1 else 0])


def _distance(q: Tensor, y: Tensor, axis: int) -> Tensor:
    """Return the mean of squared differences, to the variance of y in each of its channels, over all of them."""
    others = [i for i in range(y.ndim) if i != axis % max(y.ndim, 1)]
    spread = (y - y.mean(others, keepdim=True)).square().mean()
    return (q - y).square().mean() / spread.clamp_min(torch.finfo(y.dtype).tiny)


def _compare(name: str, found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    """Refuse a model that PyTorch does not compute as onnxruntime does."""
    values = expected.astype(np.float64)
    difference = float(np.sqrt(np.square(found.astype(np.float64) - values).mean()))
    size = float(np.sqrt(np.square(values).mean()))
    if not difference <= _TOLERANCE * size:
        raise ModelError(
            f"output {name!r}: expected PyTorch to give what onnxruntime gives in float32, got a difference of "
            f"{difference:.2g} where values are {size:.2g}: the model cannot be tuned"
        )
