"""Calibration of PyTorch models: what ONNX models get, and the model stays as it was."""

import copy
import importlib.metadata
from collections import OrderedDict

import numpy as np
import onnx
import pytest
from small_models import images, network

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch_batches import batches_of, mlp, vectors  # noqa: E402
from torch_models import Bert, Encoder, FusedBert, ResidualNet, seeded, sequences, token_ids  # noqa: E402
from torch_models import images as color_images  # noqa: E402

from lba_onnx import Samples, native  # noqa: E402
from lba_onnx import calibrate as calibrate_onnx  # noqa: E402
from lba_onnx.calibration import Calibration  # noqa: E402
from lba_onnx.calibration.methods import OF_FLOATS, Mse, ZeroShot  # noqa: E402
from lba_onnx.errors import DataError, ModelError, SelectionError  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    Batches,
    LbaConfig,
    calibrate,
    lba_sites,
    quantize_,
    set_specs_,
)

pytestmark = pytest.mark.torch


def network_twin() -> nn.Module:
    """The model of `small_models.network`, with the same weights and names."""
    values = {i.name: torch.tensor(onnx.numpy_helper.to_array(i)) for i in network().graph.initializer}
    layers = OrderedDict(
        conv1=nn.Conv2d(1, 8, 3, padding=1),
        relu=nn.ReLU(inplace=True),
        depthwise=nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False),
        flatten=nn.Flatten(),
        classifier=nn.Linear(128, 10),
    )
    names = {"conv1.weight": "w1", "conv1.bias": "b1", "depthwise.weight": "w2"}
    names |= {"classifier.weight": "w3", "classifier.bias": "b3"}
    model = nn.Sequential(layers)
    model.load_state_dict({name: values[source] for name, source in names.items()})
    return model


def sqnr_db(expected, got) -> float:
    return float(10 * torch.log10((expected**2).sum() / ((got - expected) ** 2).sum()))


@pytest.mark.parametrize("is_converted", [False, True])
@pytest.mark.parametrize("method", ["max", "mse"])
def test_biases_that_sums_start_from_are_seen_as_in_onnx(method, is_converted):
    source, model = network(), network_twin()
    bias = next(tensor for tensor in source.graph.initializer if tensor.name == "b3")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, 3e4, np.float32), "b3"))
    with torch.no_grad():
        model.classifier.bias.fill_(3e4)
    data = images(16)
    expected = calibrate_onnx(source, {"x": data}, "M4E4", method, bias_start=True)
    if is_converted:
        quantize_(model, LbaConfig("M4E4b8", bias_start=True))
    settings = {} if is_converted else {"bias_start": True}
    found = calibrate(model, [torch.from_numpy(data)], "M4E4", method, **settings)
    assert found.specs == expected.specs
    plain = calibrate_onnx(source, {"x": data}, "M4E4", method)
    assert found.specs["classifier"] != plain.specs["classifier"]


@pytest.mark.parametrize("method", OF_FLOATS.values())
@pytest.mark.parametrize(
    ("family", "settings"),
    [("M4E3", {}), ("M4E3", {"granularity": "model"}), ("M4E3,chunk=4", {"is_tied": True})],
)
def test_result_is_that_of_the_same_onnx_model(method, family, settings):
    data = images(40)
    expected = calibrate_onnx(network(), Samples({"x": data}, batch_size=8), family, method(**settings))
    result = calibrate(network_twin(), batches_of(torch.tensor(data)), family, method(**settings))
    assert list(result.nodes) == ["conv1", "depthwise", "classifier"]
    assert result.nodes == expected.nodes  # ranges, histograms, specs, rates, notes and warnings
    assert result.samples == expected.samples == 40
    if expected.verdict is not None:
        assert result.verdict.chosen == expected.verdict.chosen
        assert result.verdict.samples == expected.verdict.samples
        assert result.verdict.evaluations == expected.verdict.evaluations
        # The float32 outputs of PyTorch and onnxruntime differ in their last bits.
        assert result.verdict.scores == pytest.approx(expected.verdict.scores, rel=1e-3)


def test_result_says_what_it_comes_from_and_survives_the_file(tmp_path):
    result = calibrate(mlp(), batches_of(vectors()), "M5E3,chunk=8,underflow=off", Mse(percentile=99.0))
    assert (result.family, result.method, result.numbers) == ("M5E3,chunk=8,underflow=off", "mse", {"percentile": 99.0})
    assert all(spec.chunk_size == 8 and not spec.underflow for spec in result.specs.values())
    assert result.versions["torch"] == importlib.metadata.version("torch")
    assert len(result.data_sha256) == 64
    result.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == result


def test_config_takes_the_specs():
    model = seeded(ResidualNet).eval()
    data = color_images(8)
    result = calibrate(model, [data], "M7E4", "max")
    converted = copy.deepcopy(model)
    quantize_(converted, LbaConfig(result.specs))
    assert {name: site.spec for name, site in lba_sites(converted).items()} == result.specs
    with torch.no_grad():
        assert sqnr_db(model(data), converted(data)) > 30


