"""Labels that come apart from the data."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import open_npy, read_whole
from lba_onnx.data.batch import Batch
from lba_onnx.data.blocks import check_labels
from lba_onnx.data.samples import Labels
from lba_onnx.errors import DataError


def with_labels(batches: Iterable[Batch], labels: Labels | None, is_whole: bool = True) -> Iterator[Batch]:
    """Yield batches with labels in place of those in the data; as they are where `labels` is None.

    Args:
        batches: Batches, from the first sample on.
        labels: One per sample, in the same order.
        is_whole: Whether the batches are all there are, so that no labels may be left over.

    Raises:
        DataError: The labels are not integers, or there are not as many as samples.
    """
    if labels is None:
        yield from batches
        return
    given, start = read_labels(labels), 0
    for batch in batches:
        own = given[start : start + batch.samples]
        start += batch.samples
        if len(own) != batch.samples:
            raise DataError(f"expected a label per sample, got {len(given)} labels for at least {start}")
        yield replace(batch, labels=own)
    if is_whole and len(given) != start:
        raise DataError(f"expected a label per sample, got {len(given)} labels for {start} samples")


def read_labels(labels: Labels) -> NDArray[Any]:
    """Return labels as integers [samples].

    Raises:
        DataError: They cannot be read, or are not integers with one axis.
    """
    if isinstance(labels, (str, PathLike)):
        return check_labels(read_whole(open_npy(Path(labels))), str(labels))
    return check_labels(np.asarray(labels), "labels")
