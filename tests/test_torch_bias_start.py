"""Sums that start from a bias in PyTorch: the bits of the kernels, the reference's gradients, and the way to ONNX."""

import numpy as np
import onnx
import pytest
from gradient_cases import leaf, seeded
from same_bits import assert_same_bits

import lba_onnx
from lba_onnx import kernels
from lba_onnx.errors import LbaError
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference import gradients
from lba_onnx.rewrite import converted_nodes
from lba_onnx.rewrite.model_files import load_model

torch = pytest.importorskip("torch", reason="needs PyTorch")

from torch import nn  # noqa: E402

from lba_onnx.torch import (  # noqa: E402
    LbaConfig,
    LbaLinear,
    check_export,
    export,
    export_float32,
    lba_conv2d,
    lba_linear,
    lba_matmul,
    lba_sites,
    quantize_,
)
from lba_onnx.torch.exporting.translation import translation_table  # noqa: E402
from tests.torch_models import seeded as seeded_model  # noqa: E402

pytestmark = pytest.mark.torch

TEXT = "M4E3b4/M4E3b4,chunk=5"  # small integers overflow in it and swamp


def integers(name: str, *shape: int) -> np.ndarray:
    return seeded(name, shape).integers(-3, 4, shape).astype(np.float32)


def tensors(*arrays: np.ndarray) -> list["torch.Tensor"]:
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("shape", [(20,), (7, 20), (2, 3, 20), (0, 20), (7, 0)])
def test_linear_starts_from_its_bias(shape):
    x, w, b = integers("x", *shape), integers("w", 9, shape[-1]), integers("b", 9) * 7
    y = lba_linear(*tensors(x, w, b), bias_start=True, spec=TEXT)
    assert_same_bits(y.numpy(), kernels.matmul(x, w.T, TEXT, initial=b))
    plain = lba_linear(*tensors(x, w), bias_start=True, spec=TEXT)
    assert_same_bits(plain.numpy(), kernels.matmul(x, w.T, TEXT))


