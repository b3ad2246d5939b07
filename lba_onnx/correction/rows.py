"""Which rows of a layer correct it."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batches import Batch
from lba_onnx.native.observed_layer import ObservedLayer

MIN_ROWS, MAX_ROWS = 2048, 20_000
_ROWS_PER_INPUT = 16
_MAX_VALUES = 1 << 25  # of the inputs of the rows: 128 MB
_MAX_PRODUCTS = 1 << 34  # of the rows, where they are more than _ROWS_PER_WEIGHT a weight of a channel
_ROWS_PER_WEIGHT = 4


class Rows:
    """Draws rows of the calls of all batches alike: of each as many as its samples are of all samples."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        total = sum(batch.samples for batch in batches)
        self._shares = [(batch.samples, total) for batch in batches]

    def of(self, name: str, number: int, layer: ObservedLayer) -> NDArray[np.int64]:
        """Return which rows of a call correct its layer, in ascending order.

        Args:
            name: The node's name.
            number: The number of the batch.
            layer: The call.
        """
        samples, total = self._shares[number]
        count, share = layer.row_count, -(-_rows_of_use(layer.weights_shape) * samples // total)
        if share >= count:
            return np.arange(count)
        random = np.random.default_rng((zlib.crc32(name.encode()), number))
        return np.sort(random.choice(count, share, replace=False))


def _rows_of_use(weights: tuple[int, int, int]) -> int:
    groups, depth, channels = weights
    by_products = max(_MAX_PRODUCTS // (groups * depth * channels), _ROWS_PER_WEIGHT * depth)
    of_use = min(max(MIN_ROWS, _ROWS_PER_INPUT * depth), MAX_ROWS)
    return min(of_use, by_products, max(_MAX_VALUES // (groups * depth), 1))
