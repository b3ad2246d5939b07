"""Dual-stage fine-tuning: first without underflow, then with it.

    step            0 ........ lengths[0] ........ lengths[0] + lengths[1]
    underflow       off        on                  on
    learning rate   cosine decay, then again from  its end

A weight whose products always underflow gets a gradient that says nothing about it, and stays where it is. So the first
stage trains with underflow off, and the second, shorter one gets the model used to what underflow takes away
(Blumenfeld, Hubara, Soudry, ICLR 2024, dual-stage fine-tuning).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lba_onnx.integers import as_integer
from lba_onnx.torch.layers.quantize import set_underflow_
from lba_onnx.torch.layers.sites import require_sites

DEFAULT_RATIO = (3, 1)
"""How a run is divided where only its whole length is known: three quarters without underflow."""


@dataclass(frozen=True)
class Stages:
    """The two stages of a run, by the number of steps done: which one it is in, and its learning rate there.

    Attributes:
        lengths: Steps of each stage; one may be 0.
        factors: The learning rate at the start of each stage, as a multiple of the optimizer's.
        final_factor: Share of a stage's first learning rate to which it decays, 0 to 1.

    Raises:
        TypeError: A length is not an integer.
        ValueError: A length is negative or both are 0, or a factor is out of range.
    """

    lengths: tuple[int, int]
    factors: tuple[float, float] = (1.0, 1.0)
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        """Check the fields."""
        for name in ("lengths", "factors"):
            if len(getattr(self, name)) != 2:
                raise ValueError(f"expected {name} of two stages, got {getattr(self, name)!r}")
        lengths = tuple(as_integer("the length of a stage", length) for length in self.lengths)
        if min(lengths) < 0 or sum(lengths) == 0:
            raise ValueError(f"expected two lengths of at least 0 and not both 0, got {lengths}")
        object.__setattr__(self, "lengths", lengths)
        if not all(0 < factor < math.inf for factor in self.factors):
            raise ValueError(f"expected factors above 0, got {self.factors!r}")
        if not 0 <= self.final_factor <= 1:
            raise ValueError(f"expected a final_factor from 0 to 1, got {self.final_factor!r}")

    @classmethod
    def divide(
        cls,
        steps: int,
        ratio: tuple[float, float] = DEFAULT_RATIO,
        factors: tuple[float, float] = (1.0, 1.0),
        final_factor: float = 0.0,
    ) -> "Stages":
        """Divide a run of so many steps in a ratio.

        Raises:
            TypeError: `steps` is not an integer.
            ValueError: The ratio has a negative part or none above 0, there are no steps, or a factor is out of range.
        """
        if len(ratio) != 2 or min(ratio) < 0 or not 0 < sum(ratio) < math.inf:
            raise ValueError(f"expected a ratio of two stages such as (3, 1), got {ratio!r}")
        first = round(as_integer("steps", steps) * ratio[0] / sum(ratio))
        return cls((first, steps - first), factors, final_factor)

    def stage(self, step: int) -> int:
        """Return 1 or 2 for the stage in which a step lies, the first step being 0; 2 after the end."""
        return 1 if step < self.lengths[0] else 2

    def factor(self, step: int) -> float:
        """Return the learning rate of a step as a multiple of the optimizer's; after the end, that of the end."""
        stage = self.stage(step)
        start = 0 if stage == 1 else self.lengths[0]
        length = self.lengths[stage - 1]
        progress = min(1.0, (step - start) / length) if length else 1.0
        cosine = (1.0 + math.cos(math.pi * progress)) / 2.0
        return self.factors[stage - 1] * (self.final_factor + (1.0 - self.final_factor) * cosine)


