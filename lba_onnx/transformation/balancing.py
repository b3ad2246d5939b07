"""Balancing: channels between two layers scaled by powers of two, so that those of the first layer are of one size.

    h[c] = sum_k W[c, k] x[k] + b[c]        ->  W[c, :] s[c], b[c] s[c]
    y = sum_c V[:, c] f(h[c])               ->  V[:, c] / s[c]             where f(s h) = s f(h) for s > 0

One accumulator format serves all channels of a layer, so a channel whose sums are a hundredth of the largest loses
seven of its bits. The second layer's products V[:, c] f(h[c]) are the same numbers before and after: what the first
layer gains costs nothing there. Cross-layer equalization (Nagel et al. 2019) also weighs the second layer's ranges,
which matters where activations are stored in few bits; here they are not.

s[c] = 2^e is exact in float32. e brings the largest sum of each channel on the samples to that of the layer, as near as
a power of two does. Filters alone do not tell it: a bias that is large beside them makes the next layer's sums large.

Requires that each value between the layers is read once. Ensures that every node stays, and that outputs are the same
bits unless a value falls out of float32's normal range.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lba_onnx.transformation.channel_ranges import ChannelRange
from lba_onnx.transformation.channels import ChannelLayer, as_channel_layer
from lba_onnx.transformation.graph import ModelGraph, Use, attribute, called, is_standard
from lba_onnx.transformation.transformation import Found, Refusal, Transformation

MAX_EXPONENT = 16
"""Channels are raised by at most 2^16: what is all but zero is not brought to the others' size."""

_LABEL = "balanced"
_HOMOGENEOUS = (
    "Relu", "LeakyRelu", "PRelu", "Abs", "Identity", "Dropout", "MaxPool", "AveragePool", "GlobalAveragePool",
    "GlobalMaxPool",
)  # fmt: skip
_SATURATING = ("Clip",)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers and the channels between them.

    Attributes:
        first: The layer that makes the channels.
        second: The layer that reads them.
        added: Uses of constants that are added to the channels on the way.
    """

    first: ChannelLayer
    second: ChannelLayer
    added: tuple[Use, ...]

    def __str__(self) -> str:
        """Say what it is."""
        return f"{self.first.outputs} channels from {called(self.first.node)} to {called(self.second.node)}"


class Balancing(Transformation):
    """Balances the channels between consecutive layers."""

    name = "balancing"
    tolerance = 0.0

    def find(self, graph: ModelGraph) -> Found:
        """Return the pairs of layers, and the layers whose channels cannot be scaled."""
        looked_at = [_pair(graph, layer) for layer in _layers(graph)]
        refusals = tuple(found for found in looked_at if isinstance(found, Refusal))
        return Found(tuple(found for found in looked_at if isinstance(found, Pair)), refusals)

    def channels(self, places: Sequence[Any]) -> dict[str, int]:
        """Return the outputs of the first layers."""
        return {pair.first.node.output[0]: pair.first.axis for pair in places}

    def apply(self, graph: ModelGraph, places: Sequence[Any], ranges: Mapping[str, ChannelRange]) -> None:
        """Balance pairs; a pair leaves the sums of all others as they are."""
        for pair in places:
            seen = ranges[pair.first.node.output[0]]
            exponents = balancing_exponents(seen.largest(pair.first.read_bias(graph)))
            if exponents.any():
                with np.errstate(over="ignore", under="ignore"):  # outputs then differ, and nothing is done
                    _balance(graph, pair, exponents)


def balancing_exponents(largest: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return by which powers of two to raise channels, at most to the largest.

    Args:
        largest: The largest magnitude of the sums of each channel [channels].

    Returns:
        Exponents from 0 to MAX_EXPONENT [channels]; 0 for channels that are zero or not finite.
    """
    is_usable = np.isfinite(largest) & (largest > 0)
    if not is_usable.any():
        return np.zeros(len(largest), np.int64)
    most = largest[is_usable].max().astype(np.float64)
    ratios = most / np.where(is_usable, largest, most)
    exponents: NDArray[np.int64] = np.clip(np.floor(np.log2(ratios)), 0, MAX_EXPONENT).astype(np.int64)
    return exponents


