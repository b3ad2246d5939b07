"""Callbacks for Lightning and for Hugging Face's Trainer: dual-stage fine-tuning, and the gating monitor's report.

    lightning.Trainer(callbacks=[lightning_dual_stage((3, 1)), lightning_gating()])
    transformers.Trainer(..., callbacks=[trainer_dual_stage((3, 1)), trainer_gating()])

Neither package is imported before one of these functions is called, and the classes of the callbacks are made then.
"""

import importlib
import logging
import sys
from typing import Any

from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from lba_onnx.errors import ModelError
from lba_onnx.torch.layers.quantize import set_underflow_
from lba_onnx.torch.training.dual_stage import DEFAULT_RATIO, DualStage, Stages, set_learning_rates
from lba_onnx.torch.training.gating_report import GatingReport
from lba_onnx.torch.training.monitor import GatingMonitor

_logger = logging.getLogger(__name__)


def lightning_dual_stage(
    ratio: tuple[float, float] = DEFAULT_RATIO,
    *,
    factors: tuple[float, float] = (1.0, 1.0),
    final_factor: float = 0.0,
) -> Any:
    """Return a Lightning callback that divides a run into two stages, as `DualStage` does, step by step.

    It sets the learning rates itself, so the module's `configure_optimizers` returns one optimizer and no scheduler.
    Where Lightning's monitor of learning rates is to see them, return a `DualStage` from there instead of using the
    callback. A resumed run goes on where it was. At the end of training, an early one too, underflow is on.

    Args:
        ratio: Lengths of both stages, as parts of the run.
        factors: The learning rate at the start of each stage, as a multiple of the optimizer's.
        final_factor: Share of a stage's first learning rate to which it decays.

    Returns:
        A `Callback` of the package lightning, or of pytorch_lightning where only that is imported or installed.

    Raises:
        ImportError: Neither package is installed.
        ValueError: The ratio or a factor is out of range; when training starts: the run's length is not known, or the
            module has a scheduler or not exactly one optimizer.
        ModelError: When training starts: the model has no sites.
    """
    Stages.divide(1, ratio, factors, final_factor)  # a wrong argument is an error here, not when training starts
    settings = {"ratio": ratio, "factors": factors, "final_factor": final_factor}
    return _make(_LightningDualStage, _lightning_base(), settings)


def trainer_dual_stage(
    ratio: tuple[float, float] = DEFAULT_RATIO,
    *,
    factors: tuple[float, float] = (1.0, 1.0),
    final_factor: float = 0.0,
) -> Any:
    """Return a callback for Hugging Face's Trainer that divides a run into two stages, as `DualStage` does.

    The Trainer's own learning-rate scheduler follows the two stages from then on, whatever `lr_scheduler_type` and
    warm-up were set to; it has to be one that multiplies the optimizer's learning rate by a function of the step, as
    the Trainer's usual ones do. A resumed run goes on where it was. At the end of training underflow is on.

    Args:
        ratio: Lengths of both stages, as parts of the run.
        factors: The learning rate at the start of each stage, as a multiple of the optimizer's.
        final_factor: Share of a stage's first learning rate to which it decays.

    Returns:
        A `transformers.TrainerCallback`.

    Raises:
        ImportError: The package transformers is not installed.
        ValueError: The ratio or a factor is out of range; when training starts: the scheduler is of another kind.
        ModelError: When training starts: the model has no sites.
    """
    Stages.divide(1, ratio, factors, final_factor)
    settings = {"ratio": ratio, "factors": factors, "final_factor": final_factor}
    return _make(_TrainerDualStage, _trainer_base(), settings)


def lightning_gating(every: int = 100, module: str = "") -> Any:
    """Return a Lightning callback that keeps a `GatingMonitor` open in training and logs its report after each epoch.

    The figures are logged as "gating/<site>/<figure>", as `LightningModule.log_dict` does; the last report stays in the
    callback's `report`.

    Args:
        every: Every how many training steps to look into one.
        module: Name of the submodule that `training_step` calls; "" where it calls the LightningModule itself.

    Raises:
        ImportError: Neither lightning nor pytorch_lightning is installed.
        ModelError: When training starts: there are no sites; after the first batch: the module has not been called.
    """
    return _make(_LightningGating, _lightning_base(), {"every": every, "module": module})


def trainer_gating(every: int = 100) -> Any:
    """Return a callback for Hugging Face's Trainer that keeps a `GatingMonitor` open in training.

    With each of the Trainer's log entries its figures are added to `log_history`, as "gating/<site>/<figure>", and the
    table goes to the Python logger of this module; the last report stays in the callback's `report`.

    Args:
        every: Every how many forward passes to look into one.

    Raises:
        ImportError: The package transformers is not installed.
        ModelError: When training starts: the model has no sites.
    """
    return _make(_TrainerGating, _trainer_base(), {"every": every})


