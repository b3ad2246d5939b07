"""How products are summed in chunks, and the rule that ties the products' exponent bias to the sums'."""

from collections.abc import Iterator

from lba_onnx.integers import as_integer

DEFAULT_CHUNK_SIZE = 16
_MAX_CHUNK_SIZE = 2**63 - 1  # the native library counts in int64


def product_bias(accumulator_bias: int, chunk_size: int | None) -> int:
    """Return the product's exponent bias that goes with an accumulator's.

    A sum of c independent products grows like √c, so the products' range lies ½·log2(c) binades below
    the accumulator's. The half binade of an odd power of two is dropped, and so is the fraction of any other chunk
    size: the shift is floor(½·log2(c)), and the products never get less range than the rule grants. A chunk over the
    whole depth (None) has no size to go by: both biases are then equal.
    """
    if chunk_size is None:
        return accumulator_bias
    return accumulator_bias + (check_chunk_size(chunk_size).bit_length() - 1) // 2


def check_chunk_size(value: int) -> int:
    """Return a chunk size as a plain int.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not positive.
    """
    chunk_size = as_integer("chunk_size", value)
    if not 1 <= chunk_size <= _MAX_CHUNK_SIZE:
        raise ValueError(f"expected a chunk_size of at least 1, or None for the whole depth, got {chunk_size}")
    return chunk_size


def chunks(depth: int, chunk_size: int | None) -> Iterator[tuple[int, int]]:
    """Yield the first k of each chunk and the one behind its last; the last chunk may be shorter."""
    size = chunk_size or max(depth, 1)
    for start in range(0, depth, size):
        yield start, min(start + size, depth)
