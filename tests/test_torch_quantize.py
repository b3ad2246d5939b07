import copy

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import torch_models  # noqa: E402
from torch import nn  # noqa: E402

import lba_onnx  # noqa: E402
from lba_onnx import AccumulatorSpec  # noqa: E402
from lba_onnx.errors import ModelError, SelectionError  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    LbaConfig,
    LbaConv1d,
    LbaConv2d,
    LbaConv3d,
    LbaLinear,
    lba_modules,
    lba_sites,
    quantize_,
    set_specs_,
    set_underflow_,
)

pytestmark = pytest.mark.torch

WIDE = "M22E7b63/M22E7b63"
NARROW = "M4E3b7/M4E3b5"


def classes(model: nn.Module) -> list[type]:
    return [type(module) for module in model.modules()]


@pytest.mark.parametrize(
    ("make", "count"), [(torch_models.ResidualNet, 7), (torch_models.MobileNet, 8), (torch_models.Bert, 13)]
)
def test_quantize_converts_every_layer_and_keeps_the_parameters(make, count):
    model = torch_models.seeded(make)
    before = dict(model.named_parameters())
    quantize_(model, WIDE)
    assert len(lba_sites(model)) == count
    assert list(before) == [name for name, _ in model.named_parameters()]
    assert all(before[name] is parameter for name, parameter in model.named_parameters())
    assert not [module for module in model.modules() if type(module) in (nn.Linear, nn.Conv2d)]


@pytest.mark.parametrize("make", [torch_models.ResidualNet, torch_models.MobileNet])
def test_wide_format_gives_the_float32_model(make):
    model = torch_models.seeded(make).eval()
    expected = model(torch_models.images())
    quantize_(model, WIDE)
    torch.testing.assert_close(model(torch_models.images()), expected)


def test_linear_gives_the_bits_of_matmul():
    layer, x = nn.Linear(40, 7), torch.randn(3, 5, 40)
    quantize_(layer, NARROW)
    dots = lba_onnx.matmul(x.reshape(15, 40).numpy(), layer.weight.detach().numpy().T, AccumulatorSpec.parse(NARROW))
    assert torch.equal(layer(x), (torch.from_numpy(dots) + layer.bias).reshape(3, 5, 7))


CONVOLUTIONS = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, 2, 1), (2, 4, 11)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), bias=False), (2, 4, 9, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 3, padding=1), (1, 2, 5, 4, 6)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 7, 7)),
    "same": (lambda: nn.Conv2d(4, 6, (4, 3), padding="same", dilation=(1, 2)), (2, 4, 9, 8)),
    "valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid"), (2, 4, 9, 8)),
    "reflect": (lambda: nn.Conv2d(4, 6, 3, 2, 2, padding_mode="reflect"), (2, 4, 9, 8)),
    "circular_same": (lambda: nn.Conv1d(4, 6, 4, padding="same", padding_mode="circular"), (2, 4, 9)),
    "replicate": (lambda: nn.Conv3d(2, 4, 2, padding=1, padding_mode="replicate"), (1, 2, 3, 4, 3)),
    "unbatched": (lambda: nn.Conv2d(4, 6, 3, padding=1), (4, 9, 8)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_gives_the_float32_result_at_a_wide_format(name):
    make, shape = CONVOLUTIONS[name]
    layer, x = torch_models.seeded(make), torch.randn(shape, generator=torch.Generator().manual_seed(3))
    expected = layer(x)
    quantize_(layer, WIDE)
    assert type(layer) in (LbaConv1d, LbaConv2d, LbaConv3d)
    torch.testing.assert_close(layer(x), expected)


def test_circular_padding_counts_as_products():
    layer, x = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular", bias=False), torch.ones(1, 1, 4)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    quantize_(layer, "M0E3b3/M0E3b3")  # 1 + 1 = 2; 2 + 1 is cut to 2
    assert layer(x).tolist() == [[[2.0] * 4]]


def test_model_that_is_a_layer_is_converted_itself():
    layer = nn.Linear(4, 4)
    quantize_(layer, NARROW)
    assert isinstance(layer, LbaLinear)
    assert list(lba_sites(layer)) == [""]
    assert "spec=M4E3b7/M4E3b5, estimator=identity" in repr(layer)


def test_mode_hooks_and_other_references_survive():
    model, calls = torch_models.make_mlp(4, 4, 4), []
    first = model[0]
    first.eval()
    handle = first.register_forward_hook(lambda *_: calls.append("after"))
    quantize_(model, NARROW)
    assert model[0] is first and isinstance(first, LbaLinear)
    assert not first.training and model[2].training
    model(torch.ones(1, 4))
    handle.remove()
    model(torch.ones(1, 4))
    assert calls == ["after"]


def test_weight_norm_by_hook_still_applies():
    with pytest.warns(FutureWarning):
        layer = torch.nn.utils.weight_norm(nn.Linear(4, 4))
    quantize_(layer, WIDE)
    with torch.no_grad():
        layer.weight_g *= 2
    x = torch.ones(1, 4)
    torch.testing.assert_close(
        layer(x), x @ (layer.weight_v * layer.weight_g / layer.weight_v.norm(dim=1, keepdim=True)).T + layer.bias
    )


def test_shared_module_is_converted_once_and_found_by_both_names():
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"first": shared, "second": shared})
    quantize_(model, {"second": NARROW})
    assert model["first"] is model["second"] is shared and isinstance(shared, LbaLinear)
    assert list(lba_sites(model)) == ["first"]
    set_specs_(model, {"second": WIDE})
    assert str(shared.spec) == WIDE
    with pytest.raises(SelectionError, match="'second' is the same module as 'first'"):
        quantize_(model, {"first": NARROW, "second": WIDE})


