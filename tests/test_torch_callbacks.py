import copy
import math
import pickle
import sys

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from lba_onnx.errors import ModelError  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    DualStage,
    LbaConfig,
    lba_sites,
    lightning_dual_stage,
    lightning_gating,
    quantize_,
    trainer_dual_stage,
    trainer_gating,
)

pytestmark = pytest.mark.torch

CONFIG = LbaConfig("M7E4b12/M7E4b10", "immediate_overflow")


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    quantize_(model, CONFIG)
    return model


def is_underflow_on(model):
    states = {site.spec.underflow for site in lba_sites(model).values()}
    assert len(states) == 1
    return states.pop()


def expected_steps(first, second):
    """Learning rate and underflow of each step of a run with a rate of 0.1."""
    rates = [0.05 * (1 + math.cos(math.pi * i / n)) for n in (first, second) for i in range(n)]
    return list(zip(rates, [False] * first + [True] * second, strict=True))


def assert_steps(seen, expected):
    assert [rate for rate, _ in seen] == pytest.approx([rate for rate, _ in expected], rel=1e-12, abs=1e-15)
    assert [underflow for _, underflow in seen] == [underflow for _, underflow in expected]


def recorder(model, seen):
    """An optimizer that writes down with which learning rate and underflow each of its steps is made."""

    class Recorder(torch.optim.SGD):
        def step(self, closure=None):
            result = super().step(closure)
            seen.append((float(self.param_groups[0]["lr"]), is_underflow_on(model)))
            return result

    return Recorder(model.parameters(), lr=0.1)


# Lightning

# What the frameworks themselves warn of: what PyTorch has deprecated, and loaders without workers.
in_lightning = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*number of training batches"),
]


def lightning_test(function):
    for mark in in_lightning:
        function = mark(function)
    return function


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def lightning(request, monkeypatch):
    package = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    for other in {"lightning.pytorch", "pytorch_lightning"} - {request.param}:
        monkeypatch.delitem(sys.modules, other, raising=False)
    return package


