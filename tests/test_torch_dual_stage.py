import math

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch._dynamo.testing import CompileCounter  # noqa: E402
from torch.optim.lr_scheduler import CosineAnnealingLR  # noqa: E402

from lba_onnx.errors import ModelError  # noqa: E402
from lba_onnx.torch import DualStage, lba_sites, quantize_  # noqa: E402
from lba_onnx.torch.training.dual_stage import Stages  # noqa: E402

pytestmark = pytest.mark.torch

SPEC = "M7E4b12/M7E4b10"


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))
    quantize_(model, SPEC)
    return model


def optimizer_of(model, learning_rate=0.1):
    return torch.optim.SGD(model.parameters(), lr=learning_rate)


def is_underflow_on(model):
    states = {site.spec.underflow for site in lba_sites(model).values()}
    assert len(states) == 1
    return states.pop()


def train_step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 8)).sum().backward()
    optimizer.step()


def run(model, optimizer, schedule, steps):
    """Return the learning rate and the underflow with which each step was made."""
    seen = []
    for _ in range(steps):
        seen.append((optimizer.param_groups[0]["lr"], is_underflow_on(model)))
        train_step(model, optimizer)
        schedule.step()
    return seen


def cosine(length):
    """What PyTorch's own schedule gives for one stage."""
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    schedule = CosineAnnealingLR(optimizer, T_max=length)
    rates = []
    for _ in range(length):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_each_stage_decays_by_a_cosine_of_its_own_and_underflow_comes_on_with_the_second():
    model = network()
    optimizer = optimizer_of(model)
    seen = run(model, optimizer, DualStage(model, optimizer, (6, 2)), 8)
    assert [underflow for _, underflow in seen] == [False] * 6 + [True] * 2
    assert [rate for rate, _ in seen] == pytest.approx(cosine(6) + cosine(2), rel=1e-12)


def test_after_the_end_underflow_stays_on_and_the_rate_where_it_ended():
    model = network()
    optimizer = optimizer_of(model)
    schedule = DualStage(model, optimizer, (2, 1), final_factor=0.25)
    seen = run(model, optimizer, schedule, 6)
    assert [underflow for _, underflow in seen] == [False, False, True, True, True, True]
    assert [rate for rate, _ in seen[3:]] == pytest.approx([0.025] * 3)
    assert schedule.stage == 2
    assert is_underflow_on(model)


def test_steps_per_epoch_lets_the_schedule_follow_the_optimizers_steps():
    model = network()
    optimizer = optimizer_of(model)
    seen = run(model, optimizer, DualStage(model, optimizer, (2, 1), steps_per_epoch=5), 15)
    assert [underflow for _, underflow in seen] == [False] * 10 + [True] * 5
    assert [rate for rate, _ in seen] == pytest.approx(cosine(10) + cosine(5), rel=1e-12)


def test_factors_scale_the_rate_of_each_parameter_group():
    model = network()
    groups = [{"params": model[0].parameters(), "lr": 1.0}, {"params": model[2].parameters(), "lr": 0.01}]
    optimizer = torch.optim.SGD(groups)
    schedule = DualStage(model, optimizer, (1, 1), factors=(2.0, 0.5))
    assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups] == [2.0, 0.02]
    train_step(model, optimizer)
    schedule.step()
    assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups] == [0.5, 0.005]


def test_a_tensor_for_a_learning_rate_stays_that_tensor():
    model = network()
    rate = torch.tensor(0.1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    schedule = DualStage(model, optimizer, (2, 2))
    schedule.move_to(1)
    assert optimizer.param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.05)


@pytest.mark.parametrize("epochs", [(0, 3), (3, 0)])
def test_one_stage_may_be_empty(epochs):
    model = network()
    optimizer = optimizer_of(model)
    seen = run(model, optimizer, DualStage(model, optimizer, epochs), 3)
    assert [underflow for _, underflow in seen] == [epochs[0] == 0] * 3
    assert [rate for rate, _ in seen] == pytest.approx(cosine(3), rel=1e-12)
    assert is_underflow_on(model)


@pytest.mark.parametrize("stop", [1, 4, 5, 8, 9])
def test_a_resumed_schedule_goes_on_as_the_first_would_have(tmp_path, stop):
    model = network()
    optimizer = optimizer_of(model)
    expected = run(model, optimizer, DualStage(model, optimizer, (5, 4)), 10)

    model = network()
    optimizer = optimizer_of(model)
    schedule = DualStage(model, optimizer, (5, 4))
    first = run(model, optimizer, schedule, stop)
    torch.save({"schedule": schedule.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")

    model = network()
    optimizer = optimizer_of(model)
    schedule = DualStage(model, optimizer, (5, 4))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    assert first + run(model, optimizer, schedule, 10 - stop) == expected


def test_a_state_holds_neither_model_nor_optimizer():
    model = network()
    state = DualStage(model, optimizer_of(model), (1, 1)).state_dict()
    assert not {"model", "optimizer", "stages"} & state.keys()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"stage_epochs": (0, 0)}, ValueError, "not both 0"),
        ({"stage_epochs": (-1, 3)}, ValueError, "at least 0"),
        ({"stage_epochs": (1.5, 3)}, TypeError, "to be an integer, got float"),
        ({"stage_epochs": (1, 2, 3)}, ValueError, "expected lengths of two stages"),
        ({"stage_epochs": (1, 1), "factors": (1.0, 0.0)}, ValueError, "expected factors above 0"),
        ({"stage_epochs": (1, 1), "final_factor": 1.5}, ValueError, "final_factor from 0 to 1"),
        ({"stage_epochs": (1, 1), "steps_per_epoch": 0}, ValueError, "steps_per_epoch of at least 1"),
    ],
)
def test_wrong_arguments_are_refused_and_nothing_is_changed(arguments, error, message):
    model = network()
    optimizer = optimizer_of(model)
    with pytest.raises(error, match=message):
        DualStage(model, optimizer, **arguments)
    assert is_underflow_on(model)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_model_without_sites_is_refused():
    model = nn.Linear(3, 3)
    with pytest.raises(ModelError, match="call quantize_"):
        DualStage(model, optimizer_of(model), (1, 1))


@pytest.mark.parametrize(
    ("steps", "ratio", "lengths"), [(8, (3, 1), (6, 2)), (10, (3, 1), (8, 2)), (7, (1, 1), (4, 3)), (5, (0, 1), (0, 5))]
)
def test_a_run_is_divided_in_a_ratio(steps, ratio, lengths):
    assert Stages.divide(steps, ratio).lengths == lengths


@pytest.mark.parametrize("ratio", [(0, 0), (-1, 2), (1, 2, 3), (math.inf, 1), (math.nan, 1)])
def test_a_ratio_of_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match="expected a ratio of two stages"):
        Stages.divide(10, ratio)


def test_compiled_model_is_compiled_once_a_stage():
    torch._dynamo.reset()
    counter = CompileCounter()
    model = network()
    optimizer = optimizer_of(model)
    schedule = DualStage(model, optimizer, (6, 6))
    compiled = torch.compile(model, backend=counter)
    run(compiled, optimizer, schedule, 12)
    assert is_underflow_on(model) and counter.frame_count == 2
