"""The definition of the gradients: masks held to the scalar definition, gradients to loops over every product."""

import itertools
import math

import numpy as np
import pytest
from hostile import KINDS, operand
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scalar_masks import ScalarMasks
from strategies import specs

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.estimators import ESTIMATORS
from lba_onnx.reference.gradients import conv_gradients, conv_masks, matmul_gradients, matmul_masks

HOSTILE = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0**-149, -(2.0**-126), 2.0**-64, 2.0**127, -1.75]
TEXTS = ("M7E4b10", "M4E3b6,chunk=3,underflow=off", "M4E3b5,chunk=none", "M3E4b12/M2E3b2,chunk=4", "M0E1b1/M1E2b1")


def assert_masks_are_scalar(
    a: np.ndarray, b: np.ndarray, spec: AccumulatorSpec, initial: np.ndarray | None = None
) -> None:
    masks = {name: matmul_masks(a, b, spec, name, initial) for name in ESTIMATORS}
    for row, column in itertools.product(range(a.shape[0]), range(b.shape[1])):
        start = None if initial is None else float(np.broadcast_to(initial, (len(a), b.shape[1]))[row, column])
        found = ScalarMasks(a[row], b[:, column], spec, (row, column), start).masks
        for name, expected in found.items():
            expected = expected[: masks[name].shape[-1]]
            np.testing.assert_array_equal(masks[name][row, column], expected, err_msg=f"{name} {spec}")


ORDERS = (
    "M4E3b5,tree=4",
    "M4E3b5,tree=5,chunk=3",
    "M4E3b5,tree=3,start=carry",
    "M4E3b5,tree=4,chunk=2,start=carry",
    "M4E3b5,chunk=7,lanes=3",
    "M4E3b5,chunk=none,lanes=4",
    "M4E3b5,chunk=6x2,lanes=3,start=carry",
    "M3E4b8,product=exact,range=infinity,subnormals=keep,round=nearest,tree=4",
    "M4E3b5,round=stochastic4,seed=3",
    "M4E3b5,round=stochastic2,tree=4,chunk=3",
    "M4E3b5,product=exact,round=stochastic8,chunk=none",
    "M5E6b31,product=exact,codes=dlfloat,round=nearest-away,chunk=5x2",
)


@pytest.mark.parametrize("starts", [False, True])
@pytest.mark.parametrize("text", ORDERS + TEXTS)
def test_masks_of_any_order_of_sums_equal_the_scalar_definition(text: str, starts: bool) -> None:
    rng = np.random.default_rng(len(text))
    a, b = operand("overflow", (2, 29), rng, 0.1), operand("overflow", (29, 3), rng, 0.1)
    initial = operand("overflow", (1, 3), rng, 0.1) if starts else None
    spec = AccumulatorSpec.parse(text)
    assert_masks_are_scalar(a, b, spec, initial)
    gating = [matmul_masks(a, b, spec, name, initial) for name in ESTIMATORS if name != "identity"]
    assert any(not masks.all() and masks.any() for masks in gating)


@settings(max_examples=150, deadline=None)
@given(st.data(), specs(largest_chunk=10, largest_tree=0))
def test_masks_of_any_data_and_spec_equal_the_scalar_definition(data: st.DataObject, spec: AccumulatorSpec) -> None:
    rows, depth, columns = (data.draw(st.integers(low, high)) for low, high in ((1, 2), (0, 12), (1, 2)))
    scaled = st.builds(math.ldexp, st.floats(-2, 2, width=16), st.integers(-70, 70))
    elements = st.sampled_from(HOSTILE) | scaled.map(lambda v: float(np.float32(v)))
    a, b = (data.draw(hnp.arrays(np.float32, shape, elements=elements)) for shape in ((rows, depth), (depth, columns)))
    assert_masks_are_scalar(a, b, spec)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS)
def test_masks_of_hostile_data_equal_the_scalar_definition(text: str, kind: str) -> None:
    rng = np.random.default_rng(KINDS.index(kind))
    assert_masks_are_scalar(operand(kind, (3, 37), rng), operand(kind, (37, 4), rng), AccumulatorSpec.parse(text))


# M4E3b4 sums reach 15.5, M4E3b3 products 31 and are at least 1/8.
X = np.array([[8.0, 8.0, -1.0, 4.0, 2.0**-7, 0.0]], np.float32)
W = np.ones((6, 1), np.float32)
BY_HAND = {
    "identity": [1, 1, 1, 1, 1, 1],
    "immediate_overflow": [0, 0, 0, 0, 0, 0],
    "recursive_overflow": [0, 0, 0, 0, 0, 0],
    "immediate_difference": [1, 1, 0, 0, 0, 1],
}


