import copy
import os
import socket
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from lba_onnx.estimators import ESTIMATORS  # noqa: E402
from lba_onnx.torch import LbaConfig, lba_sites, quantize_, set_underflow_  # noqa: E402

pytestmark = pytest.mark.torch

NARROW = "M7E4b8/M7E4b6"
ATTENTION = ("re:.*(self|self_attn)",)


def lba_model(make, estimator: str = "identity", spec: str = NARROW) -> nn.Module:
    model = torch_models.seeded(make)
    quantize_(model, LbaConfig(spec, estimator, attention=() if make is torch_models.ResidualNet else ATTENTION))
    return model


def inputs(make, batch: int = 2, seed: int = 1) -> torch.Tensor:
    makers = {torch_models.ResidualNet: torch_models.images, torch_models.Encoder: torch_models.sequences}
    return makers.get(make, torch_models.token_ids)(batch, seed=seed)


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_twenty_steps_lower_the_loss(estimator):
    model = torch_models.seeded(lambda: torch_models.make_mlp(20, 32, 4))
    quantize_(model, LbaConfig(NARROW, estimator))
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(64, 20, generator=generator), torch.randint(4, (64,), generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        loss = functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize("make", [torch_models.ResidualNet, torch_models.Bert, torch_models.Encoder])
def test_training_updates_every_parameter(make):
    model = lba_model(make)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    model(inputs(make)).log_softmax(-1)[:, 0].sum().backward()
    optimizer.step()
    still = [
        name
        for (name, parameter), old in zip(model.named_parameters(), before, strict=True)
        if torch.equal(parameter, old) and not name.endswith("key.bias")  # which softmax does not see
    ]
    assert not still


@pytest.mark.parametrize("make", [torch_models.ResidualNet, torch_models.Bert, torch_models.Encoder])
def test_state_dict_goes_both_ways(make):
    float_model, model = torch_models.seeded(make, 3), lba_model(make)
    assert list(model.state_dict()) == list(float_model.state_dict())
    model.load_state_dict(float_model.state_dict(), strict=True)
    copied = torch_models.seeded(make, 4)
    copied.load_state_dict(model.state_dict(), strict=True)
    for name, value in float_model.state_dict().items():
        assert torch.equal(copied.state_dict()[name], value)


def test_saved_state_loads_as_weights_only(tmp_path: Path):
    model = lba_model(torch_models.Bert)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch_models.Bert().load_state_dict(state, strict=True)


def test_mode_reaches_what_is_inside():
    model = lba_model(torch_models.ResidualNet)
    x = torch_models.images()
    statistics = model.bn1.running_mean.clone()
    model.eval()
    assert torch.equal(model(x), model(x))
    assert torch.equal(model.bn1.running_mean, statistics)
    model.train()
    assert not torch.equal(model(x), model.eval()(x))
    assert not torch.equal(model.bn1.running_mean, statistics)


@pytest.mark.parametrize("make", [torch_models.ResidualNet, torch_models.Bert, torch_models.Encoder])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_runs_the_sites_in_float32(make, dtype):
    model = lba_model(make)
    results = {}
    for name, site in lba_sites(model).items():
        site.register_forward_hook(lambda site, args, result, name=name: results.update({name: result.dtype}))
    with torch.autocast("cpu", dtype):
        output = model(inputs(make))
    output.float().square().sum().backward()
    assert set(results.values()) == {torch.float32} and len(results) == len(lba_sites(model))
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def test_layer_in_autocast_has_the_bits_of_one_outside():
    layer, x = nn.Linear(40, 7), torch.randn(3, 40)
    quantize_(layer, NARROW)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer(x.clone()))
        got = layer(x)
    assert torch.equal(got, layer(x))


def test_half_precision_outside_autocast_is_refused():
    model = lba_model(torch_models.ResidualNet).to(torch.bfloat16)
    with pytest.raises(TypeError, match="expected input to be torch.float32, got torch.bfloat16"):
        model(torch_models.images().to(torch.bfloat16))


