"""Rotation of residual streams: an orthogonal matrix Q folded into the weights around the stream.

    writer    x = h W + c            ->   x Q = h (W Q) + c Q
    reader    (g n(x) + b) V + d     ->   n(x Q) (Q^T diag(g) V) + (d + b V)

n(x Q) = n(x) Q for an RMSNorm, since Q keeps lengths, and for a LayerNorm, where Q also keeps the vector of ones. Each
channel of the rotated stream is a sum of all channels with about equal weights, so that no channel is far larger than
the others.

Requires that all writers and readers are constant matrices (`stream.py`). Ensures that normalizations stay the nodes
that they are, with gains of 1 and biases of 0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.transformation.channel_ranges import ChannelRange
from lba_onnx.transformation.graph import ModelGraph, Use, attribute, is_standard
from lba_onnx.transformation.linear import Linear, Matrix, multiply
from lba_onnx.transformation.norms import Norm, find_norms
from lba_onnx.transformation.orthogonal import rotation_matrix
from lba_onnx.transformation.stream import Reader, Stream, find_streams
from lba_onnx.transformation.transformation import Found, Refusal, Transformation

_LABEL = "rotated"


class Rotation(Transformation):
    """Rotates the residual streams of pre-norm transformers."""

    name = "rotation"
    tolerance = 2.0**-12

    def find(self, graph: ModelGraph) -> Found:
        """Return the residual streams, and those that cannot be rotated."""
        streams = list(find_streams(graph, list(find_norms(graph))))
        refusals = tuple(stream for stream in streams if isinstance(stream, Refusal))
        return Found(tuple(stream for stream in streams if isinstance(stream, Stream)), refusals)

    def apply(self, graph: ModelGraph, places: Sequence[Any], ranges: Mapping[str, ChannelRange]) -> None:
        """Rotate streams: all writers first, so that what readers add to a bias is rotated with the bias."""
        rotations = [rotation_matrix(stream.size, keeps_mean=stream.is_centred) for stream in places]
        for stream, rotation in zip(places, rotations, strict=True):
            for writer in stream.writers:
                _rotate_writer(graph, writer, rotation)
            for use in stream.constants:
                _rotate_constant(graph, use, rotation)
        for stream, rotation in zip(places, rotations, strict=True):
            for reader in stream.readers:
                _rotate_reader(graph, reader, rotation)


def _rotate_writer(graph: ModelGraph, writer: Linear, rotation: Matrix) -> None:
    writer.write(graph, multiply(rotation.T, writer.read(graph).T).T, _LABEL)
    if writer.read_bias(graph) is not None:
        _rotate_constant(graph, Use(writer.node, 2), rotation)


def _rotate_constant(graph: ModelGraph, use: Use, rotation: Matrix) -> None:
    values = _float32(graph, use)
    if values.ndim == 0 or values.shape[-1] == 1:
        values = np.broadcast_to(values, (*values.shape[:-1], len(rotation)))
    graph.replace(use, values.astype(np.float64) @ rotation, _LABEL)


def _rotate_reader(graph: ModelGraph, reader: Reader, rotation: Matrix) -> None:
    gain, bias = _vector(graph, reader.norm.gain), _vector(graph, reader.norm.bias)
    left = rotation.T if gain is None else rotation.T * gain
    for product in reader.products:
        weights = product.read(graph)
        if bias is not None and np.any(bias):
            _raise_bias(graph, product, multiply(bias[None], weights)[0])
        product.write(graph, multiply(left, weights), _LABEL)
    _set_neutral(graph, reader.norm)


def _raise_bias(graph: ModelGraph, product: Linear, by: NDArray[np.float32]) -> None:
    """Add a vector to what a product gives."""
    node = product.node
    if node.op_type == "Gemm":
        alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
        own = product.read_bias(graph)
        graph.give(node, 2, (0 if own is None else own) + by * (alpha / beta), _LABEL)
        return
    use = graph.only_use(node.output[0])
    other = None if use is None or not is_standard(use.node, "Add") else Use(use.node, 1 - use.index)
    values = None if other is None else graph.vector(other.value)
    if other is not None and values is not None and values.shape[-1:] == by.shape:
        graph.replace(other, values + by, _LABEL)
    else:
        graph.add_behind(node, by, _LABEL)


def _set_neutral(graph: ModelGraph, norm: Norm) -> None:
    for use, number in ((norm.gain, 1.0), (norm.bias, 0.0)):
        if use is not None:
            graph.replace(use, np.full_like(_float32(graph, use), number), _LABEL)


def _vector(graph: ModelGraph, use: Use | None) -> Matrix | None:
    return None if use is None else _float32(graph, use).astype(np.float64).ravel()


def _float32(graph: ModelGraph, use: Use) -> NDArray[np.float32]:
    values = graph.vector(use.value)
    assert values is not None  # as `find` has seen
    return values
