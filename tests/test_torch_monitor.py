import copy
import json
import pickle
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch_models  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from lba_onnx import native  # noqa: E402
from lba_onnx.arithmetic import AccumulatorSpec  # noqa: E402
from lba_onnx.errors import ModelError  # noqa: E402
from lba_onnx.estimators.immediate_difference import IMMEDIATE_DIFFERENCE  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    Float8InputQuantizer,
    Float8Quantizer,
    GatedGradientsWarning,
    GatingMonitor,
    LbaConfig,
    check_export,
    export,
    lba_sites,
    quantize_,
    set_underflow_,
)
from lba_onnx.torch.training import monitor as monitor_module  # noqa: E402

pytestmark = pytest.mark.torch

DEAD = "M4E3b5/M4E3b5"  # nothing below 2^-5 is kept, and nothing here is above
ALIVE = "M7E4b10/M7E4b8"


def mlp(spec: str = ALIVE, estimator: str = "immediate_difference", scale: float = 1.0) -> nn.Module:
    model = torch_models.seeded(lambda: torch_models.make_mlp(20, 16, 4))
    with torch.no_grad():
        model[2].weight *= scale
    quantize_(model, LbaConfig({"2": spec, "*": ALIVE}, estimator))
    return model


def step(model: nn.Module, x: torch.Tensor | None = None) -> None:
    x = torch.rand(8, 20, generator=torch.Generator().manual_seed(0)) if x is None else x
    functional.cross_entropy(model(x), torch.arange(8) % 4).backward()


def test_gated_share_is_that_of_the_native_gradients():
    model = mlp("M4E3b7/M4E3b6")
    operands = []
    model[2].register_forward_hook(lambda site, args, result: operands.append(args[0].detach().numpy()))
    with GatingMonitor(model) as monitor:
        step(model)
        row = monitor.report().rows[1]
    spec, weight = AccumulatorSpec.parse("M4E3b7/M4E3b6"), model[2].weight.detach().numpy()
    *_, gated = native.matmul_gradients(
        np.ones((1, 8, 4), np.float32), operands[0][None], weight.T[None], spec, IMMEDIATE_DIFFERENCE.gating.code, 1
    )
    assert (row.name, row.spec, row.estimator) == ("2", "M4E3b7/M4E3b6", "immediate_difference")
    assert 0 < gated < 8 * 4 * 16
    assert row.gated == gated / (8 * 4 * 16)


def test_rates_are_those_of_the_products():
    layer = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.001, 0.0, 4.0]]))
    quantize_(layer, "M4E3b5/M4E3b5")  # values from 2^-5 to 7.75
    with GatingMonitor(layer, sampled_fraction=1.0) as monitor:
        layer(torch.tensor([[1.0, 1.0, 1.0, 4.0]])).sum().backward()
        row = monitor.report().rows[0]
    assert (row.rates["product_overflow"], row.rates["product_underflow"]) == (
        1 / 3,
        1 / 3,
    )  # 16, 1 and 0.001; the zero is left out
    assert (row.rates["partial_sum_overflow"], row.rates["total_overflow"]) == (1 / 4, 1.0)  # 1, 1, 1, then 7.75 more
    assert row.gated is None and row.rates["total_swamped"] == 0.0


def test_dead_module_is_warned_of_once_and_by_name():
    model = mlp(DEAD, scale=1e-3)
    with GatingMonitor(model, every=1) as monitor:
        step(model)
        assert not model[2].weight.grad.any()
        with pytest.warns(GatedGradientsWarning, match="module '2' .*cannot learn.*underflow off first") as caught:
            step(model)
        assert len(caught) == 1
        step(model)
        assert monitor.steps == 3
        assert [row.name for row in monitor.report().rows if row.gated and row.gated > 0.3] == ["2"]


def test_dead_module_is_warned_of_at_the_report_and_at_the_end():
    model = mlp(DEAD, scale=1e-3)
    with GatingMonitor(model) as monitor:
        step(model)
        with pytest.warns(GatedGradientsWarning):
            monitor.report()
    monitor = GatingMonitor(model)
    monitor.open()
    step(model)
    with pytest.raises(GatedGradientsWarning):  # as an error, it stops nothing from being closed
        monitor.close()
    assert not model._forward_pre_hooks


def test_module_that_learns_without_underflow_is_not_warned_of():
    model = mlp(DEAD, scale=1e-3)
    set_underflow_(model, False)
    with GatingMonitor(model, every=1) as monitor:
        step(model)
        monitor.report()
        assert model[2].weight.grad.any()


def test_zero_weights_are_no_dead_module():
    model = mlp(DEAD, scale=1e-3)
    with torch.no_grad():
        model[2].weight[0] = 0.0
    with GatingMonitor(model, every=1) as monitor:
        step(model)
        monitor.report()
        assert model[2].weight.grad[0].any() and not model[2].weight.grad[1:].any()


