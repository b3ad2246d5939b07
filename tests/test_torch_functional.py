"""The functions of tensors: the bits of the kernels, the shapes of torch.nn.functional, and clear refusals."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lba_onnx
from lba_onnx import native
from lba_onnx.arithmetic import AccumulatorSpec

torch = pytest.importorskip("torch", reason="needs PyTorch")
from torch.nn import functional  # noqa: E402

from lba_onnx.torch import (  # noqa: E402
    lba_conv1d,
    lba_conv2d,
    lba_conv3d,
    lba_linear,
    lba_matmul,
    lba_scaled_dot_product_attention,
)

pytestmark = pytest.mark.torch

SPEC = AccumulatorSpec.parse("M7E4b10")
WIDE = AccumulatorSpec.parse("M22E7b63")  # float32 but for truncation
FLOAT32_LIKE = {"rtol": 2e-5, "atol": 2e-5}  # for comparisons of shapes and settings, not of bits


def random(*shape: int, seed: int = 0) -> "torch.Tensor":
    return torch.from_numpy(np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32))


def assert_bits(actual: "torch.Tensor", expected: np.ndarray) -> None:
    assert actual.dtype == torch.float32
    np.testing.assert_array_equal(actual.numpy(), expected)


@pytest.mark.parametrize("shape", [(20,), (7, 20), (2, 3, 20), (0, 20), (2, 0, 20)])
def test_linear_gives_the_bits_of_matmul_plus_bias(shape: tuple[int, ...]) -> None:
    x, w, b = random(*shape), random(9, 20), random(9)
    expected = lba_onnx.matmul(x.numpy(), w.numpy().T, SPEC)
    assert_bits(lba_linear(x, w, spec=SPEC), expected)
    assert_bits(lba_linear(x, w, b, spec=SPEC), expected + b.numpy())


@pytest.mark.parametrize(("in_features", "out_features"), [(0, 3), (3, 0), (0, 0)])
def test_linear_without_features_gives_the_bias(in_features: int, out_features: int) -> None:
    x, w, b = random(2, in_features), random(out_features, in_features), random(out_features)
    assert_bits(lba_linear(x, w, b, spec=SPEC), np.broadcast_to(b.numpy(), (2, out_features)))


BATCHES = [
    ((5,), (5,)), ((5,), (5, 3)), ((4, 5), (5,)), ((4, 5), (5, 3)), ((2, 1, 4, 5), (3, 5, 6)), ((4, 5), (2, 5, 3)),
    ((2, 3, 4, 5), (5, 6)), ((2, 3, 4, 5), (1, 1, 5, 6)), ((0, 5), (5, 3)), ((3, 0), (0, 4)), ((2, 0, 5), (5, 1)),
    ((0, 2, 3), (0, 3, 4)), ((0, 1, 4, 5), (1, 2, 5, 6)), ((5,), (2, 5, 3)), ((2, 4, 5), (5,)),
]  # fmt: skip


@pytest.mark.parametrize(("a_shape", "b_shape"), BATCHES)
def test_matmul_gives_the_bits_of_matmul(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = random(*a_shape), random(*b_shape, seed=1)
    assert_bits(lba_matmul(a, b, spec=SPEC), lba_onnx.matmul(a.numpy(), b.numpy(), SPEC))


def test_views_give_the_bits_of_their_copies() -> None:
    a, b = random(6, 8, 30).transpose(0, 1), random(8, 40, 30)[:, ::2].mT
    assert_bits(lba_matmul(a, b, spec=SPEC), lba_matmul(a.contiguous(), b.contiguous(), spec=SPEC).numpy())
    expanded = random(6, 30).expand(8, 6, 30)
    assert_bits(lba_matmul(expanded, b, spec=SPEC), lba_matmul(expanded.contiguous(), b, spec=SPEC).numpy())
    x, w = random(2, 9, 7, 4).permute(0, 3, 1, 2), random(3, 3, 6, 4).permute(2, 3, 0, 1)
    assert_bits(lba_conv2d(x, w, spec=SPEC), lba_onnx.conv(x.numpy(), w.numpy(), SPEC))
    assert_bits(lba_linear(a, random(30, 5).t(), spec=SPEC), lba_onnx.matmul(a.numpy(), random(30, 5).numpy(), SPEC))


WINDOWS: list[dict[str, Any]] = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": 2, "dilation": 2, "groups": 2},
    {"groups": 4},
    {"padding": "valid"},
    {"padding": "same", "dilation": 3},
]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_is_shaped_as_that_of_torch_and_gives_the_bits_of_conv(axes: int, window: dict[str, Any]) -> None:
    ours, theirs = {
        1: (lba_conv1d, functional.conv1d), 2: (lba_conv2d, functional.conv2d), 3: (lba_conv3d, functional.conv3d),
    }[axes]  # fmt: skip
    x, w, b = random(2, 4, *[9, 8, 7][:axes]), random(8, 4 // window.get("groups", 1), *[3] * axes), random(8)
    y = ours(x, w, b, spec=WIDE, **window)
    torch.testing.assert_close(y, theirs(x, w, b, **window), **FLOAT32_LIKE)
    torch.testing.assert_close(ours(x[0], w, b, spec=WIDE, **window), y[0], rtol=0, atol=0)

    padding, dilation = window.get("padding", 0), window.get("dilation", 1)
    pad = {"same": dilation, "valid": 0}.get(padding, padding)
    expected = lba_onnx.conv(
        x.numpy(), w.numpy(), SPEC, [window.get("stride", 1)] * axes, [pad] * 2 * axes, [dilation] * axes,
        window.get("groups", 1),
    )  # fmt: skip
    assert_bits(ours(x, w, b, spec=SPEC, **window), expected + b.numpy().reshape(-1, *[1] * axes))


def test_same_padding_of_an_even_kernel_is_longer_at_the_end() -> None:
    x, w = random(1, 2, 7, 8), random(3, 2, 4, 2)
    expected = lba_onnx.conv(x.numpy(), w.numpy(), SPEC, pads=[1, 0, 2, 1])
    assert_bits(lba_conv2d(x, w, padding="same", spec=SPEC), expected)
    assert expected.shape == (1, 3, 7, 8)


def test_conv_of_an_empty_batch_is_empty() -> None:
    assert lba_conv2d(random(0, 2, 5, 5), random(3, 2, 3, 3), spec=SPEC).shape == (0, 3, 3, 3)


def test_spec_may_be_text_with_options() -> None:
    x, w = random(3, 40), random(5, 40)
    text = "M4E3b6/M4E3b5,chunk=4,underflow=off"
    assert_bits(lba_linear(x, w, spec=text), lba_linear(x, w, spec=AccumulatorSpec.parse(text)).numpy())


def test_results_are_those_of_any_number_of_threads() -> None:
    x, w, kernel = random(90, 70), random(110, 70), random(6, 10, 3, 3)
    image = random(2, 10, 12, 12)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append((lba_linear(x, w, spec=SPEC), lba_conv2d(image, kernel, spec=SPEC)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert_bits(one, two.numpy())


def attention_case(case: str) -> tuple[list["torch.Tensor"], dict[str, Any]]:
    tensors = [random(2, 4, 5, 8), random(2, 4, 7, 8, seed=1), random(2, 4, 7, 6, seed=2)]
    allowed = torch.ones(5, 7, dtype=torch.bool).tril(2)
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "bool mask": {"attn_mask": allowed},
        "float mask": {"attn_mask": random(2, 1, 5, 7, seed=3)},
        "causal": {"is_causal": True},
        "scale": {"scale": -0.3},
        "grouped": {"enable_gqa": True},
    }
    if case == "grouped":
        tensors[1:] = [tensor[:, :2] for tensor in tensors[1:]]
    return tensors, settings[case]


@pytest.mark.parametrize("case", ["plain", "bool mask", "float mask", "causal", "scale", "grouped"])
def test_attention_is_that_of_torch_in_a_wide_accumulator(case: str) -> None:
    tensors, settings = attention_case(case)
    expected = functional.scaled_dot_product_attention(*tensors, **settings)
    torch.testing.assert_close(
        lba_scaled_dot_product_attention(*tensors, spec=WIDE, **settings), expected, **FLOAT32_LIKE
    )


def test_attention_takes_a_spec_for_each_product() -> None:
    q, k, v = attention_case("plain")[0]
    scores = lba_matmul(q * 8**-0.25, (k * 8**-0.25).mT, spec=SPEC)
    expected = lba_matmul(torch.softmax(scores, -1), v, spec="M4E3b5")
    assert_bits(lba_scaled_dot_product_attention(q, k, v, spec=SPEC, context_spec="M4E3b5"), expected.numpy())


def test_attention_drops_weights_at_random() -> None:
    q, k, v = attention_case("plain")[0]
    assert not lba_scaled_dot_product_attention(q, k, v, dropout_p=1.0, spec=SPEC).any()


def test_attention_refuses_two_masks() -> None:
    q, k, v = attention_case("plain")[0]
    with pytest.raises(ValueError, match="an attn_mask or is_causal, got both"):
        lba_scaled_dot_product_attention(q, k, v, torch.ones(5, 7), is_causal=True, spec=SPEC)


@contextlib.contextmanager
def statistics_run(name: str) -> Any:
    native.statistics_open(name, 1.0)
    try:
        yield
    finally:
        native.statistics_close(name)


def test_statistics_collect_under_an_open_run_only() -> None:
    x, w = random(6, 20), random(9, 20)
    with statistics_run("functional"):
        lba_linear(x, w, spec=SPEC, statistics="functional/linear")
        lba_matmul(x, w.t(), spec=SPEC, statistics="functional/matmul")
        lba_conv1d(x[None], random(4, 6, 3), spec=SPEC, statistics="functional/conv")
        outputs = [native.statistics_read(f"functional/{name}").outputs for name in ("linear", "matmul", "conv")]
        products = native.statistics_read("functional/linear")["product"].values
    assert outputs == [54, 54, 72] and products == 6 * 9 * 20
    assert_bits(lba_linear(x, w, spec=SPEC, statistics="functional/linear"), lba_linear(x, w, spec=SPEC).numpy())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast_takes_inputs_to_float32(dtype: str) -> None:
    x, w, b = random(3, 20).to(getattr(torch, dtype)), random(5, 20), random(5).to(getattr(torch, dtype))
    kernel = random(3, 1, 3)
    with torch.autocast("cpu", getattr(torch, dtype)):
        y = lba_linear(x, w, b, spec=SPEC)
        product = lba_matmul(x, w.t(), spec=SPEC)
        convolved = lba_conv1d(x[:, None], kernel, spec=SPEC)
    assert_bits(y, lba_linear(x.float(), w, b.float(), spec=SPEC).numpy())
    assert_bits(product, lba_matmul(x.float(), w.t(), spec=SPEC).numpy())
    assert_bits(convolved, lba_conv1d(x.float()[:, None], kernel, spec=SPEC).numpy())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    x, w = random(3, 20), random(5, 20).to(getattr(torch, dtype))
    with pytest.raises(TypeError, match=rf"expected weight to be torch.float32, got torch.{dtype}"):
        lba_linear(x, w, spec=SPEC)
    with pytest.raises(TypeError, match=rf"expected b to be torch.float32, got torch.{dtype}"):
        lba_matmul(x, w.t(), spec=SPEC)
    with pytest.raises(TypeError, match=rf"expected bias to be torch.float32, got torch.{dtype}"):
        lba_conv1d(x[:, None], x[:, None, :3], w[0, :3], spec=SPEC)
    with torch.autocast("cpu", torch.bfloat16), contextlib.ExitStack() as stack:
        if dtype in ("float64", "int32"):  # which autocast leaves alone
            stack.enter_context(pytest.raises(TypeError, match=rf"expected weight .* got torch.{dtype}"))
        lba_linear(x, w, spec=SPEC)


@pytest.mark.parametrize("dtype", ["float64", "complex64", "int32"])
@pytest.mark.parametrize("is_autocast", [True, False])
def test_the_advice_for_other_dtypes_holds_inside_and_outside_autocast(dtype: str, is_autocast: bool) -> None:
    x, w = random(3, 20), random(5, 20).to(getattr(torch, dtype))
    advice = rf"got torch.{dtype}; cast it \(torch.autocast does, for torch.float16 and torch.bfloat16 only\)$"
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        with pytest.raises(TypeError, match=f"expected weight to be torch.float32, {advice}"):
            lba_linear(x, w, spec=SPEC)
        with pytest.raises(TypeError, match=f"expected a to be torch.float32, {advice}"):
            lba_matmul(w, x.t(), spec=SPEC)


def test_other_devices_are_refused_by_name() -> None:
    x, far = random(3, 20), torch.empty(5, 20, device="meta")
    with pytest.raises(ValueError, match="all operands on cpu, got input on cpu, weight on meta"):
        lba_linear(x, far, spec=SPEC)
    with pytest.raises(ValueError, match="all operands on cpu, got a on meta, b on cpu"):
        lba_matmul(far, x.t(), spec=SPEC)
    with pytest.raises(ValueError, match="got input on meta, weight on meta, bias on cpu"):
        lba_conv1d(far[None], far[:, :, None], torch.zeros(5), spec=SPEC)
    with pytest.raises(ValueError, match="got input on meta, weight on meta"):
        lba_linear(far.requires_grad_(), far, spec=SPEC)


def calls() -> list[tuple[str, Callable[[], object], type[Exception], str]]:
    x, w, image = random(3, 4), random(5, 4), random(1, 4, 6, 6)
    kernel = random(2, 4, 3, 3)
    return [
        ("family", lambda: lba_linear(x, w, spec="M7E4"), ValueError, "exponent bias.*calibration chooses one"),
        ("other text", lambda: lba_linear(x, w, spec="fp12"), ValueError, "'fp12'"),
        ("no spec", lambda: lba_linear(x, w, spec=12), TypeError, "AccumulatorSpec or its text.*got int"),  # type: ignore[arg-type]
        ("estimator", lambda: lba_linear(x, w, spec=SPEC, estimator="ste"), ValueError, "estimators identity.*'ste'"),
        ("features", lambda: lba_linear(x, w[:, 1:], spec=SPEC), ValueError, r"got shapes \(3, 4\) and \(5, 3\)"),
        ("scalar", lambda: lba_linear(x[0, 0], w, spec=SPEC), ValueError, "in_features"),
        ("bias", lambda: lba_linear(x, w, x[0], spec=SPEC), ValueError, r"bias of shape \(5,\), got \(4,\)"),
        ("depth", lambda: lba_matmul(x, w, spec=SPEC), ValueError, r"\(3, 4\), \(5, 4\)"),
        ("0-D", lambda: lba_matmul(x, w[0, 0], spec=SPEC), ValueError, "at least one dimension"),
        ("batches", lambda: lba_matmul(random(2, 3, 4), random(3, 4, 5), spec=SPEC), ValueError, "that broadcast"),
        ("axes", lambda: lba_conv1d(image, kernel, spec=SPEC), ValueError, "1 spatial axes"),
        ("groups", lambda: lba_conv2d(image, kernel, groups=2, spec=SPEC), ValueError, "for groups 2"),
        ("channels", lambda: lba_conv2d(image[:, 1:], kernel, spec=SPEC), ValueError, "channels / groups"),
        ("stride", lambda: lba_conv2d(image, kernel, stride=0, spec=SPEC), ValueError, r"stride as 2.*\[0, 0\]"),
        ("strides", lambda: lba_conv2d(image, kernel, stride=(1, 1, 1), spec=SPEC), ValueError, "one integer or 2"),
        ("padding", lambda: lba_conv2d(image, kernel, padding=-1, spec=SPEC), ValueError, "pads_begin as 2"),
        ("same", lambda: lba_conv2d(image, kernel, stride=2, padding="same", spec=SPEC), ValueError, "stride of 1"),
        ("words", lambda: lba_conv2d(image, kernel, padding="full", spec=SPEC), ValueError, "'valid' or 'same'"),
        ("reach", lambda: lba_conv2d(image, kernel, dilation=3, spec=SPEC), ValueError, "fits the padded input"),
        ("conv bias", lambda: lba_conv2d(image, kernel, x[0], spec=SPEC), ValueError, r"shape \(2,\)"),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(len(calls())), ids=[call[0] for call in calls()])
def test_what_does_not_fit_is_refused(index: int) -> None:
    _, call, error, reason = calls()[index]
    with pytest.raises(error, match=reason):
        call()


def test_nan_and_infinity_pass_as_the_numerics_say() -> None:
    # An infinite product saturates to 15.9375, and 16.9375 is truncated; infinity times zero is NaN.
    x = torch.tensor([[math.nan, 1.0], [math.inf, 1.0], [math.inf, 0.0]])
    y = lba_linear(x, torch.tensor([[1.0, 1.0], [0.0, 1.0]]), spec=SPEC)
    assert_bits(y, np.array([[np.nan, np.nan], [16.875, np.nan], [15.9375, np.nan]], np.float32))