@pytest.mark.parametrize("method", [Mse(), ZeroShot(layer_evaluations=6)])
def test_score_is_that_of_the_converted_model_and_never_below_max(method):
    model, data = mlp().eval(), vectors(40)
    result = calibrate(model, batches_of(data), "M3E3", method)
    scores = result.verdict.scores
    assert scores[result.verdict.chosen] >= scores["max"]
    if method.name == "zero_shot":  # judged by all samples, as there are few
        quantize_(model, result.specs)
        with torch.no_grad():
            assert sqnr_db(mlp()(data), model(data)) == pytest.approx(scores["zero_shot"], rel=1e-6)


@pytest.mark.parametrize(
    ("make", "batch", "modules", "products"),
    [
        (Bert, token_ids, "re:layer.*attention\\.self", ["scores", "context"]),
        (FusedBert, token_ids, "re:layer.*attention\\.self", ["scores", "context"]),
        (Encoder, sequences, "re:.*self_attn", ["in_proj", "scores", "context", "out_proj"]),
    ],
)
def test_attention_products_are_sites(make, batch, modules, products):
    model = seeded(make)
    without = calibrate(model, [batch()], "M7E4")
    result = calibrate(model, [batch(seed=s) for s in range(4)], "M7E4", "mse", attention=[modules])
    added = [name for name in result.nodes if name not in without.nodes]
    assert sorted({name.rpartition(".")[2] for name in added}) == sorted(products) and len(added) == 2 * len(products)
    assert all(node.range.outputs > 0 and node.rates is not None for node in result.nodes.values())
    quantize_(model, LbaConfig(result.specs, attention=[modules]))
    assert {name: site.spec for name, site in lba_sites(model).items()} == result.specs


class ThreeProducts(nn.Module):
    """Attention with a third product, of values far larger than the others."""

    def forward(self, x):
        weights = (x @ x.transpose(-1, -2)).softmax(-1)
        return torch.matmul(weights @ x, 1000 * x.transpose(-1, -2))


def test_third_product_of_an_attention_module_is_calibrated_by_its_own_range():
    model = nn.Sequential(OrderedDict(first=nn.Linear(16, 16), attention=ThreeProducts()))
    result = calibrate(model, [sequences()], attention=["attention"])
    assert list(result.nodes) == ["first", "attention.scores", "attention.context", "attention.matmul_2"]
    assert result.nodes["attention.matmul_2"].range.max_abs_product > 100
    quantize_(model, LbaConfig(result.specs, attention=["attention"]))
    model(sequences())
    assert {name: site.spec for name, site in lba_sites(model).items()} == result.specs


def test_samples_judged_are_not_those_fitted_to():
    data, labels = vectors(40), torch.arange(40)
    judged = []

    def note(outputs, batch):
        judged.extend(batch[1].tolist())
        return torch.zeros(len(batch[1]))

    runs = []

    def forward(model, batch):
        runs.append(set(batch[1].tolist()))
        return model(batch[0])

    result = calibrate(mlp(), Batches(batches_of(data, labels), forward=forward), "M4E3", "mse", metric=note)
    fitted = set.union(*(run for run in runs[5:] if not run <= set(judged)))  # 5 batches are the data pass
    assert len(set(judged)) == result.verdict.samples == 10 and not fitted & set(judged)
    assert fitted | set(judged) == set(range(40))


def test_integer_outputs_are_judged_by_agreement():
    def classes(model, batch):
        return model(batch).argmax(1)

    verdict = calibrate(mlp(), Batches(batches_of(vectors()), forward=classes), "M3E3", "zero_shot").verdict
    assert verdict.unit == "%" and all(0 <= score <= 100 for score in verdict.scores.values())


