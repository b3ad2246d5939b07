"""What the accumulators do to training: gated gradients, overflow, underflow and swamping of each site, while it runs.

    with GatingMonitor(model, every=100) as monitor:
        train(model)                     # ordinary training; every 100th forward is looked into
        print(monitor.report())

A step is a forward of the model in training mode with gradients on. Looking into one costs about as much as its forward
again, or more; the steps between cost nothing.
"""

import functools
import warnings
from typing import Any
from uuid import uuid4

import torch
from torch import Tensor, nn

from lba_onnx import native
from lba_onnx.errors import ModelError
from lba_onnx.torch.layers.sites import LbaSite, lba_sites, require_sites
from lba_onnx.torch.operators.gating import GatedProducts, close_gating, open_gating, read_gating
from lba_onnx.torch.training.gating_report import GatingReport, SiteGating
from lba_onnx.torch.training.nonzero import count_nonzero, count_products

DEFAULT_SAMPLED_FRACTION = 1 / 16


class GatedGradientsWarning(UserWarning):
    """All gradients of a module are gated: it cannot learn."""


class GatingMonitor:
    """Counts, at every n-th training step, what becomes of products, sums and gradients at each site.

    It warns (`GatedGradientsWarning`, once for each site) when all products of a site that could carry a gradient are
    gated. Each process of distributed training has its own.

    Attributes:
        steps: Training steps seen since it was opened.
    """

    def __init__(self, model: nn.Module, every: int = 100, sampled_fraction: float = DEFAULT_SAMPLED_FRACTION) -> None:
        """Prepare a monitor; nothing is counted before it is opened, by `with` or by `open`.

        Args:
            model: The converted model whose forward is a training step, possibly inside DistributedDataParallel.
            every: Every how many steps to look into one, beginning with the first.
            sampled_fraction: Share of the rows or output positions from which rates are taken, in (0, 1]; shares of
                gated products come from all.

        Raises:
            ModelError: The model has no sites.
            ValueError: `every` is below 1, or `sampled_fraction` not in (0, 1].
        """
        if every < 1:
            raise ValueError(f"expected every to be at least 1, got {every}")
        if not 0 < sampled_fraction <= 1:
            raise ValueError(f"expected sampled_fraction in (0, 1], got {sampled_fraction}")
        require_sites(model)
        self.steps = 0
        self._model = model
        self._every = every
        self._sampled_fraction = sampled_fraction
        self._run = ""
        self._sampled_steps = 0
        self._handles: list[Any] = []
        self._warned: set[str] = set()
        self._at_last_check: dict[str, GatedProducts] = {}
        self._forward_products: dict[str, tuple[int, int]] = {}

    def open(self) -> None:
        """Begin to count.

        Raises:
            ModelError: This monitor is open, or another on the same model.
        """
        if any(isinstance(getattr(hook, "__self__", None), GatingMonitor) for hook in self._pre_hooks()):
            raise ModelError("expected a model without an open GatingMonitor; close that first")
        self._run = f"gating-{uuid4().hex}"
        self.steps = self._sampled_steps = 0
        self._at_last_check.clear()
        self._forward_products.clear()
        native.statistics_open(self._run, self._sampled_fraction)
        open_gating(self._run)
        self._handles = [self._model.register_forward_pre_hook(self._begin_step)]
        for name, site in lba_sites(self._model).items():
            self._handles.append(site.register_forward_hook(functools.partial(self._after_site, name)))

    def close(self) -> None:
        """Stop counting, and forget what was counted; nothing happens when the monitor is not open."""
        if not self._run:
            return
        try:
            self._warn_if_gated()
        finally:  # a warning may be an error
            for handle in self._handles:
                handle.remove()
            self._set_keys(False)
            native.statistics_close(self._run)
            close_gating(self._run)
            self._run = ""

    def report(self) -> GatingReport:
        """Return what has been counted since the monitor was opened.

        Raises:
            ModelError: The monitor is not open.
        """
        if not self._run:
            raise ModelError("expected an open GatingMonitor; use it by `with`, or call open() first")
        self._warn_if_gated()
        rows = tuple(self._row(name, site) for name, site in lba_sites(self._model).items())
        return GatingReport(self.steps, self._sampled_steps, rows)

    def __enter__(self) -> "GatingMonitor":
        """Open the monitor."""
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "GatingMonitor":
        """Stay with the model it was made for when that is copied; the copy is not counted."""
        return self

    def _pre_hooks(self) -> list[Any]:
        return list(self._model._forward_pre_hooks.values())

    def _begin_step(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module is not self._model:
            return
        is_step = module.training and torch.is_grad_enabled()
        is_sampled = is_step and self.steps % self._every == 0
        self._warn_if_gated()
        self._set_keys(is_sampled)
        self.steps += is_step
        self._sampled_steps += is_sampled

    def _set_keys(self, is_sampled: bool) -> None:
        for name, site in lba_sites(self._model).items():
            site.statistics = self._key(name) if is_sampled else ""

    def _key(self, name: str) -> str:
        return f"{self._run}/{name or 'model'}"

    def _after_site(self, name: str, site: LbaSite, operands: tuple[Tensor, ...], result: Tensor) -> None:
        if site.statistics != self._key(name) or site.estimator == "identity":
            return
        nonzero, products = self._forward_products.get(name, (0, 0))
        counts = count_nonzero(site, operands), count_products(site, operands, result)
        self._forward_products[name] = nonzero + counts[0], products + counts[1]

    def _warn_if_gated(self) -> None:
        """Warn of sites with all their gradients gated since the last look."""
        sites = lba_sites(self._model)
        for name, (nonzero, products) in self._forward_products.items():
            now, before = read_gating(self._key(name)), self._at_last_check.get(name, GatedProducts())
            gated, backward_products = now.gated - before.gated, now.products - before.products
            self._at_last_check[name] = now
            able = nonzero if sites[name].estimator == "immediate_difference" else products
            is_all = gated > 0 and gated * products >= able * backward_products  # a recomputed forward counts twice
            if is_all and name not in self._warned:
                self._warned.add(name)
                warnings.warn(_warning(name, sites[name]), GatedGradientsWarning, stacklevel=2)
        self._forward_products.clear()

    def _row(self, name: str, site: LbaSite) -> SiteGating:
        seen, gating = native.statistics_read(self._key(name)), read_gating(self._key(name))
        return SiteGating.of(name, site.spec, site.estimator, gating, seen)


def _warning(name: str, site: LbaSite) -> str:
    if site.estimator == "immediate_difference":
        advice = "train with underflow off first (set_underflow_), or give its formats a larger exponent bias"
    else:
        advice = "its sums overflow throughout: give its formats a smaller exponent bias"
    return f"module {name!r} ({site.spec}, {site.estimator}): all its gradients are gated, so it cannot learn; {advice}"
