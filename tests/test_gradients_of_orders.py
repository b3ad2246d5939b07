"""Gradients of every order of sums by every estimator: the native library and PyTorch against the reference, by bits.

All data are small integers, so that sums of gradients are exact and equality is of bits; formats are so narrow that
they overflow, underflow and swamp all the same.
"""

import zlib

import numpy as np
import pytest

from lba_onnx import native, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference import gradients

GATING = [name for name, estimator in ESTIMATORS.items() if estimator.gating]
FORMATS = "M2E3b-1/M2E3b1"  # products from 2 to 448, sums from 1/2 to 112
ORDERS = {
    "tree": f"{FORMATS},tree=4",
    "tree, chains": f"{FORMATS},tree=5,chunk=3",
    "tree, carry": f"{FORMATS},tree=3,start=carry",
    "tree, carry, chains": f"{FORMATS},tree=4,chunk=2,start=carry",
    "trees of one": f"{FORMATS},tree=1",
    "lanes": f"{FORMATS},chunk=7,lanes=3",
    "lanes, whole depth": f"{FORMATS},chunk=none,lanes=4",
    "lanes, carry": f"{FORMATS},chunk=6x2,lanes=3,start=carry",
    "exact": "M2E3b1,product=exact",
    "exact, nearest": "M2E3b1,product=exact,round=nearest,chunk=3",
    "stochastic": f"{FORMATS},round=stochastic4,seed=3",
    "stochastic, exact": "M2E3b1,product=exact,round=stochastic8,chunk=none",
    "stochastic, tree": f"{FORMATS},round=stochastic2,tree=4,chunk=3",
    "ieee, tree": "M2E4b3,product=exact,range=infinity,subnormals=keep,round=nearest,tree=4",
    "levels": f"{FORMATS},chunk=4x3",
    "one chain": f"{FORMATS},chunk=none",
}
EXACT = {"kulisch": "kulisch(M2E3b0)", "kulisch, small": "kulisch(M2E2b-4)", "kulisch, float32": "kulisch"}
SLICED = {
    "slices": f"splitk3({FORMATS}),sum=M2E3b1",
    "slices, stochastic": f"splitk4({FORMATS},round=stochastic4),sum=M2E3b1,round=truncate",
    "slices, trees": f"splitk2({FORMATS},tree=4),sum=M2E3b0",
    "slices, exact": "splitk3(kulisch(M2E3b0)),sum=M2E3b1",
    "slices of slices": f"splitk2(splitk2({FORMATS}),sum=M2E3b1),sum=M2E3b1",
}
STARTED = [
    *((ORDERS[order], True) for order in ("tree", "tree, carry", "lanes, carry", "stochastic", "levels", "one chain")),
    *((text, True) for text in (EXACT | SLICED).values()),
]
CASES = [(text, False) for text in (ORDERS | EXACT | SLICED).values()] + STARTED


def integers(what: str, *shape: int, largest: int = 7) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(what.encode()))
    return rng.integers(-largest, largest + 1, shape).astype(np.float32)


def same(found: np.ndarray | None, expected: np.ndarray) -> None:
    assert found is not None
    np.testing.assert_array_equal(found, expected.astype(np.float32))


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize("text, starts", CASES)
def test_products_are_the_references(text: str, starts: bool, estimator: str) -> None:
    spec = as_spec(text)
    a, b, grad = integers("a", 2, 5, 23), integers("b", 2, 23, 33), integers("grad", 2, 5, 33, largest=3)
    initial = 20 * integers("initial", 2, 5, 1) if starts else None
    code = ESTIMATORS[estimator].gating.code
    found = native.matmul_gradients(grad, a, b, spec, code, 2, initial=initial)
    first, second, *start = gradients.matmul_gradients(grad, a, b, spec, estimator, initial)
    same(found.first, first)
    same(None if found.second is None else np.swapaxes(found.second, -1, -2), second)
    masks = gradients.matmul_masks(a, b, spec, estimator, initial)
    assert found.gated == np.count_nonzero(~masks[..., : a.shape[-1]])
    if starts:
        same(found.initial, np.where(masks[..., -1], grad, 0))
        same(found.initial.sum(-1, keepdims=True), start[0])


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize(
    "text, starts", [*STARTED[::2], (EXACT["kulisch"], False), (SLICED["slices, stochastic"], False)]
)
def test_convolutions_are_the_references(text: str, starts: bool, estimator: str) -> None:
    spec, window = as_spec(text), ((2, 1), (1, 0, 1, 2), (1, 1), 2)
    x, w = integers("x", 2, 4, 6, 5), integers("w", 4, 2, 3, 3)
    out = reference.conv(x, w, "kulisch", *window).shape
    grad = integers("grad", *out, largest=3)
    initial = 20 * integers("initial", 4, 1, 1) if starts else None
    geometry = native.ConvGeometry(window[0], window[2], window[1][:2], window[1][2:], window[3])
    broadcast = None if initial is None else np.broadcast_to(initial.reshape(1, 4, 1), (2, 4, out[2] * out[3]))
    code = ESTIMATORS[estimator].gating.code
    for infinite in (False, True):  # an infinite weight over padding takes another way
        weights = w.copy()
        if infinite:
            weights[0, 0, 0, 0] = np.inf
        first, second, *start = gradients.conv_gradients(grad, x, weights, spec, estimator, *window, initial)
        found = native.conv_gradients(grad, x, weights, spec, code, geometry, 2, initial=broadcast)
        same(found.first, first)
        same(found.second, second)
        if starts:
            same(found.initial.sum((0, 2, 3), dtype=np.float64).reshape(4, 1, 1), start[0])


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize("text", [FORMATS, "kulisch(M2E3b1)", f"splitk2({FORMATS}),sum=M2E3b1"])
def test_what_a_sum_of_nothing_starts_from(text: str, estimator: str) -> None:
    spec = as_spec(text)
    a, b = np.zeros((1, 3, 0), np.float32), np.zeros((1, 0, 2), np.float32)
    initial = np.array([[[200.0], [0.25], [3.0]]], np.float32)  # saturates, underflows, stays
    grad = np.ones((1, 3, 2), np.float32)
    found = native.matmul_gradients(grad, a, b, spec, ESTIMATORS[estimator].gating.code, 1, initial=initial)
    passed = [1, 0, 1] if estimator == "immediate_difference" else [0, 1, 1]
    assert found.initial[0, :, 0].tolist() == found.initial[0, :, 1].tolist() == passed
    (*_, start) = gradients.matmul_gradients(grad, a, b, spec, estimator, initial)
    assert start[0, :, 0].tolist() == [2 * value for value in passed]