@pytest.mark.parametrize(
    ("a", "b", "c"),
    [
        ((4, 15), (15, 3), (4, 3)),
        ((15,), (15,), ()),
        ((15,), (15, 3), (3,)),
        ((4, 15), (15,), (4,)),
        ((2, 1, 4, 15), (3, 15, 6), (3, 1, 6)),
        ((2, 3, 4, 15), (15, 6), (2, 1, 4, 1)),
        ((0, 15), (15, 3), (1,)),
    ],
)
def test_products_start_from_what_broadcasts_to_them(a, b, c):
    left, right, initial = integers("a", *a), integers("b", *b), np.array(integers("c", *c) * 7)
    y = lba_matmul(*tensors(left, right), initial=torch.from_numpy(initial), spec=TEXT)
    assert_same_bits(y.numpy(), kernels.matmul(left, right, TEXT, initial=initial))


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_start_from_their_bias(groups):
    x, w, b = integers("x", 2, 4, 9, 8), integers("w", 6, 4 // groups, 3, 3), integers("b", 6) * 7
    settings = {"stride": 2, "padding": 1, "groups": groups, "spec": TEXT}
    y = lba_conv2d(*tensors(x, w, b), bias_start=True, **settings)
    start = b[:, np.newaxis, np.newaxis]
    expected = kernels.conv(x, w, TEXT, strides=[2, 2], pads=[1] * 4, group=groups, initial=start)
    assert_same_bits(y.numpy(), expected)
    assert np.any(lba_conv2d(*tensors(x, w, b), **settings).numpy() != expected)


def test_what_does_not_broadcast_is_refused():
    a, b = torch.ones(2, 3), torch.ones(3, 4)
    for shape in ((3,), (1, 2, 4), (5, 4)):
        with pytest.raises(ValueError, match=r"expected initial to broadcast to \(2, 4\), got shape"):
            lba_matmul(a, b, initial=torch.ones(shape), spec=TEXT)
    with pytest.raises(TypeError, match="expected initial to be torch.float32"):
        lba_matmul(a, b, initial=torch.ones(4, dtype=torch.float64), spec=TEXT)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("wants", [(True, True, True), (False, False, True), (True, False, False)])
def test_gradients_are_the_references(estimator, wants):
    """Of small integers, whose sums are exact in float32."""

    def passed_back(function, *arrays):
        leaves = [leaf(array) for array in arrays]
        for tensor, wanted in zip(leaves, wants, strict=True):
            tensor.requires_grad_(wanted)
        y = function(*leaves)
        grad = integers("grad", *y.shape)
        y.backward(torch.from_numpy(grad))
        return grad, [None if tensor.grad is None else tensor.grad.numpy() for tensor in leaves]

    def same(found, expected):
        for got, exact, wanted in zip(found, expected, wants, strict=True):
            assert (got is not None) == wanted
            if got is not None:
                np.testing.assert_array_equal(got, exact.reshape(got.shape))

    settings = {"spec": TEXT, "estimator": estimator}
    a, b, c = integers("a", 2, 6, 17), integers("b", 17, 5), integers("c", 2, 1, 5) * 7
    grad, found = passed_back(lambda *given: lba_matmul(given[0], given[1], initial=given[2], **settings), a, b, c)
    first, second, start = gradients.matmul_gradients(grad, a, np.stack([b, b]), TEXT, estimator, c)
    same(found, (first, second.sum(0), start))

    x, w, bias = a.reshape(12, 17), b.T.copy(), np.array([21, -7, 0.01, 14, 3], np.float32)  # saturates, underflows
    grad, found = passed_back(lambda *given: lba_linear(*given, bias_start=True, **settings), x, w, bias)
    first, second, start = gradients.matmul_gradients(grad, x, b, TEXT, estimator, bias)
    same(found, (first, second.T, start))
    if estimator != "identity" and wants[2]:
        assert not np.array_equal(found[2], grad.sum(0)), "no bias is gated"

    x, w, bias = integers("x", 2, 4, 7, 6), integers("w", 6, 2, 3, 3), integers("b", 6) * 7
    run = lambda *given: lba_conv2d(*given, padding=1, groups=2, bias_start=True, **settings)  # noqa: E731
    grad, found = passed_back(run, x, w, bias)
    window = ([1, 1], [1] * 4, [1, 1], 2)
    same(found, gradients.conv_gradients(grad, x, w, TEXT, estimator, *window, bias[:, None, None]))


class Net(nn.Module):
    """A convolution, a layer of vectors in sequences, called twice, attention's projections and a head."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 6, 3, padding=1)
        self.shared = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.bare = nn.Linear(6, 6, bias=False)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        y = torch.relu(self.conv(x)).transpose(1, 2)
        y = self.shared(torch.relu(self.shared(y)))
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.head(self.bare(y).mean(1))


def net() -> nn.Module:
    model = seeded_model(Net)
    quantize_(model, LbaConfig("M5E4b9", attention=["attention"], bias_start=True))
    return model.eval()


def test_layers_start_from_their_bias():
    model = net()
    assert "spec=M5E4b11/M5E4b9, estimator=identity, bias_start=True)" in repr(model.head)
    x = torch.randn(3, 6)
    expected = lba_linear(x, model.head.weight, model.head.bias, bias_start=True, spec="M5E4b9")
    assert torch.equal(model.head(x), expected)
    quantize_(model, "M5E4b9")
    assert not any(getattr(site, "bias_start", False) for site in lba_sites(model).values())
    made = LbaLinear(6, 4, spec="M5E4b9", bias_start=True)
    assert made.bias_start
    with pytest.raises(TypeError, match="expected bias_start to be a bool, got int 1"):
        LbaConfig("M5E4b9", bias_start=1)


def test_exported_nodes_start_from_their_bias(tmp_path):
    model, x = net(), torch.randn(2, 3, 7)
    settings = {"input_names": ["x"], "dynamic_shapes": ({0: "batch", 2: "length"},)}
    export(model, x, tmp_path / "lba.onnx", **settings)
    proto = load_model(tmp_path / "lba.onnx")
    attributes = {name: {a.name: a for a in node.attribute} for name, node in converted_nodes(proto)}
    starting = {name for name, told in attributes.items() if "bias_start" in told and told["bias_start"].i == 1}
    products = {"attention.scores", "attention.context", "bare"}
    assert starting == attributes.keys() - products > {"conv", "shared", "shared#2", "head", "attention.out_proj"}
    inputs = torch.randn(5, 3, 11)
    check = check_export(model, tmp_path / "lba.onnx", inputs)
    assert check.is_bit_equal and not check.errors and not check.not_run
    export_float32(model, x, tmp_path / "float32.onnx", tmp_path / "specs.json", **settings)
    specs = lba_onnx.Calibration.load(tmp_path / "specs.json").specs
    again, _ = lba_onnx.convert(tmp_path / "float32.onnx", specs, bias_start=True)
    assert {name: node.attribute for name, node in converted_nodes(again)} == {
        name: node.attribute for name, node in converted_nodes(proto)
    }
    onnx.save(again, tmp_path / "again.onnx")
    assert check_export(model, tmp_path / "again.onnx", inputs).is_bit_equal


def test_an_export_of_a_product_that_starts_from_values_is_refused():
    translate = translation_table()[torch.ops.lba_onnx.matmul.default]
    with pytest.raises(LbaError, match="LbaMatMul has no bias to start from"):
        translate(None, None, object(), TEXT, "identity", "export/product")