def test_masks_by_hand_where_totals_saturate() -> None:
    # Chunks of two: 8 + 8 = 16 saturates to 15.5, and joins as an overflow; 15.5 + 3 stays at 15.5; then one product
    # underflows and one is zero, and a total of 15.5 overflows again when they join.
    spec = AccumulatorSpec.parse("M4E3b3/M4E3b4,chunk=2")
    for name, expected in BY_HAND.items():
        assert matmul_masks(X, W, spec, name)[0, 0].tolist() == [bool(bit) for bit in expected], name


def test_masks_by_hand_where_only_one_step_overflows() -> None:
    # One chunk: 8, 16 -> 15.5, then 14.5, 18.5 -> 15.5, swamped, and a zero product on a saturated sum.
    spec = AccumulatorSpec.parse("M4E3b3/M4E3b4,chunk=none")
    x = X.copy()
    x[0, 3] = 0.5
    # 8, 15.5 (overflow), 14.5, 15.0, 15.0 (lost), 15.0 (zero product); the join is below 15.5.
    expected = {
        "immediate_overflow": [1, 0, 1, 1, 1, 1],
        "recursive_overflow": [0, 0, 1, 1, 1, 1],
        "immediate_difference": [1, 1, 1, 1, 0, 1],
    }
    for name, mask in expected.items():
        assert matmul_masks(x, W, spec, name)[0, 0].tolist() == [bool(bit) for bit in mask], name


def test_a_product_overflow_gates_only_itself() -> None:
    spec = AccumulatorSpec.parse("M4E3b6/M4E3b3")  # products reach 3.875, sums 31
    x = np.array([[1.0, 9.0, 1.0]], np.float32)
    for name in ("immediate_overflow", "recursive_overflow"):
        assert matmul_masks(x, W[:3], spec, name)[0, 0].tolist() == [True, False, True]


def test_zero_operands_are_never_gated_by_difference() -> None:
    spec = AccumulatorSpec.parse("M4E3b3")
    x, w = np.array([[0.0, 1.0, -0.0]], np.float32), np.array([[5.0], [0.0], [1.0]], np.float32)
    assert matmul_masks(x, w, spec, "immediate_difference").all()


def test_nan_gates_nothing_after_it() -> None:
    spec = AccumulatorSpec.parse("M4E3b3,chunk=2")
    x = np.array([[40.0, math.nan, 40.0, 40.0]], np.float32)
    assert matmul_masks(x, W[:4], spec, "immediate_overflow")[0, 0].tolist() == [False, True, False, False]
    assert matmul_masks(x, W[:4], spec, "recursive_overflow")[0, 0].tolist() == [False, True, False, False]
    assert matmul_masks(x, W[:4], spec, "immediate_difference")[0, 0].tolist() == [True, True, True, False]


CONVOLUTIONS = (
    # x, w, strides, pads, dilations, group
    ((2, 3, 9), (4, 3, 3), (2,), (1, 2), (1,), 1),
    ((1, 4, 5, 6), (6, 2, 3, 2), (1, 2), (1, 0, 2, 1), (1, 2), 2),
    ((2, 3, 4, 4), (3, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 3),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), (1, 2, 1), (0, 1, 1, 1, 0, 1), (1, 1, 2), 1),
)