class DualStage(LRScheduler):
    """A learning-rate scheduler that also switches the model's underflow: off in stage 1, on in stage 2 and after it.

    It is used as PyTorch's schedulers are: in a plain loop with `step()` once an epoch (or, with `steps_per_epoch`,
    after each step of the optimizer), returned from Lightning's `configure_optimizers`, or given to Hugging Face's
    `Trainer` as `optimizers=(optimizer, schedule)`. Making one switches underflow off at once. `state_dict` holds the
    position, so that a new schedule with the same arguments goes on from there; the states of optimizer and model are
    saved as usual.

    When it helps: where much underflows, so that weights are stuck under underflow from the start; most of all in
    training from scratch with the estimator "immediate_difference", which does not start at all otherwise. Where
    underflow is mild it changes little, in either direction. When it hurts: with a small learning rate in stage 2. That
    stage has to move weights, not to polish them, so its learning rate starts where that of stage 1 did unless
    `factors` says otherwise; a tenth of it can cost more than everything that stage 1 gained. Half to three quarters of
    the epochs are well spent in stage 1. Figures measured in stage 1 are those of a model without underflow: choose the
    best epoch among those of stage 2.

    Example:
        >>> schedule = DualStage(model, optimizer, stage_epochs=(6, 2))
        >>> for epoch in range(8):
        ...     train_one_epoch(model, optimizer)
        ...     schedule.step()

    Args:
        model: A converted model; all its sites are switched.
        optimizer: Its learning rates, those of each parameter group, are the ones that `factors` multiplies.
        stage_epochs: Epochs of stage 1 and of stage 2. With (0, n) underflow is on from the start; with (n, 0) it is
            switched on at the end, and the model has never trained with it.
        factors: The learning rate at the start of each stage, as a multiple of the optimizer's.
        final_factor: Share of a stage's first learning rate to which it decays.
        steps_per_epoch: How often `step` is called in an epoch.

    Raises:
        TypeError: The optimizer is none, or a length is not an integer.
        ValueError: A length is negative or both are 0, or a factor is out of range.
        ModelError: The model has no sites.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        stage_epochs: tuple[int, int],
        *,
        factors: tuple[float, float] = (1.0, 1.0),
        final_factor: float = 0.0,
        steps_per_epoch: int = 1,
    ) -> None:
        if as_integer("steps_per_epoch", steps_per_epoch) < 1:
            raise ValueError(f"expected steps_per_epoch of at least 1, got {steps_per_epoch}")
        Stages(stage_epochs, factors, final_factor)  # judges the epochs as they were given
        first, second = (as_integer("epochs", epochs) * steps_per_epoch for epochs in stage_epochs)
        self.stages = Stages((first, second), factors, final_factor)
        require_sites(model)  # before the optimizer is touched
        self.model = model
        super().__init__(optimizer)

    @property
    def stage(self) -> int:
        """1 or 2; 2 after the end."""
        return self.stages.stage(self.last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each parameter group at the present position."""
        factor = self.stages.factor(self.last_epoch)
        return [base * factor for base in self.base_lrs]

    def step(self, epoch: int | None = None) -> None:
        """Go one step on: set the learning rates, and the underflow of the stage."""
        super().step(epoch)
        set_underflow_(self.model, self.stage == 2)

    def move_to(self, step: int) -> None:
        """Take up the position after so many steps, whatever was before."""
        self.last_epoch = step
        self._last_lr = self.get_lr()
        set_learning_rates(self.optimizer, self._last_lr)
        set_underflow_(self.model, self.stage == 2)

    def state_dict(self) -> dict[str, Any]:
        """Return the position and the optimizer's first learning rates, in plain types."""
        return {key: value for key, value in super().state_dict().items() if key not in ("model", "stages")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved position: learning rates and underflow are set too. The stages remain this schedule's."""
        super().load_state_dict(dict(state_dict))
        self.move_to(self.last_epoch)


def set_learning_rates(optimizer: Optimizer, learning_rates: list[float | Tensor]) -> None:
    """Set the learning rate of each parameter group; one that is a tensor stays the same tensor."""
    for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate
