"""Reads data as feeds of a model: batch after batch, one in memory at a time."""

import itertools
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from lba_onnx.data.batch import Batch as Batch
from lba_onnx.data.blocks import open_blocks
from lba_onnx.data.cutting import Cutter, fill
from lba_onnx.data.cutting import Preprocess as Preprocess
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import DataError
from lba_onnx.integers import as_count

DEFAULT_BATCH_SIZE = 16


def read_batches(
    data: Any,
    inputs: tuple[ModelInput, ...],
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
    shared_inputs: Collection[str] = (),
) -> Iterator[Batch]:
    """Yield checked feeds, one in memory at a time.

    Args:
        data: What `open_blocks` takes.
        inputs: The model's inputs.
        batch_size: Samples per feed where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with each feed's arrays as the data have them; returns what the model is fed.
        shared_inputs: Names of inputs that are the same for all samples: the data hold them as the model takes them.
            With `preprocess`, names of such arrays in the data too.

    Raises:
        DataError: The data cannot be read or do not fit the model's inputs, or there are none.
        TypeError: A number is no integer.
        ValueError: batch_size or max_samples is below 1, or there is no input of a name in shared_inputs.
    """
    batch_size = as_count("batch_size", batch_size)
    limit = None if max_samples is None else as_count("max_samples", max_samples)
    cutter = Cutter(inputs, batch_size, preprocess, shared_inputs)
    is_empty = True
    for batch in take(itertools.chain.from_iterable(map(cutter.cut, open_blocks(data, inputs))), inputs, limit):
        is_empty = False
        yield batch
    if is_empty:
        raise DataError("expected at least one sample, got none")


def take(batches: Iterable[Batch], inputs: tuple[ModelInput, ...], max_samples: int | None) -> Iterator[Batch]:
    """Yield the first samples of some batches, and read no batch behind them.

    Args:
        batches: The batches.
        inputs: The model's inputs.
        max_samples: So many, at least 1; None for all.
    """
    remaining = max_samples
    for batch in batches:
        batch = _shorten(batch, inputs, remaining)
        yield batch
        remaining = None if remaining is None else remaining - batch.samples
        if remaining == 0:
            break


def _shorten(batch: Batch, inputs: tuple[ModelInput, ...], limit: int | None) -> Batch:
    """Return a batch without the samples behind the first `limit`; feeds without an axis for samples stay whole."""
    if limit is None or batch.samples <= limit or batch.rows is None:
        return batch
    with_rows = {i.name: i for i in inputs if batch.has_rows(i.name)}
    free = {name for name, i in with_rows.items() if i.shape is None or i.shape[0] is None}
    feeds = dict(batch.feeds)
    for name in free or with_rows:
        feeds[name] = feeds[name][:limit] if free else fill(feeds[name][:limit], batch.rows)
    labels = None if batch.labels is None else batch.labels[:limit]
    return replace(batch, feeds=feeds, samples=limit, rows=limit if free else batch.rows, labels=labels)