class _Part:
    """What a callback does, before it is joined to a framework's base class. Copies and pickles are made anew."""

    def __init__(self, part: type, base: type, settings: dict[str, Any]) -> None:
        super().__init__()
        self._made_of = (part, base, settings)
        self._settings = settings

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, self._made_of


class _LightningDualStage(_Part):
    _schedule: DualStage

    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        if trainer.lr_scheduler_configs:
            raise ValueError(
                "lightning_dual_stage sets the learning rates: expected configure_optimizers to return no scheduler, "
                f"got {type(trainer.lr_scheduler_configs[0].scheduler).__name__}; return a DualStage from there instead"
            )
        if len(trainer.optimizers) != 1:
            raise ValueError(f"lightning_dual_stage: expected one optimizer, got {len(trainer.optimizers)}")
        steps = trainer.estimated_stepping_batches
        if steps != int(min(steps, sys.maxsize)):
            raise ValueError(
                "lightning_dual_stage: expected a Trainer with max_epochs or max_steps, got an endless run"
            )
        stages = Stages.divide(int(steps), **self._settings)
        self._schedule = DualStage(
            pl_module, trainer.optimizers[0], stages.lengths, factors=stages.factors, final_factor=stages.final_factor
        )

    def on_train_batch_start(self, trainer: Any, pl_module: nn.Module, batch: Any, batch_idx: int) -> None:
        self._schedule.move_to(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        set_underflow_(pl_module, True)


class _TrainerDualStage(_Part):
    _stages: Stages

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        scheduler = objects["lr_scheduler"]
        if not isinstance(scheduler, LambdaLR):
            raise ValueError(
                "trainer_dual_stage: expected the Trainer's scheduler to be a LambdaLR, as lr_scheduler_type='linear' "
                f"makes one, got {type(scheduler).__name__}"
            )
        self._stages = Stages.divide(state.max_steps, **self._settings)
        scheduler.lr_lambdas = [self._stages.factor for _ in scheduler.lr_lambdas]
        factor = self._stages.factor(state.global_step)
        set_learning_rates(objects["optimizer"], [base * factor for base in scheduler.base_lrs])

    def on_step_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        set_underflow_(objects["model"], self._stages.stage(state.global_step) == 2)

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        set_underflow_(objects["model"], True)


class _Gating(_Part):
    """A monitor that is open in training only, and the last report."""

    _monitor: GatingMonitor | None = None
    report: GatingReport | None = None

    def _open(self, model: nn.Module) -> None:
        self._close()
        self._monitor = GatingMonitor(model, self._settings["every"])
        self._monitor.open()

    def _close(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
        self._monitor = None


class _LightningGating(_Gating):
    def on_train_start(self, trainer: Any, pl_module: nn.Module) -> None:
        self._open(pl_module.get_submodule(self._settings["module"]))

    def on_train_batch_end(self, *arguments: Any) -> None:
        if self._monitor is not None and self._monitor.steps == 0:
            raise ModelError(
                "lightning_gating: expected training_step to call "
                f"{self._settings['module'] or 'the LightningModule itself'}, but it has not; name the submodule that "
                "it calls: lightning_gating(module=...)"
            )

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if self._monitor is not None:
            self.report = self._monitor.report()
            pl_module.log_dict(_figures(self.report))

    def on_train_end(self, trainer: Any, pl_module: nn.Module) -> None:
        self._close()

    def on_exception(self, trainer: Any, pl_module: nn.Module, exception: BaseException) -> None:
        self._close()


class _TrainerGating(_Gating):
    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        self._open(objects["model"])

    def on_log(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        if self._monitor is not None:  # evaluation after training logs too
            self.report = self._monitor.report()
            _logger.info("%s", self.report)
            state.log_history[-1].update(_figures(self.report))

    def on_train_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        self._close()


def _figures(report: GatingReport) -> dict[str, float]:
    """Return the shares of a report by "gating/<site>/<figure>", without those that do not exist."""
    return {
        f"gating/{row['name']}/{figure}": share
        for row in report.to_json()["sites"]
        for figure, share in row.items()
        if isinstance(share, float)
    }


def _make(part: type[_Part], base: type, settings: dict[str, Any]) -> Any:
    """Return a callback: a part joined to the base class of its framework."""
    return type(part.__name__.strip("_"), (part, base), {})(part, base, settings)


def _trainer_base() -> Any:
    try:
        return importlib.import_module("transformers").TrainerCallback
    except ModuleNotFoundError as error:
        raise ImportError(
            "trainer callbacks need the package transformers; install it: pip install transformers"
        ) from error


def _lightning_base() -> Any:
    names = ("lightning.pytorch", "pytorch_lightning")
    for name in sorted(names, key=lambda name: name not in sys.modules):  # the one in use first
        try:
            return importlib.import_module(name).Callback
        except ModuleNotFoundError:
            continue
    raise ImportError("lightning callbacks need the package lightning; install it: pip install lightning")