def test_module_that_overflows_throughout_is_warned_of():
    model = torch_models.make_mlp(20, 4)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
    quantize_(model, LbaConfig("M4E3b9/M4E3b9", "recursive_overflow"))
    with GatingMonitor(model) as monitor, warnings.catch_warnings():
        warnings.simplefilter("ignore", GatedGradientsWarning)
        step(model, torch.ones(8, 20))
        assert monitor.report().rows[0].gated == 1.0
    with GatingMonitor(model) as monitor:
        step(model, torch.ones(8, 20))
        with pytest.warns(GatedGradientsWarning, match="smaller exponent bias"):
            monitor.report()


CONVOLUTIONS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, 2, 1, bias=False),
    "groups": lambda: nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2, bias=False),
    "reflect": lambda: nn.Conv1d(4, 6, 3, padding=2, padding_mode="reflect", bias=False),
    "same": lambda: nn.Conv3d(4, 4, 3, padding="same", groups=4, bias=False),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_dead_convolution_is_warned_of_and_a_living_one_is_not(name):
    model = torch_models.seeded(CONVOLUTIONS[name])
    with torch.no_grad():
        model.weight.copy_(1e-3 * model.weight.sign())
    x = torch.randn(2, 4, *(6,) * (model.weight.ndim - 2), generator=torch.Generator().manual_seed(2)).relu()
    quantize_(model, LbaConfig(DEAD, "immediate_difference"))
    with GatingMonitor(model, every=1) as monitor:
        model(x).sum().backward()
        assert not model.weight.grad.any()
        with pytest.warns(GatedGradientsWarning, match="module ''"):
            monitor.report()
    with torch.no_grad():
        model.weight[0, 0] *= 1e3
    with GatingMonitor(model, every=1) as monitor:
        model(x).sum().backward()
        assert model.weight.grad.any()
        monitor.report()


def test_dead_attention_is_warned_of():
    layer = torch_models.seeded(lambda: nn.MultiheadAttention(16, 2, batch_first=True))
    quantize_(layer, LbaConfig({"scores": "M4E3b-2/M4E3b-2", "*": ALIVE}, "immediate_difference", attention=[""]))
    x = torch_models.sequences()
    with GatingMonitor(layer) as monitor:
        layer(x, x, x)[0].sum().backward()
        with pytest.warns(GatedGradientsWarning, match="module 'scores'") as caught:
            report = monitor.report()
    assert len(caught) == 1
    assert [row.name for row in report.rows] == ["in_proj", "scores", "context", "out_proj"]


def test_zeros_in_a_swamped_chunk_make_no_dead_module():
    layer = nn.Linear(8, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[4.0, 0, 0, 0, 2.0**-5, 0, 0, 0]]))
    quantize_(layer, LbaConfig("M4E3b5/M4E3b5,chunk=4", "immediate_difference"))
    with GatingMonitor(layer) as monitor:
        layer((layer.weight != 0).float()).sum().backward()
        assert layer.weight.grad.tolist() == [[1.0, 0, 0, 0, 0, 0, 0, 0]]
        assert monitor.report().rows[0].gated == 4 / 8  # and only two inputs are not zero


def test_module_without_a_gradient_to_pass_on_is_no_dead_module():
    model = mlp(DEAD, scale=1e-3)
    with GatingMonitor(model) as monitor:
        (model(torch.rand(8, 20)) * 0.0).sum().backward()
        assert monitor.report().rows[1].gated > 0


def test_dead_module_with_quantizers_and_a_frozen_weight_is_warned_of():
    layer = nn.Linear(16, 4)
    with torch.no_grad():
        layer.weight.fill_(1e-3)
    quantizers = {"weight_quantizer": Float8Quantizer, "input_quantizer": Float8InputQuantizer}
    quantize_(layer, LbaConfig(DEAD, "immediate_difference", **quantizers))
    layer.weight.requires_grad_(False)
    x = torch.ones(8, 16, requires_grad=True)
    with GatingMonitor(layer) as monitor:
        layer(x).sum().backward()
        assert not x.grad.any()
        with pytest.warns(GatedGradientsWarning, match="module ''"):
            monitor.report()


def test_checkpointed_dead_module_is_warned_of():
    model = mlp(DEAD, scale=1e-3)

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, x):
            return checkpoint(self.model, x, use_reentrant=False)

    whole = Checkpointed()
    with GatingMonitor(whole) as monitor:
        step(whole)
        with pytest.warns(GatedGradientsWarning, match="module 'model.2'"):
            monitor.report()