def test_model_and_random_state_stay_as_they_were():
    model = seeded(ResidualNet).train()
    model.layer1.eval()
    calls = []
    model.fc.register_forward_hook(lambda *_: calls.append(1))
    before, types = copy.deepcopy(model.state_dict()), [type(module) for module in model.modules()]
    modes = [module.training for module in model.modules()]
    dataset = torch.utils.data.TensorDataset(color_images(12))
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True)
    state = torch.get_rng_state()
    calibrate(model, loader, "M4E3", ZeroShot(evaluations=4))
    assert torch.equal(torch.get_rng_state(), state)
    assert [type(module) for module in model.modules()] == types and not lba_sites(model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert len(model.fc._forward_hooks) == 1 and all(p.grad is None for p in model.parameters())


class Halving(nn.Module):
    def forward(self, x):
        return x / 2


def test_converted_model_is_calibrated_at_its_sites():
    model = mlp()
    quantize_(model, LbaConfig({"0": "M4E3b5"}, estimator="recursive_overflow", input_quantizer=Halving))
    data = vectors(40)
    result = calibrate(model, batches_of(data), "M4E3", "mse")
    expected = calibrate(mlp(), batches_of(data / 2), "M4E3", filter_fn=lambda module, name: name == "0")
    assert list(result.nodes) == ["0"]
    assert result.nodes["0"].range == expected.nodes["0"].range
    site = lba_sites(model)["0"]
    assert (str(site.spec.accumulator_format), site.estimator, site.statistics) == ("M4E3b5", "recursive_overflow", "")
    set_specs_(model, result.specs)
    assert (site.spec, site.estimator) == (result.specs["0"], "recursive_overflow")
    for settings in ({"filter_fn": lambda module, name: True}, {"bias_start": True}):
        with pytest.raises(ValueError, match="expected no attention, bias_start or filter_fn for a model that is conv"):
            calibrate(model, batches_of(data), **settings)


def test_layer_that_does_not_run_gets_the_default_spec_and_a_note():
    model = nn.ModuleDict({"used": nn.Linear(20, 5), "unused": nn.Linear(3, 3)})
    result = calibrate(model, Batches([vectors()], forward=lambda m, x: m["used"](x)))
    assert str(result.specs["unused"]) == "M7E4b12/M7E4b10"
    assert result.notes == {"unused": "did not run on these data: default spec"}


def test_progress_counts_samples_then_evaluations():
    counts = []
    dataset = torch.utils.data.TensorDataset(vectors())
    loader = torch.utils.data.DataLoader(dataset, batch_size=16)
    calibrate(mlp(), loader, "M4E3", ZeroShot(evaluations=3), progress=lambda *c: counts.append(c))
    assert counts == [(16, 32), (32, 32), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"family": "M7E4b10"}, ValueError, "without a bias"),
        ({"method": "best"}, ValueError, "expected a method out of"),
        ({"metric": "nowhere"}, ValueError, "expected a function as module:function"),
        ({"method": "mse", "metric": lambda outputs, batch: outputs}, ValueError, "expected a number per sample"),
        ({"attention": ["nowhere"]}, SelectionError, "nowhere"),
        ({"filter_fn": lambda module, name: False}, SelectionError, "nothing is selected"),
    ],
)
def test_bad_settings_are_refused(settings, error, message):
    with pytest.raises(error, match=message):
        calibrate(mlp(), batches_of(vectors()), **settings)


def test_outputs_that_are_no_tensors_are_refused():
    with pytest.raises(ModelError, match="expected a model that returns tensors, got str"):
        calibrate(mlp(), Batches(batches_of(vectors()), forward=lambda model, x: "text"), method="mse")


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (2.5, TypeError)])
def test_batches_refuse_what_is_no_number_of_samples(count, error):
    with pytest.raises(error, match="max_samples"):
        Batches([], max_samples=count)


@pytest.mark.parametrize("old", ["max_samples", "forward", "percentile", "chunk_size"])
def test_settings_are_no_arguments(old):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{old}'"):
        calibrate(mlp(), [vectors()], **{old: 1})


def test_model_that_cannot_be_copied_is_refused():
    model = mlp()
    model.cache = model[0].weight * 2  # a tensor with a history
    with pytest.raises(ModelError, match="expected a model that copy.deepcopy can copy, .* Sequential: "):
        calibrate(model, [vectors()])
    with pytest.raises(TypeError, match="expected a torch.nn.Module, got str"):
        calibrate("model", [vectors()])
    with pytest.raises(ModelError, match="expected a model on cpu, got parameters or buffers on meta"):
        calibrate(mlp().to("meta"), [vectors()])


def test_runs_are_closed_whatever_happens(monkeypatch):
    opened, closed = [], []
    open_run, open_observer, close = native.statistics_open, native.observer_open, native.statistics_close
    close_observer = native.observer_close
    monkeypatch.setattr(native, "statistics_open", lambda run, f: (opened.append(run), open_run(run, f)))
    monkeypatch.setattr(native, "observer_open", lambda run, o: (opened.append(run), open_observer(run, o))[1])
    monkeypatch.setattr(native, "statistics_close", lambda run: (closed.append(run), close(run)))
    monkeypatch.setattr(native, "observer_close", lambda run, o: (closed.append(run), close_observer(run, o)))
    with pytest.raises(DataError):
        calibrate(mlp(), [vectors(), vectors(4, 7)])
    assert opened == closed and len(opened) == 1
    calibrate(mlp(), [vectors()] * 9, "M4E3", "mse")  # more than a stretch
    assert sorted(opened) == sorted(closed) and len(opened) >= 4


def test_observer_error_is_raised_as_it_is(monkeypatch):
    def fail(table, call, settings):
        raise ZeroDivisionError("of the observer")

    monkeypatch.setattr("lba_onnx.calibration.candidate_errors.NodeErrors.add", fail)
    with pytest.raises(ZeroDivisionError, match="of the observer"):
        calibrate(mlp(), [vectors()], method="mse")