def test_exact_name_wins_over_pattern_and_rest():
    model = torch_models.make_mlp(4, 4, 4, 4)
    specs = {"*": "M7E4b10/M7E4b10", "re:[24]": "M7E4b11/M7E4b11", "re:.*": "M7E4b8/M7E4b8", "4": "M7E4b12/M7E4b12"}
    quantize_(model, LbaConfig(specs, {"2": "recursive_overflow"}))
    sites = lba_sites(model)
    assert [str(site.spec) for site in sites.values()] == ["M7E4b8/M7E4b8", "M7E4b11/M7E4b11", "M7E4b12/M7E4b12"]
    assert [site.estimator for site in sites.values()] == ["identity", "recursive_overflow", "identity"]


def test_what_no_key_or_filter_selects_stays():
    model = torch_models.make_mlp(4, 4, 4, 4)
    quantize_(model, {"2": NARROW})
    assert list(lba_sites(model)) == ["2"]
    model = torch_models.make_mlp(4, 4, 4, 4)
    quantize_(model, NARROW, lambda module, name: name != "2")
    assert list(lba_sites(model)) == ["0", "4"]


def test_second_call_changes_the_selected_sites():
    model = torch_models.make_mlp(4, 4, 4)
    quantize_(model, LbaConfig(NARROW, input_quantizer=nn.Identity))
    quantize_(model, LbaConfig({"2": WIDE}, "recursive_overflow"))
    first, second = lba_sites(model).values()
    assert (str(first.spec), first.estimator, type(first.input_quantizer)) == (NARROW, "identity", nn.Identity)
    assert (str(second.spec), second.estimator, second.input_quantizer) == (WIDE, "recursive_overflow", None)


class Doubling(nn.Module):
    def forward(self, x):
        return 2 * x


def test_quantizers_are_applied_before_the_product_one_for_each_site():
    model = torch_models.make_mlp(4, 4, 4)
    expected = 4 * model[0](torch.ones(1, 4)) - 3 * model[0].bias
    quantize_(model, LbaConfig(WIDE, weight_quantizer=Doubling, input_quantizer=Doubling))
    torch.testing.assert_close(model[0](torch.ones(1, 4)), expected)
    assert model[0].weight_quantizer is not model[2].weight_quantizer
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