def _balance(graph: ModelGraph, pair: Pair, exponents: NDArray[np.int64]) -> None:
    scales = np.ldexp(1.0, exponents).astype(np.float32)
    pair.first.scale_outputs(graph, scales, _LABEL)
    for use in pair.added:
        _scale_added(graph, use, scales, pair.first)
    pair.second.scale_inputs(graph, np.float32(1) / scales, _LABEL)


def _layers(graph: ModelGraph) -> Iterator[ChannelLayer]:
    for node in graph.nodes:
        layer = as_channel_layer(graph, node)
        if isinstance(layer, ChannelLayer):
            yield layer


def _pair(graph: ModelGraph, first: ChannelLayer) -> Pair | Refusal:
    """Follow the output of a layer to the next one."""
    node, is_flat = first.node, False
    added: list[Use] = []
    while True:
        use = graph.only_use(node.output[0])
        if use is None:
            return _read_elsewhere(graph, first, node.output[0])
        node = use.node
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            return _joined(graph, first, use, tuple(added), is_flat)
        constant = _constant_beside(graph, use)
        if is_standard(node, "Add") and constant is not None and first.takes_vector(graph.vector(constant.value)):
            added.append(constant)
        elif is_standard(node, "Flatten") and first.axis == 1 and attribute(node, "axis", 1) == 1:
            is_flat = True
        elif not _is_homogeneous(graph, use):
            return Refusal(called(first.node), _obstacle(node))


def _read_elsewhere(graph: ModelGraph, first: ChannelLayer, value: str) -> Refusal:
    if value in graph.outputs:
        return Refusal(called(first.node), f"its channels are the graph's output {value!r}")
    readers = ", ".join(called(use.node) for use in graph.uses(value)) or "nothing"
    return Refusal(called(first.node), f"its channels are read by {readers}, expected one reader")


def _obstacle(node: onnx.NodeProto) -> str:
    if is_standard(node, "Add"):
        return f"{called(node)} adds values that are not scaled with them"
    if node.op_type in _SATURATING:
        return f"{called(node)} saturates all channels at the same value"
    return f"{called(node)} does not scale with its input"


def _is_homogeneous(graph: ModelGraph, use: Use) -> bool:
    node = use.node
    if is_standard(node, *_HOMOGENEOUS):
        return use.index == 0
    return is_standard(node, "Mul") and node.input[0] != node.input[1]  # the other factor does not see the scale


def _constant_beside(graph: ModelGraph, use: Use) -> Use | None:
    if len(use.node.input) != 2:
        return None
    other = Use(use.node, 1 - use.index)
    return None if graph.vector(other.value) is None else other


def _joined(graph: ModelGraph, first: ChannelLayer, use: Use, added: tuple[Use, ...], is_flat: bool) -> Pair | Refusal:
    second = as_channel_layer(graph, use.node)
    if isinstance(second, str):
        return Refusal(called(first.node), second)
    is_aligned = second.axis == first.axis or is_flat
    if use.index or not is_aligned or not _fits(first, second, is_flat):
        return Refusal(called(first.node), f"{called(use.node)} does not read its channels as channels")
    return Pair(first, second, added)


def _fits(first: ChannelLayer, second: ChannelLayer, is_flat: bool) -> bool:
    return second.inputs % first.outputs == 0 if is_flat else second.inputs == first.outputs


def _scale_added(graph: ModelGraph, use: Use, scales: NDArray[np.float32], first: ChannelLayer) -> None:
    values = graph.vector(use.value)
    assert values is not None  # as `find` has seen
    graph.replace(use, first.scaled_vector(values, scales), _LABEL)
