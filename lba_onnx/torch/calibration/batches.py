"""The batches of a loader, as arrays that can be hashed and cut by sample, and as what the model is called with.

loader yields                     model is called with          labels
tensor                            model(tensor)
(input,) or (input, labels)       model(input)                  kept for a metric
input a tuple: ((a, b), labels)   model(a, b)                   kept for a metric
{"ids": ..., "labels": ...}       model(ids=...)                "label" and "labels" are kept for a metric
anything, with `forward`          forward(model, batch)         part of the batch
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from lba_onnx.data.batches import Batch
from lba_onnx.data.blocks import LABEL_NAMES
from lba_onnx.data.inputs import ModelInput, check_feeds
from lba_onnx.errors import DataError, LbaError
from lba_onnx.integers import as_count
from lba_onnx.torch.calibration.structure import Arrays, like, put_together, take_apart

Forward = Callable[[nn.Module, Any], Any]
"""Called with a model and a batch as the loader yields it; returns the model's outputs."""

_FORMS = "a tensor, (input,), (input, labels), a dictionary of keyword arguments, or anything together with `forward`"


@dataclass(frozen=True, eq=False)
class Batches:
    """Batches of samples for a PyTorch model, and how it runs on them.

    Attributes:
        loader: A DataLoader or another iterable of batches. A batch is a tensor; (input,) or (input, labels), where the
            input may be a tuple of several; or a dictionary of keyword arguments, where "label" and "labels" are no
            arguments. With `forward`, batches may have any form made of tensors, NumPy arrays (handed on as tensors),
            numbers, strings, tuples, lists and mappings (handed on as dictionaries).
        max_samples: Where to stop; None for the end of the data.
        forward: Runs a model on a batch, `forward(model, batch)`, and returns the outputs; None to call the model.

    Raises:
        TypeError: max_samples is no integer.
        ValueError: max_samples is below 1.
    """

    loader: Iterable[Any]
    _: KW_ONLY
    max_samples: int | None = None
    forward: Forward | None = None

    def __post_init__(self) -> None:
        """Check the number."""
        if self.max_samples is not None:
            as_count("max_samples", self.max_samples)

    @staticmethod
    def of(data: "Batches | Iterable[Any]") -> "Batches":
        """Return batches as they are, and a plain loader as batches."""
        return data if isinstance(data, Batches) else Batches(data)

    def count(self) -> int | None:
        """Return how many samples a DataLoader with a sampler of known length has; None for others."""
        loader: Any = self.loader
        try:
            count = len(loader.sampler)
        except (AttributeError, TypeError):
            return None
        if loader.batch_sampler is None:  # what the sampler counts are whole batches
            return None
        return count if self.max_samples is None else min(count, self.max_samples)


