"""Refuses feeds that hold infinities or NaN, of which nothing can be learned.

An attention mask is added to scores: an array of nothing but 0 and minus infinity passes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.batch import Batch
from lba_onnx.errors import DataError


def finite_batches(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield batches, each after `check_finite`."""
    samples = 0
    for batch in batches:
        check_finite(batch, samples)
        yield batch
        samples += batch.samples


def check_finite(batch: Batch, samples_before: int | None = None) -> None:
    """Refuse a batch in which a number is not finite.

    Args:
        batch: The batch.
        samples_before: Samples in the batches before it; None where they were not counted.

    Raises:
        DataError: One is not; the message names the sample, the input and the index in the sample.
    """
    for name, value in batch.feeds.items():
        for path, array in _arrays(name, value):
            index = _first_not_finite(array)
            if index is not None:
                got = f"{array[index]} at {list(index)}"
                where = batch.origin
                if batch.has_rows(name):
                    where = _number(batch, index[0], samples_before)
                    got = f"{array[index]} at {list(index[1:])}"
                raise DataError(f"{where}: expected finite numbers as {path}, got {got}")


def _arrays(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of a feed's value with what they are called: "x", or "x[2]" in a list."""
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _arrays(f"{name}[{index}]", item)
    elif isinstance(value, np.ndarray):
        yield name, value


def _first_not_finite(array: NDArray[Any]) -> tuple[int, ...] | None:
    if array.dtype.kind != "f":
        return None
    is_finite = np.isfinite(array)
    if is_finite.all() or _is_mask(array, is_finite):
        return None
    return tuple(int(i) for i in np.unravel_index(int(is_finite.argmin()), array.shape))


def _is_mask(array: NDArray[Any], is_finite: NDArray[np.bool_]) -> bool:
    return bool((array[~is_finite] == -np.inf).all() and (array[is_finite] == 0).all())


def _number(batch: Batch, row: int, samples_before: int | None) -> str:
    name = batch.sample_origin(row)
    if samples_before is None or name.endswith(f", sample {samples_before + row}"):
        return name
    return f"{name} ({samples_before + row} of all)"
