"""Cuts blocks of samples into feeds of the size that the model takes.

    every array one axis more than its input   -> one feed per entry of the first axis
    inputs whose first axis is free            -> batch_size entries at a time (a single feed is left as it is)
    inputs whose first axis is fixed           -> that many at a time when no input is free
    scalars, and inputs that are shared        -> the same in every feed (`sharing`)

A last batch shorter than a fixed first axis is filled up with its last sample; `Batch.samples` says how many count.
Feeds of a model with an input that is no tensor stay whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.data.arrays import Rows, read_rows, read_whole
from lba_onnx.data.batch import Batch
from lba_onnx.data.blocks import Block, to_values
from lba_onnx.data.finite import check_finite
from lba_onnx.data.hooks import function_name
from lba_onnx.data.inputs import Feeds, ModelInput, check_feeds, check_names
from lba_onnx.data.language_inputs import with_language_inputs
from lba_onnx.data.samples import Preprocess, Samples
from lba_onnx.data.sharing import Sharing
from lba_onnx.errors import DataError

_HINT = "; what is the same for every sample is named by shared_inputs"

_Piece = tuple[Feeds, int, int | None]
"""A feed, its samples, and its rows as `Batch` has them."""


class Cutter:
    """Cuts blocks, all in the same way."""

    def __init__(self, inputs: tuple[ModelInput, ...], samples: Samples) -> None:
        unknown = set(samples.shared_inputs) - {i.name for i in inputs} if samples.preprocess is None else set()
        if unknown:
            listed = ", ".join(i.name for i in inputs)
            raise ValueError(f"expected shared_inputs out of the model's inputs, {listed}, got {min(unknown)!r}")
        self._inputs = inputs
        self._batch_size = samples.batch_size
        self._preprocess = samples.preprocess
        self._sharing = Sharing(inputs, samples.shared_inputs)

    def cut(self, block: Block) -> Iterator[Batch]:
        """Yield the batches of a block."""
        if self._preprocess is None:
            yield from self._cut(block)
            return
        of_samples = [i for i in self._inputs if i.name not in self._sharing.named]
        for raw in self._cut_raw(block, _common_fixed_batch(of_samples) or self._batch_size):
            yield from self._cut_processed(raw, self._preprocess)

    def _cut_raw(self, block: Block, rows: int) -> Iterator[Block]:
        """Cut arrays of which only the data know the names, along their first axes."""
        if not block.is_stacked:
            yield block
            return
        whole = {n: read_whole(a) for n, a in block.arrays.items() if a.ndim == 0 or n in self._sharing.named}
        cut = {name: array for name, array in block.arrays.items() if name not in whole}
        _equal_lengths({name: array.shape[0] for name, array in cut.items()}, block.origin)
        start = 0
        for arrays in _zip_pieces({name: read_rows(array, rows) for name, array in cut.items()}):
            count = len(next(iter(arrays.values())))
            labels = None if block.labels is None else block.labels[start : start + count]
            yield Block({**arrays, **whole}, labels, True, block.source, start)
            start += count

    def _cut_processed(self, raw: Block, preprocess: Preprocess) -> Iterator[Batch]:
        """Let a user's function make the inputs; errors in what it returns name it."""
        returned = preprocess(dict(raw.arrays))
        try:
            if not isinstance(returned, Mapping):
                raise DataError(f"expected a mapping of input names to arrays, got {type(returned).__name__}")
            for batch in self._cut(replace(raw, arrays=to_values(returned, self._inputs))):
                check_finite(batch)
                yield batch
        except DataError as error:
            raise DataError(f"{function_name(preprocess)} returned what does not fit: {error}") from None

    def _cut(self, block: Block) -> Iterator[Batch]:
        """Yield the batches of one block, each with its share of the labels."""
        block = replace(block, arrays=with_language_inputs(block.arrays, self._inputs, block.origin))
        check_names(self._inputs, block.arrays, block.origin)
        start = 0
        shared, pieces = self._pieces(block)
        for feeds, samples, rows in pieces:
            labels = None
            if block.labels is not None:
                labels = block.labels[start : start + samples]
                if len(labels) != samples:
                    raise DataError(f"{block.origin}: expected a label per sample, got {len(block.labels)} labels")
            first = block.start + start if block.is_stacked or start else None
            batch = Batch(feeds, samples, rows, labels, block.source, first, shared)
            check_feeds(self._inputs, feeds, batch.origin)
            yield batch
            start += samples
        if block.labels is not None and start != len(block.labels):
            raise DataError(f"{block.origin}: expected {start} labels, one per sample, got {len(block.labels)}")

    def _pieces(self, block: Block) -> tuple[frozenset[str], Iterator[_Piece]]:
        """Return the names of the shared inputs, and the feeds."""
        if not all(i.is_tensor for i in self._inputs):
            return frozenset(), iter([(block.arrays, 1, None)])
        shared = self._sharing.find(block.arrays, block.is_stacked, block.origin)
        roles = {i.name: "shared" if i.name in shared else _role(i, block.arrays[i.name]) for i in self._inputs}
        present = set(roles.values())
        if "stacked" in present and not present & {"fixed", "free"}:
            return shared, _cut_stacked(block, roles)
        for model_input in self._inputs:  # before anything large is read
            check_shape(model_input, block.arrays[model_input.name], block.origin)
        if "free" not in present and "fixed" not in present:
            roles = {name: "free" if role == "unknown" else role for name, role in roles.items()}
        if "free" in roles.values():
            return shared, _cut_free(block, roles, self._batch_size)
        return shared, _cut_fixed(block, self._inputs, roles)


def _common_fixed_batch(inputs: Iterable[ModelInput]) -> int | None:
    sizes = {i.shape[0] for i in inputs if i.shape is not None}
    return sizes.pop() if len(sizes) == 1 else None


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
    cut = {name for name, role in roles.items() if role not in ("constant", "shared")}
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


def _cut_fixed(block: Block, inputs: tuple[ModelInput, ...], roles: dict[str, str]) -> Iterator[_Piece]:
    fixed = [i for i in inputs if roles[i.name] == "fixed"]
    sizes = {i.name: i.shape[0] for i in fixed if i.shape and i.shape[0]}
    rest = {i.name: read_whole(block.arrays[i.name]) for i in inputs if i.name not in sizes}
    if not sizes:
        yield rest, 1, None
        return
    rows = _common_fixed_batch(fixed)
    lengths = {name: -(-block.arrays[name].shape[0] // size) for name, size in sizes.items()}
    _equal_lengths(lengths, block.origin, "feeds")
    for pieces in _zip_pieces({name: read_rows(block.arrays[name], size) for name, size in sizes.items()}):
        samples = len(next(iter(pieces.values()))) if rows else 1
        yield {**{name: fill(piece, sizes[name]) for name, piece in pieces.items()}, **rest}, samples, rows


def fill(piece: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return rows with the last one repeated until there are so many."""
    missing = rows - len(piece)
    return piece if missing == 0 else np.concatenate([piece, np.repeat(piece[-1:], missing, axis=0)])


def _equal_lengths(lengths: dict[str, int], origin: str, unit: str = "entries along the first axis") -> None:
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in sorted(lengths.items()))
        raise DataError(f"{origin}: expected as many {unit} for every input, got {listed}{_HINT}")


def _zip_pieces(pieces: dict[str, Iterator[NDArray[Any]]]) -> Iterator[Feeds]:
    for values in zip(*pieces.values(), strict=True):
        yield dict(zip(pieces, values, strict=True))