class OwnForward(nn.Linear):
    def forward(self, input):
        return 2 * super().forward(input)


class Renamed(nn.Linear):
    def __init__(self, width):
        super().__init__(width, width)


def test_subclass_with_code_of_its_own_is_skipped_and_refused_by_name():
    model = nn.Sequential(OwnForward(4, 4), Renamed(4))
    quantize_(model, WIDE)
    assert classes(model)[1:] == [OwnForward, LbaLinear]
    quantize_(model, {"re:[01]": WIDE})
    assert classes(model)[1:] == [OwnForward, LbaLinear]
    with pytest.raises(SelectionError, match=r"module '0' \(OwnForward\).*its own forward"):
        quantize_(model, {"0": WIDE})


def test_transposed_convolutions_stay():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ConvTranspose2d(1, 1, 1))
    quantize_(model, WIDE)
    assert classes(model)[1:] == [LbaConv2d, nn.ConvTranspose2d]
    with pytest.raises(SelectionError, match="expected '1' to be one of Linear, Conv1d, .* got a ConvTranspose2d"):
        quantize_(model, {"1": WIDE})


def parametrized() -> nn.Module:
    return torch.nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))


def with_other_forward() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.forward = lambda input: input
    return layer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LazyLinear(4), r"module '1' \(LazyLinear\).*run the model once"),
        (parametrized, r"module '1' \(ParametrizedLinear\).*parametrized"),
        (with_other_forward, r"module '1' \(Linear\).*forward has been replaced"),
    ],
)
def test_module_that_would_lose_something_is_refused_and_nothing_changes(make, message):
    model = nn.Sequential(nn.Linear(4, 4), make())
    before = classes(model)
    with pytest.raises(ModelError, match=message):
        quantize_(model, WIDE)
    assert classes(model) == before
    quantize_(model, WIDE, lambda module, name: name == "0")
    assert type(model[0]) is LbaLinear


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"fc1": WIDE}, SelectionError, "no module is called 'fc1'; the nearest names are '"),
        ({"re:fc.*": WIDE}, SelectionError, "nothing to convert matches 're:fc.*'; the nearest"),
        ({"re:(": WIDE}, SelectionError, r"'re:\(' is no regular expression"),
        ({"1": WIDE}, SelectionError, "expected '1' to be one of .* got a ReLU"),
        ({}, ValueError, "empty mapping"),
        ({0: WIDE}, TypeError, "expected names and patterns as keys, got int"),
        ("M7E4", ValueError, "spec: expected an exponent bias.*calibration chooses one.*'M7E4'"),
        ("M7E4b12/M7E4,chunk=8", ValueError, "expected an exponent bias.*at character 9 of the spec"),
        ({"0": "M7E4"}, ValueError, "spec of '0': expected an exponent bias"),
        (7, TypeError, "spec: expected an AccumulatorSpec or its text"),
    ],
)
def test_bad_config_is_refused_and_nothing_changes(config, error, message):
    model = torch_models.make_mlp(4, 4, 4)
    before = classes(model)
    with pytest.raises(error, match=message):
        quantize_(model, config)
    assert classes(model) == before


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"estimator": "exact"}, ValueError, "expected one of the estimators identity"),
        ({"estimator": {"3": "identity"}}, SelectionError, "estimator: no module is called '3'"),
        ({"attention": "0"}, TypeError, "expected attention as a list"),
        ({"attention": ["heads"]}, SelectionError, "no module is called 'heads'"),
        ({"attention": ["0"]}, SelectionError, "'0' is a Linear"),
        ({"input_quantizer": nn.Identity()}, TypeError, "returns a new module each time"),
        ({"input_quantizer": dict}, TypeError, "expected input_quantizer to return an nn.Module, got dict"),
    ],
)
def test_bad_settings_are_refused_and_nothing_changes(settings, error, message):
    model = torch_models.make_mlp(4, 4, 4)
    before = classes(model)
    with pytest.raises(error, match=message):
        quantize_(model, LbaConfig(WIDE, **settings))
    assert classes(model) == before