def lightning_module(lightning, seen, scheduler=None, direct=True):
    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, index):
            return functional.cross_entropy(self(batch[0]) if direct else self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            optimizer = recorder(self, seen)
            return optimizer if scheduler is None else ([optimizer], [scheduler(self, optimizer)])

    return Module()


def lightning_trainer(lightning, folder, callbacks, **settings):
    settings = {"max_epochs": 4, "enable_checkpointing": False, "logger": False, **settings}
    return lightning.Trainer(
        accelerator="cpu",
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def batches():
    torch.manual_seed(1)
    return DataLoader(TensorDataset(torch.randn(12, 8), torch.arange(12) % 3), batch_size=4)


@lightning_test
def test_lightning_runs_both_stages(lightning, tmp_path):
    seen = []
    module = lightning_module(lightning, seen)
    lightning_trainer(lightning, tmp_path, [lightning_dual_stage()]).fit(module, batches())
    assert_steps(seen, expected_steps(9, 3))
    assert is_underflow_on(module)


@lightning_test
def test_lightning_counts_steps_of_the_optimizer(lightning, tmp_path):
    seen = []
    module = lightning_module(lightning, seen)
    trainer = lightning_trainer(lightning, tmp_path, [lightning_dual_stage((1, 1))], accumulate_grad_batches=3)
    trainer.fit(module, batches())
    assert_steps(seen, expected_steps(2, 2))


@lightning_test
def test_lightning_resumes_in_the_middle_of_a_stage(lightning, tmp_path):
    seen = []
    whole = lightning_trainer(lightning, tmp_path, [lightning_dual_stage()])
    whole.fit(lightning_module(lightning, []), batches())
    first = lightning_trainer(lightning, tmp_path, [lightning_dual_stage(), stop_after(lightning, 2)])
    first.fit(lightning_module(lightning, seen), batches())
    first.save_checkpoint(tmp_path / "half.ckpt")
    resumed = lightning_module(lightning, seen)
    second = lightning_trainer(lightning, tmp_path, [lightning_dual_stage()])
    second.fit(resumed, batches(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert_steps(seen, expected_steps(9, 3))
    for name, parameter in whole.lightning_module.state_dict().items():
        assert torch.equal(parameter, resumed.state_dict()[name])


def stop_after(lightning, epochs):
    class StopAfter(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.should_stop = trainer.current_epoch + 1 == epochs

    return StopAfter()


@lightning_test
def test_lightning_stopped_early_ends_with_underflow_on(lightning, tmp_path):
    module = lightning_module(lightning, [])
    callbacks = [lightning_dual_stage(), stop_after(lightning, 1)]
    lightning_trainer(lightning, tmp_path, callbacks).fit(module, batches())
    assert is_underflow_on(module)


@lightning_test
def test_lightning_takes_a_dual_stage_from_configure_optimizers(lightning, tmp_path):
    seen = []
    module = lightning_module(lightning, seen, lambda model, optimizer: DualStage(model, optimizer, (3, 1)))
    lightning_trainer(lightning, tmp_path, []).fit(module, batches())
    each_epoch = expected_steps(3, 1)
    assert_steps(seen, [step for step in each_epoch for _ in range(3)])


@lightning_test
@pytest.mark.parametrize(
    ("scheduler", "settings", "message"),
    [
        (lambda _, optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1), {}, "no scheduler, got StepLR"),
        (None, {"max_epochs": -1}, "got an endless run"),
    ],
)
def test_lightning_says_what_does_not_go_together(lightning, tmp_path, scheduler, settings, message):
    module = lightning_module(lightning, [], scheduler)
    trainer = lightning_trainer(lightning, tmp_path, [lightning_dual_stage()], **settings)
    with pytest.raises(ValueError, match=message):
        trainer.fit(module, batches())


@lightning_test
def test_lightning_logs_what_is_gated(lightning, tmp_path):
    module, callback = lightning_module(lightning, []), lightning_gating(every=2)
    trainer = lightning_trainer(lightning, tmp_path, [callback])
    trainer.fit(module, batches())
    assert (callback.report.steps, callback.report.sampled_steps) == (12, 6)
    assert {row.name for row in callback.report.rows} == {"net.0", "net.2"}
    assert trainer.callback_metrics["gating/net.2/gated"] == 0.0
    assert not module._forward_pre_hooks


@lightning_test
def test_lightning_gating_watches_the_submodule_that_is_called(lightning, tmp_path):
    callback = lightning_gating(module="net")
    module = lightning_module(lightning, [], direct=False)
    lightning_trainer(lightning, tmp_path, [callback]).fit(module, batches())
    assert callback.report.steps == 12
    with pytest.raises(ModelError, match="expected training_step to call the LightningModule itself"):
        lightning_trainer(lightning, tmp_path, [lightning_gating()]).fit(module, batches())
    assert not module._forward_pre_hooks


@lightning_test
@pytest.mark.parametrize("again", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_copies_and_pickles_of_callbacks_are_made_of_the_same_arguments(lightning, again):
    callback = again(lightning_dual_stage((1, 1), final_factor=0.5))
    assert isinstance(callback, lightning.Callback)
    assert callback._settings == {"ratio": (1, 1), "factors": (1.0, 1.0), "final_factor": 0.5}


def test_wrong_arguments_are_refused_when_the_callback_is_made():
    for make in (lightning_dual_stage, trainer_dual_stage):
        with pytest.raises(ValueError, match="expected a ratio of two stages"):
            make((0, 0))
        with pytest.raises(ValueError, match="expected factors above 0"):
            make(factors=(1.0, -1.0))


def test_a_missing_package_is_named(monkeypatch):
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning", "transformers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="pip install lightning"):
        lightning_dual_stage()
    with pytest.raises(ImportError, match="pip install transformers"):
        trainer_gating()


# Hugging Face's Trainer


@pytest.fixture
def transformers():
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    return pytest.importorskip("transformers", reason="transformers is not installed")


class Classifier(nn.Module):
    """A model as the Trainer takes it: named inputs, the loss in the output."""

    def __init__(self):
        super().__init__()
        self.net = network()

    def forward(self, x, labels):
        logits = self.net(x)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


def samples():
    torch.manual_seed(1)
    return [{"x": torch.randn(8), "labels": torch.tensor(i % 3)} for i in range(12)]


def trainer_of(transformers, folder, seen, callbacks=(), scheduler=None, **settings):
    model = Classifier()
    optimizer = recorder(model, seen)
    arguments = transformers.TrainingArguments(
        output_dir=folder,
        num_train_epochs=4,
        per_device_train_batch_size=4,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        max_grad_norm=0.0,
        **{"save_strategy": "no", **settings},
    )
    optimizers = (optimizer, None if scheduler is None else scheduler(model, optimizer))
    return transformers.Trainer(
        model, arguments, train_dataset=samples(), callbacks=list(callbacks), optimizers=optimizers
    )


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant_with_warmup"])
def test_the_trainer_runs_both_stages_whatever_its_scheduler(transformers, tmp_path, kind):
    seen = []
    trainer = trainer_of(transformers, tmp_path, seen, [trainer_dual_stage()], lr_scheduler_type=kind, warmup_steps=2)
    trainer.train()
    assert_steps(seen, expected_steps(9, 3))
    assert is_underflow_on(trainer.model)


def test_the_trainer_logs_the_learning_rates_of_the_stages(transformers, tmp_path):
    trainer = trainer_of(transformers, tmp_path, [], [trainer_dual_stage()])
    trainer.train()
    logged = [entry["learning_rate"] for entry in trainer.state.log_history if "learning_rate" in entry]
    assert logged == pytest.approx([rate for rate, _ in expected_steps(9, 3)], rel=1e-12, abs=1e-15)


def test_the_trainer_resumes_in_the_middle_of_a_stage(transformers, tmp_path):
    whole, seen = [], []
    complete = trainer_of(transformers, tmp_path, whole, [trainer_dual_stage()], save_strategy="steps", save_steps=5)
    complete.train()
    resumed = trainer_of(transformers, tmp_path, seen, [trainer_dual_stage()])
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert_steps(whole, expected_steps(9, 3))
    assert_steps(seen, expected_steps(9, 3)[5:])
    for name, parameter in complete.model.state_dict().items():
        assert torch.equal(parameter, resumed.model.state_dict()[name])


def test_the_trainer_takes_a_dual_stage_as_its_scheduler(transformers, tmp_path):
    seen = []
    trainer = trainer_of(
        transformers, tmp_path, seen, scheduler=lambda model, optimizer: DualStage(model, optimizer, (9, 3)),
        save_strategy="steps", save_steps=5,
    )  # fmt: skip
    trainer.train()
    assert_steps(seen, expected_steps(9, 3))
    again = []
    trainer_of(
        transformers, tmp_path, again, scheduler=lambda model, optimizer: DualStage(model, optimizer, (9, 3))
    ).train(resume_from_checkpoint=str(tmp_path / "checkpoint-5"))
    assert_steps(again, expected_steps(9, 3)[5:])


def test_the_trainers_scheduler_must_be_a_function_of_the_step(transformers, tmp_path):
    trainer = trainer_of(
        transformers, tmp_path, [], [trainer_dual_stage()],
        scheduler=lambda _, optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
    )  # fmt: skip
    with pytest.raises(ValueError, match="expected the Trainer's scheduler to be a LambdaLR, .* got StepLR"):
        trainer.train()


def test_the_trainer_logs_what_is_gated(transformers, tmp_path):
    callback = trainer_gating(every=2)
    trainer = trainer_of(transformers, tmp_path, [], [callback])
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "gating/net.2/gated" in entry]
    assert len(entries) >= 12
    assert (callback.report.steps, callback.report.sampled_steps) == (12, 6)
    assert not trainer.model._forward_pre_hooks
    trainer.evaluate(samples())  # logs without a monitor
