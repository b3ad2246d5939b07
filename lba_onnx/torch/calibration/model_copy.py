"""A copy of the model, with accumulators that stand for float32 at first, on which everything is tried out.

Its sites take part in one run at a time, by their `statistics` keys: one that collects, or one that shows each call to
an observer. The model itself is never run.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import torch
from torch import nn

from lba_onnx import native
from lba_onnx.arithmetic import Accumulator
from lba_onnx.data.batches import Batch
from lba_onnx.data.inputs import ModelInput
from lba_onnx.errors import ModelError
from lba_onnx.torch.calibration.batches import BatchReader
from lba_onnx.torch.layers.attention import LbaAttention
from lba_onnx.torch.layers.candidates import Filter
from lba_onnx.torch.layers.config import LbaConfig
from lba_onnx.torch.layers.quantize import quantize_
from lba_onnx.torch.layers.sites import lba_sites, require_sites


class ModelCopy:
    """The copy, in eval mode.

    Attributes:
        is_converted: Whether the model was converted already: the copy then has its sites, estimators and quantizers.
    """

    def __init__(
        self, model: nn.Module, wide: Accumulator, attention: Sequence[str], filter_fn: Filter | None, bias_start: bool
    ) -> None:
        """Copy and convert the model.

        Args:
            model: The model; it stays as it is.
            wide: The accumulator that stands for float32.
            attention: Attention modules whose products are converted; as `LbaConfig` takes them.
            filter_fn: Selects modules; as `quantize_` takes it.
            bias_start: Whether sums start from biases.

        Raises:
            ModelError: The model cannot be copied, is not on the CPU, or has modules that cannot be converted.
            SelectionError: There is nothing to convert, or a name or pattern selects nothing.
            TypeError: The model is no module.
            ValueError: A model that is converted already is to be converted otherwise.
        """
        self._copy = copy_model(model)
        self._wide = wide
        self.is_converted = bool(lba_sites(self._copy))
        if not self.is_converted:
            quantize_(self._copy, LbaConfig(wide, attention=attention, bias_start=bias_start), filter_fn)
        elif attention or bias_start or filter_fn is not None:
            raise ValueError(
                "expected no attention, bias_start or filter_fn for a model that is converted already: all sites count"
            )
        self._sites = require_sites(self._copy)
        self.set_specs({})

    @property
    def site_names(self) -> tuple[str, ...]:
        """Its sites, in the model's order."""
        return tuple(self._sites)

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """What the batches hold, once the copy is prepared."""
        return self._reader.inputs

    def prepare(self, reader: BatchReader) -> None:
        """Say how batches are run; sites that attention modules show only when they run are looked for.

        Raises:
            DataError: The model does not run on the first batch.
        """
        self._reader = reader
        if any(isinstance(module, LbaAttention) for module in self._copy.modules()):
            self.run(reader.first)
            self._sites = require_sites(self._copy)

    def set_specs(self, specs: Mapping[str, Accumulator]) -> None:
        """Give each site its accumulator; those that are not named get the wide one."""
        for name, site in self._sites.items():
            site.spec = specs.get(name, self._wide)

    def run(self, batch: Batch) -> Any:
        """Return the model's output for a batch; DataError where it does not run on it."""
        return run_model(self._copy, self._reader, batch)

    @contextmanager
    def collecting(
        self, sampled_fraction: float, specs: Mapping[str, Accumulator] | None = None
    ) -> "Iterator[SiteCollector]":
        """Let the sites collect while the block runs.

        Args:
            sampled_fraction: Share of the rows or output positions that histograms and events are taken from.
            specs: The accumulators; None for wide ones.
        """
        self.set_specs(specs or {})
        with self._taking_part(f"collect-{uuid4().hex}") as run:
            native.statistics_open(run, sampled_fraction)
            try:
                yield SiteCollector(self, run, sampled_fraction)
            finally:
                native.statistics_close(run)

    @contextmanager
    def observing(self, observer: native.Observer) -> Iterator[Callable[[Batch], None]]:
        """Let the sites show each call to the observer while the block runs.

        Yields:
            What runs a batch; what the observer raises is raised there.
        """
        self.set_specs({})
        with self._taking_part(f"observe-{uuid4().hex}") as run:
            opened = native.observer_open(run, observer)

            def run_batch(batch: Batch) -> None:
                try:
                    self.run(batch)
                except Exception:
                    error, opened.error = opened.error, None
                    if error is None:
                        raise
                    raise error from None

            try:
                yield run_batch
            finally:
                native.observer_close(run, opened)

    @contextmanager
    def _taking_part(self, run: str) -> Iterator[str]:
        for name, site in self._sites.items():
            site.statistics = f"{run}/{name}"
        try:
            yield run
        finally:
            for site in self._sites.values():
                site.statistics = ""


class SiteCollector:
    """The copy while it collects, as `calibration.subject.Collector` describes it."""

    def __init__(self, model: ModelCopy, run: str, sampled_fraction: float) -> None:
        self._model = model
        self._run = run
        self._sampled_fraction = sampled_fraction

    @property
    def inputs(self) -> tuple[ModelInput, ...]:
        """What the batches hold."""
        return self._model.inputs

    def run(self, batch: Batch) -> None:
        """Run a batch; DataError where the model does not run on it."""
        self._model.run(batch)

    def read_statistics(self) -> dict[str, native.Statistics | None]:
        """Return what each site has seen so far; None for sites that never ran."""
        read = {name: native.statistics_read(f"{self._run}/{name}") for name in self._model.site_names}
        return {name: seen if seen.outputs else None for name, seen in read.items()}

    def forget_largest(self) -> None:
        """Let the largest magnitudes begin anew; all else that was collected stays."""
        for name in self._model.site_names:
            native.statistics_forget_largest(f"{self._run}/{name}")

    def restart(self) -> None:
        """Forget what was collected, and where the sampling had come to."""
        native.statistics_close(self._run)
        native.statistics_open(self._run, self._sampled_fraction)


def copy_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model in eval mode.

    Raises:
        ModelError: It cannot be copied, or is not on the CPU.
        TypeError: It is no module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(model).__name__}")
    elsewhere = {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} - {"cpu"}
    if elsewhere:
        raise ModelError(f"expected a model on cpu, got parameters or buffers on {', '.join(sorted(elsewhere))}")
    try:
        return copy.deepcopy(model).eval()
    except Exception as error:  # whatever the parts of the user's model raise
        raise ModelError(
            f"expected a model that copy.deepcopy can copy, as calibration runs a copy; {type(model).__name__}: {error}"
        ) from error


def run_model(model: nn.Module, reader: BatchReader, batch: Batch) -> Any:
    """Return a model's output for a batch without keeping what gradients need; DataError where it does not run."""
    with torch.no_grad():
        return reader.run(model, batch)