def test_both_neighbours_enter_a_sum_in_a_tree() -> None:
    # Sums reach 112: 80 + 80 saturates, 1 + 80 is 80. In a chain only what comes second is gated.
    ones, tree, chain = np.ones((4, 1), np.float32), f"{FORMATS},tree=4", f"{FORMATS},chunk=none"
    masks = gradients.matmul_masks
    x = np.float32([[80, 80, -80, 2]])
    assert masks(x, ones, tree, "immediate_overflow").tolist() == [[[False, False, True, True]]]
    assert masks(x, ones, chain, "immediate_overflow").tolist() == [[[True, False, True, True]]]
    x = np.float32([[2, 80, 0, 0]])
    assert masks(x, ones, tree, "immediate_difference").tolist() == [[[False, True, True, True]]]
    assert masks(x, ones, chain, "immediate_difference").tolist() == [[[True, True, True, True]]]


def test_an_exact_sum_gates_all_or_nothing() -> None:
    x, ones = np.float32([[300, 200, -1], [1, 1, -1], [3, -3, 1]]), np.ones((3, 1), np.float32)
    for estimator, expected in {
        "immediate_overflow": [False, True, True],  # the result reaches 448 at most
        "recursive_overflow": [False, True, True],
        "immediate_difference": [True, False, False],  # results below 2 become 0
    }.items():
        masks = gradients.matmul_masks(x, ones, "kulisch(M2E3b-1),round=truncate", estimator)
        assert masks[:, 0].all(-1).tolist() == masks[:, 0].any(-1).tolist() == expected, estimator


@pytest.mark.torch
@pytest.mark.parametrize("order", ["tree", "stochastic", "lanes", "kulisch", "slices"])
def test_pytorch_passes_the_same(order: str) -> None:
    """The backward pass computes the sums again, with the random bits of the forward one."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from lba_onnx.torch import lba_conv2d, lba_matmul

    text = (ORDERS | EXACT | SLICED)[order]
    a, b, grad = integers("a", 5, 23), integers("b", 23, 9), integers("grad", 5, 9, largest=3)
    for estimator in GATING:
        left, right = torch.from_numpy(a).requires_grad_(), torch.from_numpy(b).requires_grad_()
        lba_matmul(left, right, spec=text, estimator=estimator).backward(torch.from_numpy(grad))
        expected = gradients.matmul_gradients(grad, a, b, text, estimator)
        for found, exact in zip((left.grad, right.grad), expected, strict=True):
            same(found.numpy(), exact)
        left.grad = right.grad = None
    x, w = (torch.from_numpy(v).requires_grad_() for v in (integers("x", 2, 2, 5, 5), integers("w", 3, 2, 3, 3)))
    grad = integers("grad", 2, 3, 5, 5, largest=3)
    lba_conv2d(x, w, padding=1, spec=text, estimator="recursive_overflow").backward(torch.from_numpy(grad))
    settings = {"pads": (1, 1, 1, 1)}
    expected = gradients.conv_gradients(
        grad, x.detach().numpy(), w.detach().numpy(), text, "recursive_overflow", **settings
    )
    for found, exact in zip((x.grad, w.grad), expected, strict=True):
        same(found.numpy(), exact)
