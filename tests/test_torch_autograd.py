"""What PyTorch's autograd asks of the functions: shapes, wanted gradients only, autocast, checkpoints, derivatives."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hostile import operand

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference import gradients

torch = pytest.importorskip("torch", reason="needs PyTorch")
from gradient_cases import M4E3, UNIT, assert_within_rounding, leaf, matmul_backward, seeded  # noqa: E402
from torch.nn import functional  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from lba_onnx.torch import lba_conv1d, lba_conv2d, lba_linear, lba_matmul  # noqa: E402
from lba_onnx.torch.operators.gating import GatedProducts, close_gating, open_gating, read_gating  # noqa: E402

pytestmark = pytest.mark.torch

GATING = [name for name, estimator in ESTIMATORS.items() if estimator.gating]


def assert_gradients_equal(ours: Callable[..., Any], theirs: Callable[..., Any], *operands: np.ndarray) -> None:
    """Compare gradients of two functions of the same operands, which may sum in other orders: 16 float32 roundings."""
    both = []
    for function in (ours, theirs):
        leaves = [leaf(values) for values in operands]
        y = function(*leaves)
        y.backward(torch.from_numpy(seeded(tuple(y.shape)).standard_normal(y.shape).astype(np.float32)))
        both.append([tensor.grad for tensor in leaves])
    for one, two in zip(*both, strict=True):
        assert one.shape == two.shape
        torch.testing.assert_close(one, two, rtol=16 * UNIT, atol=64 * UNIT)


BATCHES = [
    ((5,), (5,)), ((5,), (5, 3)), ((4, 5), (5,)), ((2, 1, 4, 5), (3, 5, 6)), ((4, 5), (2, 5, 3)),
    ((2, 3, 4, 5), (5, 6)),
    ((2, 3, 4, 5), (1, 1, 5, 6)), ((0, 5), (5, 3)), ((3, 0), (0, 4)), ((2, 0, 5), (5, 1)), ((0, 2, 3), (0, 3, 4)),
    ((0, 1, 4, 5), (1, 2, 5, 6)), ((5,), (2, 5, 3)), ((2, 4, 5), (5,)), ((1, 4, 5), (3, 2, 5, 2)),
]  # fmt: skip


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("a_shape", "b_shape"), BATCHES)
def test_broadcast_gradients_are_shaped_and_summed_as_by_torch(
    a_shape: tuple[int, ...], b_shape: tuple[int, ...], estimator: str
) -> None:
    rng = seeded(a_shape, b_shape)
    a, b = operand("normal", a_shape, rng), operand("normal", b_shape, rng)
    # Nothing is lost in this spec but the last bits: every estimator passes everything.
    assert_gradients_equal(lambda a, b: lba_matmul(a, b, spec="M22E7b63", estimator=estimator), torch.matmul, a, b)


@pytest.mark.parametrize("estimator", GATING)
def test_batches_gate_each_product_of_their_own(estimator: str) -> None:
    rng = seeded("batch", estimator)
    a, b, grad = (operand("normal", shape, rng) for shape in ((2, 3, 6, 20), (2, 1, 20, 5), (2, 3, 6, 5)))
    spread = np.broadcast_to(b, (2, 3, 20, 5))
    expected_a, expected_b = gradients.matmul_gradients(grad, a, spread, M4E3, estimator)
    actual_a, actual_b = matmul_backward(a, b, grad, M4E3, estimator)
    assert_within_rounding(actual_a, expected_a, (abs(grad) @ abs(spread).swapaxes(-1, -2)).astype(float), 6)
    magnitudes = (abs(a).swapaxes(-1, -2) @ abs(grad)).sum(1, keepdims=True).astype(float)
    assert_within_rounding(actual_b, expected_b.sum(1, keepdims=True), magnitudes, 6 + 3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("shape", [(20,), (7, 20), (2, 3, 20), (0, 20), (2, 0, 20), (3, 0)])
def test_linear_gradients_are_shaped_and_summed_as_by_torch(shape: tuple[int, ...], estimator: str) -> None:
    rng = seeded(shape)
    x, w, b = (operand("normal", s, rng) for s in (shape, (9, shape[-1]), (9,)))
    assert_gradients_equal(
        lambda *operands: lba_linear(*operands, spec="M22E7b63", estimator=estimator), functional.linear, x, w, b
    )


@pytest.mark.parametrize("estimator", GATING)
def test_linear_gates_as_matmul(estimator: str) -> None:
    rng = seeded("linear")
    x, w, b, grad = (operand("normal", s, rng) for s in ((2, 5, 30), (7, 30), (7,), (2, 5, 7)))
    leaves = [leaf(values) for values in (x, w, b)]
    lba_linear(*leaves, spec=M4E3, estimator=estimator).backward(torch.from_numpy(grad))
    grad_x, grad_w = matmul_backward(x.reshape(10, 30), w.T, grad.reshape(10, 7), M4E3, estimator)
    np.testing.assert_array_equal(leaves[0].grad.numpy(), grad_x.reshape(x.shape))
    np.testing.assert_array_equal(leaves[1].grad.numpy(), grad_w.T)
    np.testing.assert_allclose(leaves[2].grad.numpy(), grad.sum((0, 1)), rtol=0, atol=10 * UNIT * 10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_only_wanted_gradients_are_made(estimator: str) -> None:
    rng = seeded("wanted")
    shapes = {"linear": ((4, 20), (6, 20), (6,)), "conv": ((2, 4, 9), (6, 2, 3), (6,)), "matmul": ((4, 20), (20, 6))}
    functions: dict[str, Callable[..., Any]] = {
        "linear": lambda *t: lba_linear(*t, spec=M4E3, estimator=estimator),
        "conv": lambda *t: lba_conv1d(*t, padding=1, groups=2, spec=M4E3, estimator=estimator),
        "matmul": lambda *t: lba_matmul(*t, spec=M4E3, estimator=estimator),
    }
    for name, function in functions.items():
        operands = [operand("normal", shape, rng) for shape in shapes[name]]
        everything = [leaf(values) for values in operands]
        function(*everything).sum().backward()
        for wanted in itertools.product((False, True), repeat=len(operands)):
            some = [torch.from_numpy(v).requires_grad_(w) for v, w in zip(operands, wanted, strict=True)]
            y = function(*some)
            assert y.requires_grad == any(wanted)
            if any(wanted):
                y.sum().backward()
            for tensor, full, is_wanted in zip(some, everything, wanted, strict=True):
                assert (tensor.grad is not None) == is_wanted
                assert not is_wanted or torch.equal(tensor.grad, full.grad)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_operands_are_kept_only_where_a_gradient_needs_them(estimator: str) -> None:
    x, w, b = (torch.randn(shape) for shape in ((4, 20), (6, 20), (6,)))
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        lba_linear(x, w, b.requires_grad_(), spec=M4E3, estimator=estimator)
        assert not kept
        lba_linear(x.requires_grad_(), w, spec=M4E3, estimator=estimator)
    assert [tuple(tensor.shape) for tensor in kept] == ([(6, 20)] if estimator == "identity" else [(4, 20), (6, 20)])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_strided_operands_and_upstream_gradients_equal_their_copies(estimator: str) -> None:
    base, grad = torch.randn(30, 8, 6), torch.randn(7, 6, 8)

    def gradients(copy: bool) -> list["torch.Tensor"]:
        a = base.permute(2, 1, 0).contiguous() if copy else base.permute(2, 1, 0)
        b = base[:, :7].permute(2, 0, 1).contiguous() if copy else base[:, :7].permute(2, 0, 1)
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        upstream = grad.permute(1, 2, 0)
        lba_matmul(a, b, spec=M4E3, estimator=estimator).backward(upstream.contiguous() if copy else upstream)
        return [a.grad, b.grad]

    for strided, copied in zip(gradients(False), gradients(True), strict=True):
        torch.testing.assert_close(strided, copied, rtol=0, atol=0 if estimator != "identity" else 64 * UNIT)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_empty_convolution_has_gradients_of_zero(estimator: str) -> None:
    x, w, b = (torch.randn(shape, requires_grad=True) for shape in ((0, 2, 5, 5), (3, 2, 3, 3), (3,)))
    lba_conv2d(x, w, b, spec=M4E3, estimator=estimator).sum().backward()
    assert x.grad.shape == x.shape and not w.grad.any() and not b.grad.any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_autocast_gives_float32_sums_in_the_operands_types(estimator: str) -> None:
    x, w = torch.randn(4, 20).bfloat16().requires_grad_(), torch.randn(6, 20, requires_grad=True)
    wide = [x.detach().float().requires_grad_(), w.detach().clone().requires_grad_()]
    grad = torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        lba_linear(x, w, spec=M4E3, estimator=estimator).backward(grad)  # inside, where bfloat16 would be chosen
    lba_linear(*wide, spec=M4E3, estimator=estimator).backward(grad)
    assert x.grad.dtype == torch.bfloat16 and torch.equal(x.grad, wide[0].grad.bfloat16())
    assert torch.equal(w.grad, wide[1].grad)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_checkpointing_changes_no_bit(estimator: str, use_reentrant: bool) -> None:
    kernel, w = torch.randn(4, 2, 3, requires_grad=True), torch.randn(5, 8, requires_grad=True)

    def block(x: "torch.Tensor") -> "torch.Tensor":
        hidden = lba_conv1d(x, kernel, padding=1, spec=M4E3, estimator=estimator).relu()
        return lba_linear(hidden, w, spec=M4E3, estimator=estimator)

    gradients = []
    for run in (block, lambda x: checkpoint(block, x, use_reentrant=use_reentrant)):
        x = torch.ones(3, 2, 8).cumsum(-1).div(4).requires_grad_()
        kernel.grad = w.grad = None
        run(x).square().sum().backward()
        gradients.append((x.grad, kernel.grad, w.grad))
    assert all(torch.equal(one, two) for one, two in zip(*gradients, strict=True))


@pytest.mark.parametrize("estimator", GATING)
def test_second_derivatives_of_gating_estimators_are_refused(estimator: str) -> None:
    x, w = torch.randn(4, 20, requires_grad=True), torch.randn(6, 20, requires_grad=True)
    kernel = torch.randn(3, 1, 3, requires_grad=True)
    for y in (
        lba_linear(x, w, spec=M4E3, estimator=estimator),
        lba_matmul(x, w.t(), spec=M4E3, estimator=estimator),
        lba_conv1d(x[:, None], kernel, spec=M4E3, estimator=estimator),
    ):
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="one derivative.*estimator='identity'"):
            gradient.sum().backward()


def test_second_derivatives_of_identity_are_those_of_the_float32_product() -> None:
    x, w = torch.randn(4, 20, requires_grad=True), torch.randn(6, 20, requires_grad=True)
    upstream = torch.randn(4, 6)
    results = []
    for y in (lba_linear(x, w, spec=M4E3), functional.linear(x, w)):
        (gradient,) = torch.autograd.grad(y, x, upstream, create_graph=True)
        results.append(torch.autograd.grad(gradient.square().sum(), w))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-4)


def test_counts_need_an_open_run() -> None:
    operands = (np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.ones((2, 4), np.float32))
    matmul_backward(*operands, M4E3, GATING[0], "nowhere/module")
    with pytest.raises(ValueError, match="expected an open run, but 'nowhere' is not"):
        read_gating("nowhere")
    with pytest.raises(ValueError, match="expected an open run, but 'nowhere' is not"):
        close_gating("nowhere")
    open_gating("somewhere")
    try:
        assert read_gating("somewhere") == {}
        with pytest.raises(ValueError, match="not open, but 'somewhere' is"):
            open_gating("somewhere")
        matmul_backward(*operands, AccumulatorSpec.parse("M4E3b9"), GATING[0], "somewhere/module")
        matmul_backward(
            operands[0], operands[1], 0 * operands[2], AccumulatorSpec.parse("M4E3b9"), GATING[0], "somewhere/m"
        )
        assert read_gating("somewhere") == {  # products of 1 overflow; from zeros nothing can pass
            "somewhere/module": GatedProducts(24, 24, passes=0, blocked_passes=1),
            "somewhere/m": GatedProducts(24, 24, passes=0, blocked_passes=0),
        }
        matmul_backward(*operands, M4E3, GATING[0], "somewhere/module")
        assert read_gating("somewhere")["somewhere/module"] == GatedProducts(24, 48, passes=1, blocked_passes=1)
    finally:
        close_gating("somewhere")
    with pytest.raises(ValueError, match="name of a run, without a slash"):
        open_gating("a/b")
