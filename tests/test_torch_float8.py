import copy
import io
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import onnxruntime as ort  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import lba_onnx  # noqa: E402
from lba_onnx import AccumulatorSpec, FloatFormat  # noqa: E402
from lba_onnx.errors import ModelError, SelectionError  # noqa: E402
from lba_onnx.torch import (  # noqa: E402
    Float8InputQuantizer,
    Float8Quantizer,
    LbaConfig,
    lba_sites,
    quantize_,
    quantize_float8_,
)

pytestmark = pytest.mark.torch

FLOAT8 = ["M4E3", "M3E4", "M2E5"]
SPEC = "M7E4b12/M7E4b10"


def rounded(value: Fraction, unit: Fraction) -> Fraction:
    """The multiple of the unit that is nearest, the even one of two."""
    return round(value / unit) * unit


def unit_at(value: Fraction, mantissa_bits: int) -> Fraction:
    """The last of 1 + mantissa_bits bits of a number."""
    unit = Fraction(1)
    while value / unit >= 2 ** (mantissa_bits + 1):
        unit *= 2
    while value / unit < 2**mantissa_bits:
        unit /= 2
    return unit


def reference_format(mantissa_bits: int, exponent_bits: int, values: list[float]) -> FloatFormat:
    """Try all biases, the largest first, until the largest magnitude needs no saturation."""
    largest = max((Fraction(abs(value)) for value in values if math.isfinite(value)), default=Fraction(0))
    if largest:
        largest = rounded(largest, unit_at(largest, mantissa_bits))
    least_bias = 2**exponent_bits - 128
    biases = range(126, least_bias - 1, -1)
    formats = (FloatFormat(mantissa_bits, exponent_bits, bias) for bias in biases)
    return next((each for each in formats if largest <= Fraction(each.max_value)), FloatFormat(
        mantissa_bits, exponent_bits, least_bias
    ))  # fmt: skip


def reference(value: float, target: FloatFormat) -> float:
    if math.isnan(value):
        return value
    if abs(value) >= target.max_value:
        return math.copysign(target.max_value, value)
    magnitude, least = Fraction(abs(value)), Fraction(target.min_value)
    unit = least if magnitude < least else unit_at(magnitude, target.mantissa_bits)
    return math.copysign(float(rounded(magnitude, unit)), value)


def values_of(target: FloatFormat) -> list[Fraction]:
    exponents = range(2**target.exponent_bits)
    return [Fraction(0)] + [
        Fraction(2) ** (i - target.exponent_bias) * (1 + Fraction(j, 2**target.mantissa_bits))
        for i in exponents
        for j in range(2**target.mantissa_bits)
    ]


def assert_same_values(got, expected):
    np.testing.assert_array_equal(got.detach().numpy(), np.asarray(expected, np.float32))


@pytest.mark.parametrize("family", FLOAT8)
def test_values_of_the_format_stay_and_midpoints_go_to_the_even_one(family):
    exact = values_of(FloatFormat.parse(family + "b5"))
    tensor = torch.tensor([float(value) for value in exact])
    quantizer = Float8Quantizer(family)
    assert str(quantizer.format_for(tensor)) == family + "b5"
    assert_same_values(quantizer(tensor), tensor)
    middles = torch.tensor([float((a + b) / 2) for a, b in itertools.pairwise(exact)])
    is_lower_even = torch.arange(len(middles)) % 2 == 1  # after the zero, binades begin with an even significand
    expected = torch.where(is_lower_even, tensor[:-1], tensor[1:])
    expected[0] = 0.0
    assert_same_values(quantizer(torch.cat([middles, tensor[-1:]]))[:-1], expected)


@pytest.mark.parametrize("family", FLOAT8)
def test_neighbours_of_midpoints_go_to_the_nearest_value(family):
    exact = values_of(FloatFormat.parse(family + "b5"))
    middles = torch.tensor([float((a + b) / 2) for a, b in itertools.pairwise(exact)])
    values = torch.tensor([float(value) for value in exact])
    zero, infinity = torch.tensor(0.0), torch.tensor(math.inf)
    quantizer = Float8Quantizer(family)
    for sign in (1.0, -1.0):
        below = torch.cat([torch.nextafter(middles, zero), values[-1:]]) * sign
        above = torch.cat([torch.nextafter(middles, infinity), values[-1:]]) * sign
        assert_same_values(quantizer(below)[:-1], values[:-1] * sign)
        assert_same_values(quantizer(above)[:-1], values[1:] * sign)