def patches(x: np.ndarray, w: np.ndarray, strides: tuple, pads: tuple, dilations: tuple, group: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return [batch, group, positions, depth]: for each output what meets the kernel, zeros for the padding."""
    axes = x.ndim - 2
    margins = list(zip(pads[:axes], pads[axes:], strict=True))
    padded = np.pad(x, [(0, 0), (0, 0), *margins])
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    sizes = [(s - r) // stride + 1 for s, r, stride in zip(padded.shape[2:], reach, strides, strict=True)]
    rows = []
    for place in np.ndindex(*sizes):
        starts = [p * s for p, s in zip(place, strides, strict=True)]
        window = tuple(slice(s, s + r, d) for s, r, d in zip(starts, reach, dilations, strict=True))
        rows.append(padded[(slice(None), slice(None), *window)].reshape(len(x), group, -1))
    return np.stack(rows, axis=2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_masks_are_those_of_its_patches(case: tuple, estimator: str) -> None:  # type: ignore[type-arg]
    x_shape, w_shape, *window = case
    rng = np.random.default_rng(len(x_shape))
    x, w = (operand("overflow", shape, rng, 0.1) for shape in (x_shape, w_shape))
    for text in ("M4E3b4,chunk=5", "M7E4b8", "M4E3b3,chunk=none,underflow=off"):
        spec = AccumulatorSpec.parse(text)
        rows, group = patches(x, w, *window), window[-1]
        kernels = w.reshape(group, len(w) // group, -1).transpose(0, 2, 1)
        expected = matmul_masks(rows, np.broadcast_to(kernels, (len(x), *kernels.shape)), spec, estimator)
        actual = conv_masks(x, w, spec, estimator, *window)
        # [batch, group, positions, out_channels / group, depth] -> [batch, out_channels, *out_size, depth]
        np.testing.assert_array_equal(actual, np.moveaxis(expected, 3, 2).reshape(actual.shape))
        if estimator != "identity":
            assert not actual.all() and actual.any()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_matmul_gradients_sum_what_passes(estimator: str) -> None:
    rng, spec = np.random.default_rng(1), AccumulatorSpec.parse("M4E3b4,chunk=4")
    a, b, grad = (operand("normal", shape, rng) for shape in ((3, 4, 9), (3, 9, 5), (3, 4, 5)))
    masks = matmul_masks(a, b, spec, estimator)
    expected_a, expected_b = np.zeros(a.shape), np.zeros(b.shape)
    for i, row, column, k in np.ndindex(*masks.shape):
        if masks[i, row, column, k]:
            expected_a[i, row, k] += float(grad[i, row, column]) * float(b[i, k, column])
            expected_b[i, k, column] += float(grad[i, row, column]) * float(a[i, row, k])
    grad_a, grad_b = matmul_gradients(grad, a, b, spec, estimator)
    np.testing.assert_allclose(grad_a, expected_a, rtol=1e-12, atol=1e-13)  # float64 sums in another order
    np.testing.assert_allclose(grad_b, expected_b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_gradients_sum_what_passes(case: tuple, estimator: str) -> None:  # type: ignore[type-arg]
    x_shape, w_shape, strides, pads, dilations, group = case
    rng, spec = np.random.default_rng(2), AccumulatorSpec.parse("M4E3b4,chunk=4")
    x, w = operand("normal", x_shape, rng), operand("normal", w_shape, rng)
    masks = conv_masks(x, w, spec, estimator, strides, pads, dilations, group)
    grad = operand("normal", masks.shape[:-1], rng)
    expected_x, expected_w = np.zeros(x.shape), np.zeros(w.shape)
    for i, out_channel, *place in np.ndindex(*masks.shape[:-1]):
        g, first = float(grad[(i, out_channel, *place)]), out_channel // (len(w) // group) * w.shape[1]
        for k, (channel, *position) in enumerate(np.ndindex(*w.shape[1:])):
            at = [p * s - b + q * d for p, s, b, q, d in zip(place, strides, pads, position, dilations, strict=False)]
            is_inside = all(0 <= v < size for v, size in zip(at, x.shape[2:], strict=True))
            if masks[(i, out_channel, *place, k)] and is_inside:
                expected_x[(i, first + channel, *at)] += g * float(w[(out_channel, channel, *position)])
                expected_w[(out_channel, channel, *position)] += g * float(x[(i, first + channel, *at)])
    grad_x, grad_w = conv_gradients(grad, x, w, spec, estimator, strides, pads, dilations, group)
    np.testing.assert_allclose(grad_x, expected_x, rtol=1e-12, atol=1e-12)  # float64 sums in another order
    np.testing.assert_allclose(grad_w, expected_w, rtol=1e-12, atol=1e-12)


def test_gated_products_contribute_nothing_under_infinite_gradients() -> None:
    spec = AccumulatorSpec.parse("M4E3b6/M4E3b3")
    x = np.array([[1.0, 9.0]], np.float32)
    grad_x, grad_w = matmul_gradients(np.full((1, 1), np.inf, np.float32), x, W[:2], spec, "immediate_overflow")
    assert grad_x.tolist() == [[np.inf, 0.0]] and grad_w.tolist() == [[np.inf], [0.0]]


def test_what_does_not_fit_is_refused() -> None:
    spec, ones = AccumulatorSpec.parse("M7E4b10"), np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="one of the estimators identity, .* got 'straight'"):
        matmul_masks(ones, ones.T, spec, "straight")
    with pytest.raises(ValueError, match=r"equal depth, got shapes \(2, 3\) and \(2, 3\)"):
        matmul_masks(ones, ones, spec, "identity")
    with pytest.raises(ValueError, match="matrices or equal batches"):
        matmul_masks(ones[np.newaxis], ones.T, spec, "identity")
    with pytest.raises(TypeError, match="b to be a float32 array, got float64"):
        matmul_masks(ones, ones.T.astype(np.float64), spec, "identity")
    with pytest.raises(ValueError, match="1 to 3 spatial axes"):
        conv_masks(ones, ones, spec, "identity")