def test_only_every_nth_training_step_is_looked_into():
    model = mlp()
    keys = []
    model[0].register_forward_hook(lambda site, args, result: keys.append(site.statistics))
    with GatingMonitor(model, every=3) as monitor:
        for _ in range(4):
            step(model)
        with torch.no_grad():
            model(torch.rand(1, 20))
        model.eval()
        model(torch.rand(1, 20))
        report = monitor.report()
    assert [bool(key) for key in keys] == [True, False, False, True, False, False]
    assert (report.steps, report.sampled_steps) == (4, 2)


def test_closing_leaves_nothing_behind():
    model = mlp()
    monitor = GatingMonitor(model)
    with pytest.raises(RuntimeError, match="stop"), monitor:
        step(model)
        raise RuntimeError("stop")
    assert not model._forward_pre_hooks
    assert not any(site._forward_hooks or site.statistics for site in lba_sites(model).values())
    monitor.close()
    with pytest.raises(ModelError, match="expected an open GatingMonitor"):
        monitor.report()
    with monitor:
        assert monitor.report().steps == 0


def bert() -> nn.Module:
    model = torch_models.seeded(torch_models.Bert)
    quantizers = {"weight_quantizer": Float8Quantizer, "input_quantizer": Float8InputQuantizer}
    quantize_(model, LbaConfig(ALIVE, "immediate_difference", attention=["re:.*self"], **quantizers))
    return model


def test_looking_changes_no_bit():
    model, twin = bert(), bert()
    with GatingMonitor(model, every=1) as monitor:
        for trained in (model, twin):
            for seed in (1, 2):
                trained(torch_models.token_ids(seed=seed)).square().sum().backward()
        assert all(row.gated is not None for row in monitor.report().rows)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    states = zip(model.state_dict().items(), twin.state_dict().items(), strict=True)
    assert [name for (name, a), (_, b) in states if not torch.equal(a, b)] == []
    buffers = dict(model.named_buffers())
    assert "layer.0.attention.self.lba_attention.scores.other_quantizer.largest" in buffers
    assert not any(buffer.isnan().any() for buffer in buffers.values())


def test_steps_between_look_at_no_site(monkeypatch):
    model = mlp()
    with GatingMonitor(model, every=100) as monitor:
        step(model)
        step(model)
        assert not any(site.statistics or site._forward_hooks for site in lba_sites(model).values())
        with monkeypatch.context() as patch:
            patch.setattr(monitor_module, "lba_sites", None)
            step(model)
            model.eval()(torch.rand(1, 20))
        assert monitor.steps == 3


def test_model_is_exported_and_checked_under_a_monitor(tmp_path):
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    model, x = mlp(), torch.rand(2, 20)
    with GatingMonitor(model, every=4) as monitor:
        step(model)
        seen = monitor.report().rows
        model.eval()
        assert list(export(model, x, tmp_path / "model.onnx")) == ["0", "2"]
        check = check_export(model, tmp_path / "model.onnx", x)
        assert [layer.node for layer in check.layers] == ["0", "2"] and not check.errors
        model.train()
        step(model)  # the sites have their keys of the first step back, which this one is not to count under
        assert monitor.report().rows == seen


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("is_sampled", [False, True])
def test_copy_of_a_monitored_model_is_not_counted(copied, is_sampled):
    model = mlp()
    with GatingMonitor(model, every=1) as monitor:
        if is_sampled:
            step(model)
        seen = monitor.report()
        assert (seen.rows[0].gated is not None) == is_sampled
        twin = copied(model)
        step(twin)
        assert monitor.report() == seen
        with GatingMonitor(twin) as other:
            step(twin)
            assert other.report().rows[0].gated is not None
        assert monitor.report() == seen


def test_report_as_table_and_json():
    model = mlp()
    with GatingMonitor(model, every=1) as monitor:
        step(model)
        report = monitor.report()
    lines = str(report).splitlines()
    assert lines[0] == "1 of 1 training steps looked into; shares in percent"
    assert lines[1].split()[:3] == ["site", "spec", "gated"]
    assert [line.split()[:2] for line in lines[2:]] == [["0", ALIVE], ["2", ALIVE]]
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (value["kind"], value["schema"], value["steps"]) == ("lba_onnx.gating", 1, 1)
    assert [site["name"] for site in value["sites"]] == ["0", "2"]
    assert value["sites"][0]["gated"] == report.rows[0].gated


def test_bad_use_is_refused():
    with pytest.raises(ModelError, match="call quantize_"):
        GatingMonitor(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="every"):
        GatingMonitor(mlp(), every=0)
    with pytest.raises(ValueError, match="sampled_fraction"):
        GatingMonitor(mlp(), sampled_fraction=0.0)
    model = mlp()
    with GatingMonitor(model), pytest.raises(ModelError, match="without an open GatingMonitor"):
        GatingMonitor(model).open()
