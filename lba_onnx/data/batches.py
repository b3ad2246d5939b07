"""Cuts blocks of samples into feeds of the size that the model takes.

    every array one axis more than its input   -> one feed per entry of the first axis
    inputs whose first axis is free            -> batch_size entries at a time (a single feed is left as it is)
    inputs whose first axis is fixed           -> that many at a time when no input is free, else the same in every feed
    scalars                                    -> the same in every feed

A last batch shorter than a fixed first axis is filled up with its last sample; `Batch.samples` says how many count.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import Rows, read_rows, read_whole
from lba_onnx.data.blocks import Block, open_blocks
from lba_onnx.data.inputs import Feeds, ModelInput, check_feeds, check_names
from lba_onnx.errors import DataError

DEFAULT_BATCH_SIZE = 16

Preprocess = Callable[[dict[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Batch:
    """One feed and what is known of it.

    Attributes:
        feeds: Input names to arrays, as the model takes them.
        samples: How many samples it holds, filling left out.
        rows: Length of the axis that runs over samples in the feeds, filling included; None where there is none.
        labels: int [samples], or None.
        origin: File or position, for messages.
    """

    feeds: Feeds
    samples: int
    rows: int | None
    labels: NDArray[Any] | None
    origin: str


def read_batches(
    data: Any,
    inputs: tuple[ModelInput, ...],
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_samples: int | None = None,
    preprocess: Preprocess | None = None,
) -> Iterator[Batch]:
    """Yield checked feeds, one in memory at a time.

    Args:
        data: What `open_blocks` takes.
        inputs: The model's inputs.
        batch_size: Samples per feed where the model leaves it open.
        max_samples: Where to stop; None for the end of the data.
        preprocess: Called with each feed's arrays as the data have them; returns what the model is fed.

    Raises:
        DataError: The data cannot be read or do not fit the model's inputs, or there are none.
        ValueError: batch_size or max_samples is below 1.
    """
    for name, value in (("batch_size", batch_size), ("max_samples", max_samples)):
        if value is not None and value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}")
    batches = itertools.chain.from_iterable(
        _cut_block(block, inputs, batch_size, preprocess) for block in open_blocks(data, tuple(i.name for i in inputs))
    )
    remaining = max_samples
    is_empty = True
    for batch in batches:
        is_empty = False
        batch = shorten(batch, inputs, remaining)
        check_feeds(inputs, batch.feeds, batch.origin)
        yield batch
        remaining = None if remaining is None else remaining - batch.samples
        if remaining == 0:
            break
    if is_empty:
        raise DataError("expected at least one sample, got none")


def refuse_nan(batch: Batch) -> None:
    """Refuse a feed of which nothing can be learned.

    Raises:
        DataError: It holds NaN.
    """
    for name, array in batch.feeds.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise DataError(f"{batch.origin}: expected numbers as {name}, got NaN")


def _cut_block(
    block: Block, inputs: tuple[ModelInput, ...], batch_size: int, preprocess: Preprocess | None
) -> Iterator[Batch]:
    if preprocess is not None:
        for raw in _cut_raw(block, _common_fixed_batch(inputs) or batch_size):
            feed = preprocess({name: read_whole(array) for name, array in raw.arrays.items()})
            yield from _cut(replace(raw, arrays=dict(feed)), inputs, batch_size)
        return
    yield from _cut(block, inputs, batch_size)


def _cut_raw(block: Block, rows: int) -> Iterator[Block]:
    """Cut arrays of which only the data know the names, along their first axes."""
    if not block.is_stacked:
        yield block
        return
    _equal_lengths({name: (array.shape or (0,))[0] for name, array in block.arrays.items()}, block.origin)
    start = 0
    for arrays in _zip_pieces({name: read_rows(array, rows) for name, array in block.arrays.items()}):
        count = len(next(iter(arrays.values())))
        labels = None if block.labels is None else block.labels[start : start + count]
        yield Block(dict(arrays), labels, False, f"{block.origin}, sample {start}")
        start += count


def _common_fixed_batch(inputs: tuple[ModelInput, ...]) -> int | None:
    sizes = {i.shape[0] for i in inputs if i.shape is not None}
    return sizes.pop() if len(sizes) == 1 else None


def _cut(block: Block, inputs: tuple[ModelInput, ...], batch_size: int) -> Iterator[Batch]:
    """Yield the batches of one block, each with its share of the labels."""
    check_names(inputs, block.arrays, block.origin)
    start = 0
    for feeds, samples, rows in _cut_arrays(block, inputs, batch_size):
        labels = None
        if block.labels is not None:
            labels = block.labels[start : start + samples]
            if len(labels) != samples:
                raise DataError(f"{block.origin}: expected a label per sample, got {len(block.labels)} labels")
        origin = f"{block.origin}, sample {start}" if block.is_stacked else block.origin
        yield Batch(feeds, samples, rows, labels, origin)
        start += samples
    if block.labels is not None and start != len(block.labels):
        raise DataError(f"{block.origin}: expected {start} labels, one per sample, got {len(block.labels)}")


_Piece = tuple[Feeds, int, int | None]


def _cut_arrays(block: Block, inputs: tuple[ModelInput, ...], batch_size: int) -> Iterator[_Piece]:
    roles = {i.name: _role(i, block.arrays[i.name]) for i in inputs}
    present = set(roles.values())
    if "stacked" in present and not present & {"fixed", "free"}:
        return _cut_stacked(block, roles)
    for model_input in inputs:  # before anything large is read
        check_shape(model_input, block.arrays[model_input.name], block.origin)
    if "free" not in present and "fixed" not in present:
        roles = {name: "free" if role == "unknown" else role for name, role in roles.items()}
    if "free" in roles.values():
        return _cut_free(block, roles, batch_size)
    return _cut_fixed(block, inputs)


def check_shape(model_input: ModelInput, array: Rows, origin: str) -> None:
    """Refuse an array whose axes behind the first do not fit.

    Raises:
        DataError: The rank or a fixed size differs.
    """
    shape = model_input.shape
    if shape is None:
        return
    is_right = array.ndim == len(shape) and all(e in (None, s) for e, s in zip(shape[1:], array.shape[1:], strict=True))
    if not is_right:
        raise DataError(f"{origin}: expected {model_input}, got {array.dtype} {list(array.shape)}")


def _role(model_input: ModelInput, array: Rows) -> str:
    if array.ndim == 0:
        return "constant"
    if model_input.shape is None:
        return "unknown"
    if array.ndim == len(model_input.shape) + 1:
        return "stacked"
    return "free" if model_input.shape[0] is None else "fixed"


def _cut_stacked(block: Block, roles: dict[str, str]) -> Iterator[_Piece]:
    cut = {name for name, role in roles.items() if role != "constant"}
    _equal_lengths({name: block.arrays[name].shape[0] for name in cut}, block.origin)
    constants = {name: read_whole(block.arrays[name]) for name in roles.keys() - cut}
    for rows in _zip_pieces({name: read_rows(block.arrays[name], 1) for name in sorted(cut)}):
        yield {**{name: row[0] for name, row in rows.items()}, **constants}, 1, None


def _cut_free(block: Block, roles: dict[str, str], batch_size: int) -> Iterator[_Piece]:
    cut = {name for name, role in roles.items() if role == "free"}
    rest = {name: read_whole(block.arrays[name]) for name in roles.keys() - cut}
    if not block.is_stacked:
        lengths = [block.arrays[name].shape[0] for name in roles if name in cut]
        feeds = {name: read_whole(block.arrays[name]) for name in cut}
        rows = lengths[0] if len(set(lengths)) == 1 and lengths[0] > 0 else None
        yield {**feeds, **rest}, rows or 1, rows
        return
    _equal_lengths({name: block.arrays[name].shape[0] for name in cut}, block.origin)
    for pieces in _zip_pieces({name: read_rows(block.arrays[name], batch_size) for name in sorted(cut)}):
        rows = len(next(iter(pieces.values())))
        yield {**pieces, **rest}, rows, rows


def _cut_fixed(block: Block, inputs: tuple[ModelInput, ...]) -> Iterator[_Piece]:
    sizes = {i.name: i.shape[0] for i in inputs if i.shape and i.shape[0]}
    rest = {i.name: read_whole(block.arrays[i.name]) for i in inputs if i.name not in sizes}
    if not sizes:
        yield rest, 1, None
        return
    rows = _common_fixed_batch(inputs)
    lengths = {name: -(-block.arrays[name].shape[0] // size) for name, size in sizes.items()}
    _equal_lengths(lengths, block.origin, "feeds")
    for pieces in _zip_pieces({name: read_rows(block.arrays[name], size) for name, size in sizes.items()}):
        samples = len(next(iter(pieces.values()))) if rows else 1
        yield {**{name: _fill(piece, sizes[name]) for name, piece in pieces.items()}, **rest}, samples, rows


def _fill(piece: NDArray[Any], rows: int) -> NDArray[Any]:
    missing = rows - len(piece)
    return piece if missing == 0 else np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)])


def _equal_lengths(lengths: dict[str, int], origin: str, unit: str = "entries along the first axis") -> None:
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items()))
        raise DataError(f"{origin}: expected as many {unit} for every input, got {listed}")


def _zip_pieces(pieces: dict[str, Iterator[NDArray[Any]]]) -> Iterator[Feeds]:
    for values in zip(*pieces.values(), strict=True):
        yield dict(zip(pieces, values, strict=True))


def shorten(batch: Batch, inputs: tuple[ModelInput, ...], limit: int | None) -> Batch:
    """Return a batch without the samples behind the first `limit`; feeds without an axis for samples stay whole."""
    if limit is None or batch.samples <= limit or batch.rows is None:
        return batch
    free = {i.name for i in inputs if i.shape is None or i.shape[0] is None}
    free = {n for n in free if batch.feeds[n].ndim and len(batch.feeds[n]) == batch.rows}
    if free:
        feeds = {name: array[:limit] if name in free else array for name, array in batch.feeds.items()}
    else:
        constant = {i.name for i in inputs if i.shape is None}
        feeds = {n: a if n in constant else _fill(a[:limit], batch.rows) for n, a in batch.feeds.items()}
    labels = None if batch.labels is None else batch.labels[:limit]
    return replace(batch, feeds=feeds, samples=limit, rows=limit if free else batch.rows, labels=labels)