def test_model_without_anything_to_convert_is_refused():
    with pytest.raises(SelectionError, match="in this ReLU nothing is selected"):
        quantize_(nn.ReLU(), WIDE)
    with pytest.raises(TypeError, match="expected an nn.Module, got function"):
        quantize_(classes, WIDE)


def test_name_that_the_filter_leaves_out_is_refused():
    with pytest.raises(SelectionError, match=r"'0' \(Linear\) is left out by filter_fn"):
        quantize_(torch_models.make_mlp(4, 4), {"0": WIDE}, lambda module, name: False)


def test_layer_can_be_made_directly():
    layer = LbaLinear(4, 3, bias=False, spec=NARROW, estimator="immediate_overflow")
    assert layer(torch.ones(2, 4)).shape == (2, 3)
    with pytest.raises(ValueError, match="calibration chooses"):
        layer.spec = "M7E4"
    with pytest.raises(ValueError, match="estimators"):
        layer.estimator = "none"


def test_set_underflow_reaches_every_site():
    model = torch_models.seeded(torch_models.Bert)
    quantize_(model, LbaConfig(NARROW, attention=["re:.*self"]))
    set_underflow_(model, False)
    assert {site.spec.underflow for site in lba_sites(model).values()} == {False}
    set_underflow_(model, True)
    assert {str(site.spec) for site in lba_sites(model).values()} == {NARROW}
    with pytest.raises(TypeError, match="underflow"):
        set_underflow_(model, "off")
    with pytest.raises(ModelError, match="call quantize_"):
        set_underflow_(nn.Linear(2, 2), True)


def test_equal_specs_are_one_object():
    model = torch_models.make_mlp(4, 4, 4)
    quantize_(model, NARROW)
    before = model[0].spec
    set_underflow_(model, True)
    assert model[0].spec is before and model[2].spec is before
    set_underflow_(model, False)
    off = model[0].spec
    set_underflow_(model, True)
    set_specs_(model, NARROW)
    assert model[0].spec is before
    set_underflow_(model, False)
    assert model[0].spec is off


def test_set_specs_changes_what_is_named():
    model = torch_models.seeded(torch_models.Bert)
    quantize_(model, LbaConfig(NARROW, attention=["re:.*self"]))
    set_specs_(model, {"classifier": WIDE, "re:.*scores": WIDE})
    wide = [name for name, site in lba_sites(model).items() if str(site.spec) == WIDE]
    assert wide == ["layer.0.attention.self.scores", "layer.1.attention.self.scores", "classifier"]
    with pytest.raises(SelectionError, match="nothing to convert matches 'head'"):
        set_specs_(model, {"head": WIDE, "classifier": NARROW})
    assert str(lba_sites(model)["classifier"].spec) == WIDE
    set_specs_(model, NARROW)
    assert {str(site.spec) for site in lba_sites(model).values()} == {NARROW}


def test_sites_have_the_layers_and_modules_leave_attention_out():
    model = torch_models.seeded(torch_models.Bert)
    quantize_(model, LbaConfig(NARROW, attention=["re:.*self"]))
    products = set(lba_sites(model)) - set(lba_modules(model))
    assert products == {f"layer.{i}.attention.self.{name}" for i in (0, 1) for name in ("scores", "context")}


def test_deepcopy_is_independent():
    model = torch_models.make_mlp(4, 4)
    quantize_(model, NARROW)
    twin = copy.deepcopy(model)
    set_specs_(twin, WIDE)
    assert str(model[0].spec) == NARROW and str(twin[0].spec) == WIDE
    assert twin[0].weight is not model[0].weight


@pytest.mark.parametrize("training", [True, False])
def test_quantizers_take_over_the_mode(training):
    model = torch_models.make_mlp(4, 4, 4).train(training)
    model[2].train(not training)
    quantize_(model, LbaConfig(NARROW, weight_quantizer=Doubling, input_quantizer=Doubling))
    modes = [site.training for layer in (model[0], model[2]) for site in layer.modules()]
    assert modes == [training] * 3 + [not training] * 3
