"""The data of a sweep, cut into shards: contiguous ranges of samples, one in memory at a time until it is worked on."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from lba_onnx.data.batches import Batch
from lba_onnx.data.hashing import DataHash


@dataclass(frozen=True)
class Shard:
    """Some consecutive batches.

    Attributes:
        index: Its position among the shards.
        batches: The batches, with labels if there are any.
        samples: How many samples they hold.
        digest: Hash of all of it.
    """

    index: int
    batches: tuple[Batch, ...] = field(repr=False)
    samples: int
    digest: str


def cut_shards(batches: Iterable[Batch], shard_size: int) -> Iterator[Shard]:
    """Yield shards, each of as many batches as it takes to hold `shard_size` samples."""
    index, waiting = 0, list[Batch]()
    for batch in batches:
        waiting.append(batch)
        if sum(b.samples for b in waiting) >= shard_size:
            yield _shard(index, waiting)
            index, waiting = index + 1, []
    if waiting:
        yield _shard(index, waiting)


def _shard(index: int, batches: list[Batch]) -> Shard:
    data_hash, rest = DataHash(), hashlib.sha256()
    for batch in batches:
        data_hash.update(batch)
        labels = None if batch.labels is None else np.asarray(batch.labels, np.int64).tobytes()
        rest.update(repr((batch.samples, batch.rows, labels)).encode())
    digest = hashlib.sha256((data_hash.hexdigest() + rest.hexdigest()).encode()).hexdigest()
    return Shard(index, tuple(batches), sum(b.samples for b in batches), digest)
