"""What the accumulators do to training: gated gradients, overflow, underflow and swamping of each site, while it runs.

    with GatingMonitor(model, every=100) as monitor:
        train(model)                     # ordinary training; every 100th forward is looked into
        print(monitor.report())

A step is a forward of the model in training mode with gradients on. Looking into one costs about as much as its forward
again, or more; the steps between cost next to nothing: a call of one hook.
"""

import warnings
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from lba_onnx import native
from lba_onnx.errors import ModelError
from lba_onnx.estimators import gating_of
from lba_onnx.torch.layers.sites import LbaSite, lba_sites, require_sites
from lba_onnx.torch.operators.gating import GatedProducts, close_gating, open_gating, read_gating
from lba_onnx.torch.training.gating_report import GatingReport, SiteGating

DEFAULT_SAMPLED_FRACTION = 1 / 16


class GatedGradientsWarning(UserWarning):
    """All gradients of a module are gated: it cannot learn."""


class GatingMonitor:
    """Counts, at every n-th training step, what becomes of products, sums and gradients at each site.

    It warns (`GatedGradientsWarning`, once for each site) when a site's gating leaves nothing of the gradient that came
    to it for its weight; without a weight that asks for a gradient, for its input. Each process of distributed training
    has its own.

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
        self._hook: RemovableHandle | None = None
        self._warned: set[str] = set()
        self._has_keys = False
        self._at_last_check: dict[str, GatedProducts] = {}

    def open(self) -> None:
        """Begin to count.

        Raises:
            ModelError: This monitor is open, or another on the same model.
        """
        if any(self._is_watched_by(hook) for hook in self._model._forward_pre_hooks.values()):
            raise ModelError("expected a model without an open GatingMonitor; close that first")
        self._run = f"gating-{uuid4().hex}"
        self.steps = self._sampled_steps = 0
        self._at_last_check = {}
        native.statistics_open(self._run, self._sampled_fraction)
        open_gating(self._run)
        self._hook = self._model.register_forward_pre_hook(self._begin_step)

    def close(self) -> None:
        """Stop counting, and forget what was counted; nothing happens when the monitor is not open."""
        if not self._run:
            return
        try:
            self._warn_if_gated()
        finally:  # a warning may be an error
            if self._hook is not None:
                self._hook.remove()
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
        gating = read_gating(self._run)
        rows = tuple(self._row(name, site, gating) for name, site in lba_sites(self._model).items())
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle of the model takes along: a monitor that is closed."""
        return {**self.__dict__, "_run": "", "_hook": None}

    def _is_watched_by(self, hook: Any) -> bool:
        """Whether a hook is that of an open monitor of this model; copies of a watched model have it too."""
        monitor = getattr(hook, "__self__", None)
        return isinstance(monitor, GatingMonitor) and monitor._run != "" and monitor._model is self._model

    def _begin_step(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module is not self._model or not self._run:
            return
        is_step = module.training and torch.is_grad_enabled()
        is_sampled = is_step and self.steps % self._every == 0
        self._warn_if_gated()
        if is_sampled or self._has_keys:
            self._set_keys(is_sampled)
        self.steps += is_step
        self._sampled_steps += is_sampled

    def _set_keys(self, is_sampled: bool) -> None:
        """Set or take away the keys of this run; a site with another's, as in an export, keeps it."""
        self._has_keys = is_sampled
        for name, site in lba_sites(self._model).items():
            key = self._key(name)
            if site.statistics in ("", key):
                site.statistics = key if is_sampled else ""
            else:  # its owner may put ours back
                self._has_keys = True

    def _key(self, name: str) -> str:
        return f"{self._run}/{name or 'model'}"

    def _warn_if_gated(self) -> None:
        """Warn of sites with all their gradients gated since the last look."""
        counts, before = read_gating(self._run), self._at_last_check
        self._at_last_check = counts
        blocked = {key for key, now in counts.items() if _is_blocked(now, before.get(key, GatedProducts()))}
        if not blocked:
            return
        for name, site in lba_sites(self._model).items():
            if self._key(name) in blocked and name not in self._warned:
                self._warned.add(name)
                warnings.warn(_warning(name, site), GatedGradientsWarning, stacklevel=2)

    def _row(self, name: str, site: LbaSite, gating: Mapping[str, GatedProducts]) -> SiteGating:
        key = self._key(name)
        counts = gating.get(key, GatedProducts())
        return SiteGating.of(name, site.spec, site.estimator, counts, native.statistics_read(key))


def _is_blocked(now: GatedProducts, before: GatedProducts) -> bool:
    """Whether backward passes between two counts were all blocked, at least one."""
    return now.blocked_passes > before.blocked_passes and now.passes == before.passes


def _warning(name: str, site: LbaSite) -> str:
    gating = gating_of(site.estimator)
    advice = "" if gating is None else f"; {gating.advice}"
    return f"module {name!r} ({site.spec}, {site.estimator}): all its gradients are gated, so it cannot learn{advice}"
