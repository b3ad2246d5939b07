"""Which dot products are computed together, and the random bits that stochastic rounding draws for their additions.

The bits are those of a counter-based generator: a hash of the seed, the row and the column of the output, and the place
of the addition in its dot product. They are the same whatever else is computed with it, on any device.

    mix(h)         h ^= h >> 16; h *= 0x7feb352d; h ^= h >> 15; h *= 0x846ca68b; h ^= h >> 16   in 32 bits
    key            mix(mix(mix(seed's low half) ^ its high half) + 0x9e3779b9 * (stream + 1))
    side(key, i)   mix(mix(key ^ i's low half) ^ its high half)
    word           mix(mix(side(key, row) + g) ^ mix(side(~key, column) + g)),  g = step // (32 // r)
    draw           r bits of the word, from bit r * (step % (32 // r)) on

`stream` is 0 for roundings of products, 1 for additions in innermost groups, and one more for each level further out;
`step` is the first k that the product, or the sum that is added, covers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 32
_LOW_HALF = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Places:
    """Where dot products stand among the outputs of their node; both broadcast to the shape of what is computed.

    Attributes:
        rows: int64, the row of each: its place among the rows of all matrices of a batch; in a convolution, image *
            positions + position.
        columns: int64, the column of each; in a convolution, the output channel.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def one(cls, row: int = 0, column: int = 0) -> "Places":
        """Return the place of one dot product."""
        return cls(np.array(row, np.int64), np.array(column, np.int64))

    def draws(self, seed: int, stream: int, step: int, random_bits: int) -> NDArray[np.int64]:
        """Return an integer of `random_bits` bits for each dot product.

        Args:
            seed: From 0 to 2^64 - 1.
            stream: Which rounding of a step: 0 of the product, 1 of the innermost sum, then outward.
            step: First k of what is rounded or added.
            random_bits: 1 to 16.
        """
        key = _mix(_mix(_mix(np.uint32(seed & _LOW_HALF)) ^ np.uint32(seed >> 32)) + _weyl(stream + 1))
        per_word = _WORD_BITS // random_bits
        group = np.uint32((step // per_word) & _LOW_HALF)
        word = _mix(_mix(_side(key, self.rows) + group) ^ _mix(_side(~key, self.columns) + group))
        shifted = word >> np.uint32(random_bits * (step % per_word))
        drawn: NDArray[np.int64] = (shifted & np.uint32((1 << random_bits) - 1)).astype(np.int64)
        return drawn


def _weyl(count: int) -> NDArray[np.uint32]:
    return np.array(0x9E3779B9 * count & _LOW_HALF, np.uint32)


def _side(key: NDArray[np.uint32], index: NDArray[np.int64]) -> NDArray[np.uint32]:
    wide = np.asarray(index).astype(np.uint64)
    low, high = (wide & np.uint64(_LOW_HALF)).astype(np.uint32), (wide >> np.uint64(32)).astype(np.uint32)
    return _mix(_mix(key ^ low) ^ high)


def _mix(value: NDArray[np.uint32] | np.uint32) -> NDArray[np.uint32]:
    with np.errstate(over="ignore"):
        h = np.asarray(value, np.uint32)
        h = h ^ (h >> np.uint32(16))
        h = h * np.uint32(0x7FEB352D)
        h = h ^ (h >> np.uint32(15))
        h = h * np.uint32(0x846CA68B)
        mixed: NDArray[np.uint32] = h ^ (h >> np.uint32(16))
    return mixed
