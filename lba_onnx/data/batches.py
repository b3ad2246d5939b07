"""Reads samples as feeds of a model: batch after batch, one in memory at a time."""

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lba_onnx.data.batch import Batch as Batch
from lba_onnx.data.blocks import open_blocks
from lba_onnx.data.cutting import Cutter, fill
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.labels import with_labels
from lba_onnx.data.samples import Samples
from lba_onnx.errors import DataError


def read_batches(samples: Samples, inputs: tuple[ModelInput, ...]) -> Iterator[Batch]:
    """Yield checked feeds, one in memory at a time.

    Args:
        samples: The samples.
        inputs: The model's inputs.

    Raises:
        DataError: The data cannot be read or do not fit the model's inputs, there are none, or not as many as labels.
        ValueError: There is no input of a name in shared_inputs.
    """
    cutter = Cutter(inputs, samples)
    blocks = open_blocks(samples.data, inputs)
    cut = take(itertools.chain.from_iterable(map(cutter.cut, blocks)), inputs, samples.max_samples)
    is_empty = True
    for batch in with_labels(cut, samples.labels, is_whole=samples.max_samples is None):
        is_empty = False
        yield batch
    if is_empty:
        of_file = f"{samples.data}: " if isinstance(samples.data, (str, os.PathLike)) else ""
        raise DataError(f"{of_file}expected at least one sample, got none")


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