class BatchReader:
    """Reads batches once.

    Attributes:
        first: The first batch.
        inputs: What the batches hold, by name; all have the same.
    """

    def __init__(self, batches: Batches, with_labels: bool) -> None:
        """Read the first batch.

        Args:
            batches: The batches.
            with_labels: Whether labels are kept, for a metric.

        Raises:
            DataError: There is no batch, or it has another form.
        """
        self._forward = batches.forward
        self._with_labels = with_labels and batches.forward is None
        self._form: Any = None
        self._labels_form: Any = None
        self._batches = self._read(_iterate(batches.loader), batches.max_samples)
        first = next(self._batches, None)
        if first is None:
            raise DataError("expected at least one sample, got none")
        self.first = first
        self.inputs = tuple(_describe(name, array) for name, array in first.feeds.items())
        self._batches = itertools.chain([first], self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; DataError where one has another form than the first."""
        for batch in self._batches:
            check_feeds(self.inputs, batch.feeds, batch.origin)
            yield batch

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """Return what the model makes of a batch.

        Raises:
            DataError: It does not run on it.
        """
        fed = put_together(self._form, batch.feeds)
        try:
            return _call(model, fed) if self._forward is None else self._forward(model, fed)
        except LbaError:
            raise
        except Exception as error:  # whatever the user's model raises
            raise DataError(f"{batch.origin}: the model does not run on these data: {error}") from error

    def restore(self, batch: Batch) -> Any:
        """Return a batch as the loader yields it; mappings as dictionaries."""
        fed = put_together(self._form, batch.feeds)
        if self._labels_form is None or batch.labels is None:
            return fed
        name, kind, form = self._labels_form
        labels = put_together(form, {name: batch.labels})
        return {**fed, name: labels} if issubclass(kind, Mapping) else like(kind, [fed, labels])

    def _read(self, raw_batches: Iterable[Any], max_samples: int | None) -> Iterator[Batch]:
        remaining = max_samples
        for index, raw in enumerate(raw_batches):
            batch = self._take_apart(raw, f"batch {index}")
            if batch.samples == 0:
                continue
            batch = _shorten(batch, remaining)
            yield batch
            remaining = None if remaining is None else remaining - batch.samples
            if remaining is not None and remaining <= 0:
                return

    def _take_apart(self, raw: Any, origin: str) -> Batch:
        fed, labels = (raw, None) if self._forward is not None else _split_labels(raw, origin)
        feeds: Arrays = {}
        try:
            self._form = take_apart(fed, "", feeds)
            own = self._take_labels(raw, labels) if self._with_labels and labels is not None else None
        except DataError as error:
            raise DataError(f"{origin}: {error}") from None
        lengths = {len(array) for array in feeds.values() if array.ndim}
        if not lengths:
            raise DataError(f"{origin}: expected {_FORMS}, got no tensor")
        rows = lengths.pop() if len(lengths) == 1 else None
        if own is not None and (own.ndim == 0 or len(own) != rows):
            raise DataError(f"{origin}: expected a label per sample, got {list(own.shape)} for {rows} samples")
        samples = rows if rows is not None else len(next(array for array in feeds.values() if array.ndim))
        return Batch(feeds, samples, rows or None, own, origin)

    def _take_labels(self, raw: Any, labels: tuple[str, Any]) -> NDArray[Any]:
        name, value = labels
        arrays: Arrays = {}
        form = take_apart(value, name, arrays)
        if set(arrays) != {name}:
            raise DataError(
                f"{name}: expected labels as one tensor with an entry per sample, got {type(value).__name__}; "
                "with `forward`, a metric gets whole batches of any form"
            )
        self._labels_form = name, type(raw), form
        return arrays[name]


def _iterate(loader: Any) -> Iterable[Any]:
    if isinstance(loader, (Tensor, Mapping, str)) or not isinstance(loader, Iterable):
        kind = type(loader).__name__
        raise DataError(f"expected a DataLoader or an iterable of batches such as [batch], got {kind}")
    return loader


def _describe(name: str, array: NDArray[Any]) -> ModelInput:
    return ModelInput(name, None if array.dtype.kind == "U" else array.dtype.name, None)


def _split_labels(raw: Any, origin: str) -> tuple[Any, tuple[str, Any] | None]:
    """Return what the model is fed, and the labels with what they are called; None without."""
    if isinstance(raw, Mapping):
        found = [name for name in LABEL_NAMES if name in raw]
        fed = {name: value for name, value in raw.items() if name not in found}
        return fed, (found[0], raw[found[0]]) if found else None
    if isinstance(raw, (tuple, list)):
        if not 1 <= len(raw) <= 2:
            raise DataError(f"{origin}: expected {_FORMS}, got a {type(raw).__name__} of {len(raw)}")
        return raw[0], ("labels", raw[1]) if len(raw) == 2 else None
    return raw, None


def _call(model: nn.Module, fed: Any) -> Any:
    if isinstance(fed, Mapping):
        return model(**fed)
    return model(*fed) if isinstance(fed, (tuple, list)) else model(fed)


def _shorten(batch: Batch, limit: int | None) -> Batch:
    """Leave out the samples behind the first `limit`; a batch without one axis for samples stays whole."""
    if limit is None or batch.samples <= limit or batch.rows is None:
        return batch
    feeds = {name: array[:limit] if array.ndim else array for name, array in batch.feeds.items()}
    labels = None if batch.labels is None else batch.labels[:limit]
    return replace(batch, feeds=feeds, samples=limit, rows=limit, labels=labels)
