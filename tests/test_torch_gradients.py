"""Gradients through the operators: masks to the bit, float32 sums to their error bound, gated products counted."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hostile import KINDS, operand
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import specs
from test_kernels import CONVOLUTIONS, SPECS, scale_of

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference import gradients

torch = pytest.importorskip("torch", reason="needs PyTorch")
from gradient_cases import M4E3, assert_within_rounding, leaf, matmul_backward, seeded  # noqa: E402

from lba_onnx.torch.operators import custom_ops  # noqa: E402
from lba_onnx.torch.operators.gating import GatedProducts, close_gating, open_gating, read_gating  # noqa: E402

pytestmark = pytest.mark.torch

GATING = [name for name, estimator in ESTIMATORS.items() if estimator.gating]


@pytest.fixture
def counted() -> Iterator[Callable[[str], tuple[int, int]]]:
    """Opens a run "gradients" and gives a function that reads (gated, products) under a name of it."""
    open_gating("gradients")

    def read(name: str) -> tuple[int, int]:
        counts = read_gating("gradients").get(f"gradients/{name}", GatedProducts())
        return counts.gated, counts.products

    try:
        yield read
    finally:
        close_gating("gradients")


def one_hot(shape: tuple[int, int], shift: int, by_row: bool) -> np.ndarray:
    """Return an upstream gradient with a single 1 in each row, or in each column."""
    grad = np.zeros(shape, np.float32)
    rows, columns = shape
    if by_row:
        grad[np.arange(rows), (np.arange(rows) + shift) % columns] = 1
    else:
        grad[(np.arange(columns) + shift) % rows, np.arange(columns)] = 1
    return grad


def assert_masks_are_the_references(
    a: np.ndarray, b: np.ndarray, spec: AccumulatorSpec, estimator: str, shifts: int | None = None
) -> None:
    """Compare each bit: with one column a row, the gradient of a[m, k] is w[k, n] or 0, and likewise for b."""
    masks = gradients.matmul_masks(a, b, spec, estimator)
    rows, columns, _ = masks.shape
    for shift in range(columns if shifts is None else shifts):
        picked = (np.arange(rows) + shift) % columns
        grad_a, _ = matmul_backward(a, b, one_hot((rows, columns), shift, True), spec, estimator)
        np.testing.assert_array_equal(grad_a, np.where(masks[np.arange(rows), picked], b.T[picked], 0))
    for shift in range(rows if shifts is None else shifts):
        picked = (np.arange(columns) + shift) % rows
        _, grad_b = matmul_backward(a, b, one_hot((rows, columns), shift, False), spec, estimator)
        np.testing.assert_array_equal(grad_b.T, np.where(masks[picked, np.arange(columns)], a[picked], 0))


FINITE_KINDS = [kind for kind in KINDS if kind != "special"]


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize("text", SPECS)
def test_every_mask_bit_is_the_references(text: str, estimator: str) -> None:
    spec = AccumulatorSpec.parse(text)
    for kind in FINITE_KINDS:
        rng = seeded(text, kind)
        a, b = operand(kind, (5, 50), rng, scale_of(spec)), operand(kind, (50, 7), rng, scale_of(spec))
        assert_masks_are_the_references(a, b, spec, estimator, shifts=3)


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1),
        (7, 9, 17),
        (8, 33, 32),
        (9, 16, 33),
        (66, 20, 3),
        (130, 5, 2),
        (2, 31, 101),
        (3, 12, 260),
        (65, 17, 40),
    ],
)
def test_mask_bits_of_every_tile_size_are_the_references(sizes: tuple[int, int, int], estimator: str) -> None:
    rows, depth, columns = sizes
    rng = seeded(sizes)
    a, b = operand("normal", (rows, depth), rng), operand("normal", (depth, columns), rng)
    for text in ("M4E3b5", "M4E3b5,chunk=3,underflow=off", "M4E3b4,chunk=none"):
        assert_masks_are_the_references(a, b, AccumulatorSpec.parse(text), estimator, shifts=min(rows, columns, 4))


@settings(max_examples=60, deadline=None)
@given(
    spec=specs(largest_chunk=40, largest_tree=0),
    seed=st.integers(0, 2**32 - 1),
    spread=st.integers(0, 30),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 60), st.integers(1, 34)),
)
def test_mask_bits_at_the_edges_of_any_spec_are_the_references(
    spec: AccumulatorSpec, seed: int, spread: int, shape: tuple[int, int, int]
) -> None:
    rows, depth, columns = shape
    rng = np.random.default_rng(seed)
    centre = (spec.product_format.exponent_bits**2 - 2 * spec.product_format.exponent_bias) // 2
    exponents = np.clip(centre // 2 + rng.integers(-spread, spread + 1, (rows + columns, depth)), -140, 120)
    values = np.ldexp(rng.standard_normal((rows + columns, depth)), exponents)
    values = np.where(rng.random(values.shape) < 0.1, 0, values).astype(np.float32)
    for estimator in GATING:
        assert_masks_are_the_references(values[:rows], values[rows:].T.copy(), spec, estimator, shifts=1)


@pytest.mark.parametrize("estimator", GATING)
def test_every_path_gives_the_same_mask_bits(forced_path: str, estimator: str) -> None:
    rng = seeded("paths")
    for kind, text in itertools.product(FINITE_KINDS, ("M4E3b5", "M7E4b10,chunk=5,underflow=off", "M22E7b63")):
        spec = AccumulatorSpec.parse(text)
        a, b = operand(kind, (9, 40), rng), operand(kind, (40, 35), rng)
        assert_masks_are_the_references(a, b, spec, estimator, shifts=2)


@pytest.mark.parametrize("estimator", GATING)
def test_nan_and_infinite_operands_gate_as_in_the_reference(forced_path: str, estimator: str) -> None:
    rng = seeded("special")
    for text in ("M7E4b10", "M4E3b5,chunk=3", "M4E3b5,chunk=none,underflow=off"):
        spec = AccumulatorSpec.parse(text)
        a, b = operand("special", (12, 40), rng), operand("special", (40, 20), rng)
        for shift, by_row in itertools.product(range(4), (True, False)):
            grad = one_hot((12, 20), shift, by_row)  # 0 times infinity is NaN, in the reference as well
            expected = gradients.matmul_gradients(grad, a, b, spec, estimator)
            actual = matmul_backward(a, b, grad, spec, estimator)[0 if by_row else 1]
            np.testing.assert_array_equal(actual, expected[0 if by_row else 1].astype(np.float32))


@pytest.mark.parametrize("estimator", GATING)
@pytest.mark.parametrize("text", SPECS)
def test_gated_products_are_counted(counted: Callable[[str], tuple[int, int]], text: str, estimator: str) -> None:
    spec, gated, products = AccumulatorSpec.parse(text), 0, 0
    for kind in KINDS:
        rng = seeded(text, kind, "count")
        a, b = operand(kind, (11, 37), rng, scale_of(spec)), operand(kind, (37, 19), rng, scale_of(spec))
        masks = gradients.matmul_masks(a, b, spec, estimator)
        gated, products = gated + int((~masks).sum()), products + masks.size
        matmul_backward(a, b, np.ones((11, 19), np.float32), spec, estimator, "gradients/matmul")
        assert counted("matmul") == (gated, products), kind


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("sizes", [(7, 40, 9), (70, 33, 120), (200, 17, 5)])
def test_matmul_gradients_are_within_float32_rounding(sizes: tuple[int, int, int], estimator: str) -> None:
    rows, depth, columns = sizes
    rng = seeded(sizes)
    a, b, grad = (operand("normal", s, rng) for s in ((rows, depth), (depth, columns), (rows, columns)))
    actual = matmul_backward(a, b, grad, M4E3, estimator)
    expected = gradients.matmul_gradients(grad, a, b, M4E3, estimator)
    bounds = gradients.matmul_gradients(abs(grad), abs(a), abs(b), M4E3, "identity")
    for gradient, exact, magnitudes, terms in zip(actual, expected, bounds, (columns, rows), strict=True):
        assert_within_rounding(gradient, exact, magnitudes, terms + 1)


CONV_CASES = (("M7E4b10", "normal"), ("M4E3b6,chunk=4", "overflow"), ("M4E3b5,chunk=none,underflow=off", "normal"),
              ("M7E4b12/M7E4b3", "few_bits"), ("M4E3b5,chunk=7", "underflow"))  # fmt: skip


def conv_backward(
    x: np.ndarray, w: np.ndarray, grad: np.ndarray, case: tuple[Any, ...], spec: str, estimator: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of x and w through the operator, which takes pads that differ at begin and end."""
    _, _, strides, pads, dilations, group = case
    axes, first, second = x.ndim - 2, leaf(x), leaf(w)
    y = custom_ops.conv(
        first, second, None, list(strides), list(pads[:axes]), list(pads[axes:]), list(dilations), group, False,
        spec, estimator, "gradients/conv",
    )  # fmt: skip
    y.backward(torch.from_numpy(grad))
    return first.grad.numpy(), second.grad.numpy()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_gradients_are_the_references(
    counted: Callable[[str], tuple[int, int]], case: tuple[Any, ...], estimator: str
) -> None:
    x_shape, w_shape, *window = case
    rng, totals = seeded(case), np.zeros(2, int)
    for text, kind in CONV_CASES:
        spec, x, w = AccumulatorSpec.parse(text), operand(kind, x_shape, rng), operand(kind, w_shape, rng)
        masks = gradients.conv_masks(x, w, spec, estimator, *window)
        single, full = np.zeros(masks.shape[:-1], np.float32), operand("normal", masks.shape[:-1], rng)
        single.flat[rng.integers(0, single.size)] = 1
        for grad in (single, full):
            expected = gradients.conv_gradients(grad, x, w, spec, estimator, *window)
            bounds = gradients.conv_gradients(abs(grad), abs(x), abs(w), spec, "identity", *window)
            actual = conv_backward(x, w, grad, case, text, estimator)
            # One upstream gradient: each gradient is one operand or 0. Otherwise: at most so many terms.
            terms = (w_shape[0] // window[-1] * int(np.prod(w_shape[2:])), single.size // single.shape[1])
            for gradient, exact, magnitudes, most in zip(actual, expected, bounds, terms, strict=True):
                assert_within_rounding(gradient, exact, magnitudes, 0 if grad is single else most + 1)
            totals += int((~masks).sum()), masks.size
    assert counted("conv") == ((0, 0) if estimator == "identity" else tuple(totals))


@pytest.mark.parametrize("estimator", GATING)
def test_gradients_are_those_of_any_number_of_threads(estimator: str) -> None:
    rng, threads, results = seeded("threads"), torch.get_num_threads(), []
    a, b, grad = (operand("normal", shape, rng) for shape in ((150, 60), (60, 140), (150, 140)))
    x, w, out = (operand("normal", shape, rng) for shape in ((5, 6, 13, 13), (12, 3, 3, 3), (5, 12, 13, 13)))
    case = (None, None, (1, 1), (1, 1, 1, 1), (1, 1), 2)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(
                (*matmul_backward(a, b, grad, M4E3, estimator), *conv_backward(x, w, out, case, str(M4E3), estimator))
            )
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
