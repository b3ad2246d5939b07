"""In which order products are summed, and the rule that ties the products' exponent bias to the sums'.

chunk=16        chains of 16 products; their sums in a last chain
chunk=9x8       chains of 9 products, the sums of these in chains of 8, those in a last chain
chunk=none      one chain over the whole depth
tree=16         the sums of 16 products by an adder tree, in a last chain
tree=16,chunk=8 the same, in chains of 8, those in a last chain
chunk=16,lanes=2    of each 16 products two chains, of the even and of the odd ones; both sums are added, as in a tree
tree=16,start=carry the running sum of the chain that adds up the trees is the first item of the next tree
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lba_onnx.integers import as_integer

DEFAULT_CHUNK_SIZE = 16
MOST_LEVELS = 8
"""Sizes that a text may name, the tree's included; the native library has room for so many."""

MOST_IN_A_TREE = 1024
"""Products that an adder tree sums at most."""

MOST_LANES = 64
"""Chains side by side in a group."""

_MAX_SIZE = 2**63 - 1  # the native library counts in int64


@dataclass(frozen=True)
class SumOrder:
    """How the products of a dot product are grouped, innermost first.

    Attributes:
        lengths: How many products a group of each level holds, at most; of each a multiple of the one before. What the
            last ones sum up to is added in one chain.
        is_tree: Whether the innermost groups are summed by an adder tree, else by a chain.
        has_groups: Whether there are groups at all; else one chain over the whole depth is the total.
    """

    lengths: tuple[int, ...]
    is_tree: bool
    has_groups: bool

    @classmethod
    def of(cls, depth: int, chunk_sizes: tuple[int, ...], tree: int | None, lanes: int | None = None) -> "SumOrder":
        """Return the order of sums of so many products."""
        sizes = (tree, *chunk_sizes) if tree else chunk_sizes or (max(depth, 1),)
        return cls(
            tuple(math.prod(sizes[: level + 1]) for level in range(len(sizes))),
            tree is not None,
            bool(tree or chunk_sizes or lanes),
        )

    def additions(self, depth: int) -> npt.NDArray[np.int64]:
        """Return how many additions of each level of chains the sum that holds a product still goes through.

        Args:
            depth: How many products there are.

        Returns:
            int64 [levels of chains, depth], innermost first; those inside a tree are not counted.
        """
        place, size, levels = np.arange(depth), 1, []
        for index, length in enumerate((*self.lengths, max(depth, 1)) if self.has_groups else self.lengths):
            begin = place // length * length
            end = np.minimum(begin + length, depth)
            if index or not self.is_tree:
                levels.append(-(-(end - begin) // size) - (place - begin) // size)
            size = length
        return np.array(levels, np.int64).reshape(len(levels), depth)

    @property
    def last_chain(self) -> int:
        """How far out the chain is whose sum is the total: 0 where it adds products."""
        return len(self.lengths) if self.has_groups else 0


def spans(start: int, stop: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the first index of each group of `size` and the one behind its last; the last group may be shorter."""
    for begin in range(start, stop, size):
        yield begin, min(begin + size, stop)


def product_bias(accumulator_bias: int, group_size: int | None) -> int:
    """Return the product's exponent bias that goes with an accumulator's.

    A sum of c independent products grows like √c, so the products' range lies ½·log2(c) binades below
    the accumulator's. The half binade of an odd power of two is dropped, and so is the fraction of any other group
    size: the shift is floor(½·log2(c)), and the products never get less range than the rule grants. A chunk over the
    whole depth (None) has no size to go by: both biases are then equal.

    Args:
        accumulator_bias: Of the sums.
        group_size: Products of an innermost group: of a tree, or of a chunk.
    """
    if group_size is None:
        return accumulator_bias
    return accumulator_bias + (check_size("chunk_size", group_size).bit_length() - 1) // 2


def check_size(name: str, value: int) -> int:
    """Return the size of a group as a plain int.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not positive.
    """
    size = as_integer(name, value)
    if not 1 <= size <= _MAX_SIZE:
        raise ValueError(f"expected a {name} of at least 1, or None for the whole depth, got {size}")
    return size


def check_sizes(chunk_size: int | None, outer_chunks: tuple[int, ...], tree: int | None) -> None:
    """Check sizes that are to make an order.

    Raises:
        ValueError: They are too many, or their product is too large, or there are outer chunks without inner ones.
    """
    if outer_chunks and chunk_size is None:
        raise ValueError(f"expected a chunk_size beside outer_chunks {outer_chunks}, got None")
    if tree is not None and tree > MOST_IN_A_TREE:
        raise ValueError(f"expected a tree of at most {MOST_IN_A_TREE} products, got {tree}")
    sizes = [size for size in (tree, chunk_size, *outer_chunks) if size is not None]
    if len(sizes) > MOST_LEVELS:
        raise ValueError(f"expected at most {MOST_LEVELS} levels of groups, got {len(sizes)}")
    if math.prod(sizes) > _MAX_SIZE:
        raise ValueError(f"expected groups of at most {_MAX_SIZE} products, got {'x'.join(map(str, sizes))}")