def test_every_significand_of_a_binade_is_rounded_to_nearest_even():
    bits = np.arange(0x3F800000, 0x40000000, dtype=np.int64)  # all float32 numbers from 1 to 2
    dropped = 23 - 4
    low, kept = bits & ((1 << dropped) - 1), bits >> dropped
    half = 1 << (dropped - 1)
    expected = ((kept + ((low > half) | ((low == half) & (kept & 1 == 1)))) << dropped).astype(np.int32)
    x = torch.from_numpy(bits.astype(np.int32).view(np.float32))
    got = Float8Quantizer("M4E3")(x).numpy()
    assert np.array_equal(got.view(np.int32), expected)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 22),
    st.integers(1, 7),
    st.lists(st.floats(width=32), min_size=1, max_size=8),
    st.integers(-149, 127),
    st.integers(0, 40),
)
def test_any_tensor_gives_the_reference(mantissa_bits, exponent_bits, values, exponent, spread):
    with np.errstate(over="ignore", under="ignore"):
        near = [np.float32(np.ldexp(1.0 + k / 97, exponent - k * spread // 8)) for k in range(8)]
    x = torch.tensor([*values, *map(float, near)], dtype=torch.float32)
    quantizer = Float8Quantizer(f"M{mantissa_bits}E{exponent_bits}")
    for tensor in (x, x[len(values) :]):
        target = reference_format(mantissa_bits, exponent_bits, tensor.tolist())
        assert quantizer.format_for(tensor) == target
        assert_same_values(quantizer(tensor), [reference(value, target) for value in tensor.tolist()])


def test_special_values():
    x = torch.tensor([math.nan, math.inf, -math.inf, 1.0, -0.3])
    assert_same_values(Float8Quantizer()(x), [math.nan, 1.9375, -1.9375, 1.0, -0.296875])
    assert_same_values(Float8Quantizer()(torch.zeros(3)), [0.0, 0.0, 0.0])
    assert Float8Quantizer()(torch.zeros(0, 4)).shape == (0, 4)


def test_a_largest_magnitude_that_rounds_up_to_the_next_binade_gets_its_bias():
    x = torch.tensor([1.99, 0.0079])
    assert str(Float8Quantizer().format_for(x)) == "M4E3b6"
    assert_same_values(Float8Quantizer()(x), [2.0, 0.015625])


def test_gradients_pass_unchanged():
    x = torch.tensor([5.0, -0.3, 1e-9, 0.0], requires_grad=True)
    gradient = torch.tensor([1.0, 2.0, 3.0, 4.0])
    Float8Quantizer()(x).backward(gradient)
    assert torch.equal(x.grad, gradient)


def test_the_input_quantizer_takes_the_batch_in_training_and_the_running_range_in_evaluation():
    quantizer = Float8InputQuantizer()
    spike, usual = torch.tensor([100.0, 0.1]), torch.tensor([3.0, 0.1])
    assert_same_values(quantizer(spike), Float8Quantizer()(spike))
    assert quantizer.largest == 100.0
    assert_same_values(quantizer(usual), Float8Quantizer()(usual))
    assert quantizer.largest == torch.lerp(torch.tensor(100.0), torch.tensor(3.0), 0.1)
    for _ in range(100):
        quantizer(usual)
    assert 3.0 <= quantizer.largest < 3.1
    quantizer.eval()
    assert_same_values(quantizer(spike), [3.875, 0.1015625])
    assert 3.0 <= quantizer.largest < 3.1


def test_gradients_of_saturated_inputs_pass_in_evaluation():
    quantizer = Float8InputQuantizer()
    quantizer(torch.ones(2))
    x = torch.tensor([50.0, 0.5], requires_grad=True)
    quantizer.eval()(x).sum().backward()
    assert torch.equal(x.grad, torch.ones(2))


def test_an_empty_batch_leaves_the_running_range():
    quantizer = Float8InputQuantizer()
    quantizer(torch.ones(2))
    assert quantizer(torch.zeros(0)).shape == (0,)
    assert quantizer.largest == 1.0


def test_the_running_range_is_part_of_the_state():
    quantizer, fresh = Float8InputQuantizer(), Float8InputQuantizer()
    quantizer(torch.tensor([7.0]))
    fresh.load_state_dict(quantizer.state_dict())
    x = torch.randn(50)
    expected = quantizer.eval()(x)
    assert_same_values(fresh.eval()(x), expected)
    assert_same_values(copy.deepcopy(quantizer)(x), expected)


def test_evaluation_before_any_batch_is_refused():
    with pytest.raises(RuntimeError, match="expected a range to quantize by, got none"):
        Float8InputQuantizer().eval()(torch.ones(3))


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="expected a family of formats"):
        Float8Quantizer("M4E3b5")
    with pytest.raises(ValueError, match="expected a momentum above 0"):
        Float8InputQuantizer(momentum=0.0)
    with pytest.raises(TypeError, match=r"expected a torch.float32 tensor to quantize, got torch.float64"):
        Float8Quantizer()(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_takes_halves_to_float32(dtype):
    x = torch.randn(20).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        got = Float8Quantizer()(x)
    assert got.dtype == torch.float32
    assert_same_values(got, Float8Quantizer()(x.float()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.complex64, torch.float8_e4m3fn])
@pytest.mark.parametrize("is_autocast", [True, False])
def test_dtypes_that_autocast_does_not_take_are_refused_inside_it_too(dtype, is_autocast):
    x = torch.ones(3).to(dtype)
    advice = rf"got {dtype}; cast it \(torch.autocast does, for torch.float16 and torch.bfloat16 only\)$"
    for quantizer in (Float8Quantizer(), Float8InputQuantizer()):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
            with pytest.raises(TypeError, match=f"expected a torch.float32 tensor to quantize, {advice}"):
                quantizer(x)
            with pytest.raises(TypeError, match=advice):
                quantizer.format_for(x)


class BothQuantizers(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 50) * torch.logspace(-4, 1, 50))
        self.of_weight = Float8Quantizer()
        self.of_input = Float8InputQuantizer("M3E4")

    def forward(self, x):
        return self.of_input(x), self.of_weight(self.weight), self.of_weight(x)


def trained_quantizers():
    torch.manual_seed(0)
    model = BothQuantizers()
    model(torch.randn(1000))
    x = torch.randn(1000) * torch.exp2(torch.randint(-20, 4, (1000,)))
    x[:3] = torch.tensor([math.nan, math.inf, -math.inf])
    return model.eval(), x


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.filterwarnings("ignore:overflow encountered in multiply:RuntimeWarning")  # a branch that is not taken
def test_an_exported_model_gives_the_same_bits():
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model, x = trained_quantizers()
    file = io.BytesIO()
    program = torch.onnx.export(model, (x,), dynamo=True, dynamic_shapes={"x": {0: "n"}}, verbose=False)
    program.save(file)
    for optimizations in ("ORT_DISABLE_ALL", "ORT_ENABLE_ALL"):
        options = ort.SessionOptions()
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, optimizations)
        session = ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        for values in (x, x[: len(x) // 3]):
            got = session.run(None, {"x": values.numpy()})
            for ours, exported in zip(model(values), got, strict=True):
                assert_same_values(ours, exported)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler and what it imports
def test_a_compiled_model_gives_the_same_bits():
    model, x = trained_quantizers()
    for ours, compiled in zip(model(x), torch.compile(model)(x), strict=True):
        assert_same_values(compiled, ours.detach())


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def test_the_baseline_computes_with_quantized_operands_in_float32():
    model, x = small_net(), torch.randn(2, 1, 6, 6)
    parameters = dict(model.named_parameters())
    quantize_float8_(model)
    assert all(parameter is parameters[name] for name, parameter in model.named_parameters())
    q, (conv, _, _, linear) = Float8Quantizer(), model
    hidden = functional.conv2d(q(x), q(conv.weight), conv.bias, padding=1).relu().flatten(1)
    assert_same_values(model(x), functional.linear(q(hidden), q(linear.weight), linear.bias).detach())


@pytest.mark.parametrize(("conv", "size"), [(nn.Conv1d, (9,)), (nn.Conv2d, (6, 7)), (nn.Conv3d, (4, 5, 6))])
def test_the_baseline_of_each_convolution_keeps_its_settings(conv, size):
    torch.manual_seed(0)
    layer = conv(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="circular")
    x, quantizer = torch.randn(2, 4, *size), Float8Quantizer()
    twin = copy.deepcopy(layer)
    twin.weight.data = quantizer(layer.weight.data)
    quantize_float8_(layer)
    assert_same_values(layer(x), twin(quantizer(x)).detach())


def test_the_baselines_state_loads_into_a_converted_model():
    baseline, model, x = small_net(), small_net(), torch.randn(8, 1, 6, 6)
    quantize_float8_(baseline)
    baseline(x)
    quantize_(model, LbaConfig(SPEC, weight_quantizer=Float8Quantizer, input_quantizer=Float8InputQuantizer))
    model.load_state_dict(baseline.state_dict())
    linear = model.eval()[3]
    hidden = torch.randn(4, 144)
    operands = (linear.input_quantizer(hidden), linear.weight_quantizer(linear.weight).T)
    dots = lba_onnx.matmul(*(operand.detach().numpy() for operand in operands), AccumulatorSpec.parse(SPEC))
    assert_same_values(linear(hidden), torch.from_numpy(dots) + linear.bias.detach())


def test_the_filter_chooses_the_layers_of_the_baseline():
    model = small_net()
    quantize_float8_(model, lambda module, name: name != "0", weight_quantizer=lambda: Float8Quantizer("M3E4"))
    assert type(model[0]) is nn.Conv2d
    assert str(model[3].weight_quantizer.family) == "M3E4"
    with pytest.raises(ModelError, match="found none"):
        quantize_float8_(nn.ReLU())


@pytest.mark.parametrize("quantizer", ["weight_quantizer", "input_quantizer"])
def test_a_quantizer_that_cannot_be_made_changes_nothing(quantizer):
    model, made = small_net(), []

    def fails_midway():
        if made:
            raise RuntimeError("no second one")
        made.append(Float8Quantizer())
        return made[0]

    with pytest.raises(RuntimeError, match="no second one"):
        quantize_float8_(model, **{quantizer: fails_midway})
    with pytest.raises(TypeError, match=f"expected {quantizer} to return an nn.Module, got dict"):
        quantize_float8_(model, **{quantizer: dict})
    assert [type(layer) for layer in model] == [nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear]
    assert not any(list(layer.children()) for layer in model)


def test_the_baseline_takes_over_the_mode_of_its_layers():
    model = small_net().eval()
    quantize_float8_(model)
    with pytest.raises(RuntimeError, match="expected a range to quantize by"):
        model(torch.randn(1, 1, 6, 6))


def test_a_trained_baseline_is_converted_with_its_quantizers():
    model, twin = small_net(), small_net()
    quantize_float8_(model)
    images = torch.randn(4, 1, 6, 6)
    model(images)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    quantize_(model.eval(), SPEC)
    assert {type(site).__name__ for site in lba_sites(model).values()} == {"LbaConv2d", "LbaLinear"}
    assert model.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    quantize_(twin, LbaConfig(SPEC, weight_quantizer=Float8Quantizer, input_quantizer=Float8InputQuantizer))
    twin.load_state_dict(state)
    assert torch.equal(model(images), twin.eval()(images))


def test_quantizers_of_the_config_replace_those_of_the_baseline():
    model = small_net()
    quantize_float8_(model)
    model(torch.randn(4, 1, 6, 6))
    quantize_(model, LbaConfig(SPEC, input_quantizer=nn.Identity))
    for site in lba_sites(model).values():
        assert type(site.input_quantizer) is nn.Identity and type(site.weight_quantizer) is Float8Quantizer


def test_a_layer_of_the_baseline_is_no_attention_module():
    model = nn.ModuleDict({"layer": nn.Linear(4, 4)})
    quantize_float8_(model)
    with pytest.raises(SelectionError, match="'layer' is a Float8Linear"):
        quantize_(model, LbaConfig(SPEC, attention=["layer"]))