def test_tensors_on_other_devices_are_refused():
    layer = nn.Linear(4, 4)
    quantize_(layer, NARROW)
    with pytest.raises(ValueError, match="expected all operands on cpu, got input on meta, weight on cpu"):
        layer(torch.ones(1, 4, device="meta"))


class Checkpointed(nn.Module):
    """Recomputes every layer of a Bert in the backward pass."""

    def __init__(self, model: nn.Module, use_reentrant: bool) -> None:
        super().__init__()
        self.model = model
        self.use_reentrant = use_reentrant

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.model.embeddings(ids)
        for layer in self.model.layer:
            x = checkpoint(layer, x, use_reentrant=self.use_reentrant)
        return self.model.classifier(x[:, 0])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(estimator, use_reentrant):
    model = lba_model(torch_models.Bert, estimator)
    twin = copy.deepcopy(model)
    ids = torch_models.token_ids()
    model(ids).square().sum().backward()
    Checkpointed(twin, use_reentrant)(ids).square().sum().backward()
    assert all(torch.equal(*pair) for pair in zip(gradients(model), gradients(twin), strict=True))


@pytest.mark.parametrize("make", [torch_models.ResidualNet, torch_models.Bert, torch_models.Encoder])
def test_copy_trains_alone(make):
    model = lba_model(make, "recursive_overflow")
    twin = copy.deepcopy(model)
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    twin(inputs(make)).square().sum().backward()
    torch.optim.SGD(twin.parameters(), 1.0).step()
    set_underflow_(twin, False)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(*pair) for pair in zip(model.parameters(), expected, strict=True))
    assert all(site.spec.underflow for site in lba_sites(model).values())


def test_optimizer_made_before_conversion_trains_the_model():
    model = torch_models.make_mlp(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), 1.0)
    quantize_(model, NARROW)
    before = model[0].weight.detach().clone()
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert not torch.equal(model[0].weight, before)


def test_compiled_graph_has_the_bits_of_the_model():
    model = lba_model(torch_models.ResidualNet).eval()
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=True)
    x = torch_models.images()
    assert torch.equal(compiled(x), model(x))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # asked by the compiler
@pytest.mark.parametrize("make", [torch_models.Bert, torch_models.FusedBert, torch_models.Encoder])
def test_compiled_attention_has_the_bits_of_the_model(make):
    model = lba_model(make).eval()
    is_whole = make is not torch_models.Encoder  # PyTorch's compiler breaks the graph in nn.MultiheadAttention
    compiled = torch.compile(copy.deepcopy(model), backend="eager", fullgraph=is_whole)
    assert torch.equal(compiled(inputs(make)), model(inputs(make)))


def _train_on_rank(rank: int, folder: str) -> None:
    """Two steps of one of two processes; writes gradients of the first and parameters after the second."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    make, estimator = torch_models.Bert, "recursive_overflow"
    model = lba_model(make, estimator)
    parallel = nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), 0.1)
    batch = inputs(make, 4).chunk(2)[rank]
    found = {}
    for step in range(2):
        optimizer.zero_grad()
        parallel(batch).square().mean().backward()
        if step == 0:
            found["gradients"] = gradients(model)
        optimizer.step()
    found["parameters"] = [parameter.detach() for parameter in model.parameters()]
    found["sites"] = len(lba_sites(parallel))
    torch.save(found, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", _loopback())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    torch.multiprocessing.spawn(_train_on_rank, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for key in ("gradients", "parameters"):
        assert all(torch.equal(*pair) for pair in zip(first[key], second[key], strict=True))
    alone = lba_model(torch_models.Bert, "recursive_overflow")
    assert first["sites"] == len(lba_sites(alone))
    alone(inputs(torch_models.Bert, 4)).square().mean().backward()
    for got, expected in zip(first["gradients"], gradients(alone), strict=True):
        torch.testing.assert_close(got, expected)


def _loopback() -> str:
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
