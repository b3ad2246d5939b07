"""Sums that start from a value: the library on every path, and the definition for arrays, hold the definition's bits.

Starts are as hostile as operands: they saturate or become infinite, are flushed, are subnormal, -0, infinite and NaN.
"""

import itertools

import numpy as np
import pytest
from hostile import KINDS, operand
from hypothesis import given
from hypothesis import strategies as st
from same_bits import assert_same_bits
from strategies import all_specs, specs

from lba_onnx import conv, matmul, native, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.places import Places

FAST = (
    "M7E4b12/M7E4b10",
    "M7E4b12/M7E4b10,chunk=none",
    "M7E4b12/M7E4b10,chunk=4x3",
    "M7E4b12/M7E4b10,tree=8",
    "M7E4b12/M7E4b10,tree=4,chunk=2",
    "M7E4b12/M7E4b10,underflow=off",
    "M7E4b12/M7E4b10,chunk=none,underflow=off",
    "M10E5b15/M10E5b15,round=nearest",
    "M10E5b15/M10E5b15,chunk=none,round=nearest",
    "M7E4b10/M7E4b8,chunk=none,round=nearest",
    "M7E4b12/M7E4b10,tree=8,round=nearest",
    "M7E4b10,product=exact",
    "M7E4b10,product=exact,chunk=none,underflow=off",
    "M9E6b31,chunk=4,round=nearest,product=exact",
    "M9E6b31,chunk=none,round=nearest,product=exact",
    "M7E4b10,chunk=none,round=nearest,product=exact,underflow=off",
    "fp12-sr",
    "fp12-sr,chunk=4x3",
    "M5E6b31/M5E6b31,chunk=8,round=stochastic4",
    "fp32-fma",
    "fp16-fma",
    "fp16-fma,chunk=4",
    "bf16-fma",
    "fp16-mul-add",
    "M7E4b12/M7E4b10,round=odd",
    "M7E4b12/M7E4b10,range=infinity,chunk=none",
    "kulisch",
    "kulisch(M7E4b10),round=truncate",
    "splitk3(M7E4b12/M7E4b10)",
    "splitk4(fp16-fma),sum=float16",
    "splitk2(splitk2(M7E4b10)),sum=M7E4b10,round=truncate",
    "splitk3(kulisch),sum=M5E4b8",
)
OPERANDS = ("normal", "cancellation", "few_bits", "underflow", "overflow", "special", "huge")


def initial_for(text: str, kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values around the ends of the accumulator's range, besides those of a kind."""
    held = as_spec(text).ranges[-1]
    values = operand(kind, shape, rng)
    ends = np.array([held.max_value, held.max_value * 0.99, held.min_value * 0.99, held.min_value * 1.01, 0.0])
    near = (rng.choice(ends, shape) * rng.choice([-1.0, 1.0], shape)).astype(np.float32)
    return np.where(rng.random(shape) < 0.4, near, values).astype(np.float32)


@given(
    spec=all_specs(40),
    depth=st.integers(0, 40),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_definition_for_arrays_is_the_one_for_values(spec, depth, kinds, seed):
    rng = np.random.default_rng(seed)
    a, b = operand(kinds[0], (2, 3, depth), rng), operand(kinds[0], (2, depth, 2), rng)
    c = operand(kinds[1], (2, 1, 2), rng)
    expected = np.empty((2, 3, 2), np.float32)
    for n, i, j in np.ndindex(expected.shape):
        expected[n, i, j] = reference.dot(a[n, i], b[n, :, j], spec, float(c[n, 0, j]), (n * 3 + i, j))
    assert_same_bits(reference.matmul(a, b, spec, c), expected)


@pytest.mark.parametrize("text", FAST)
def test_products_on_every_path(each_path, text):
    rng = np.random.default_rng(5)
    sizes = itertools.cycle(((9, 21, 35), (3, 1, 17), (8, 16, 16), (1, 5, 3)))
    for kind, start in itertools.product(OPERANDS, ("normal", "few_bits", "special", "overflow", "subnormal")):
        rows, depth, columns = next(sizes)
        a, b = operand(kind, (rows, depth), rng), operand(kind, (depth, columns), rng)
        shape = ((rows, columns), (columns,), (rows, 1), ())[rng.integers(4)]
        c = initial_for(text, start, shape, rng)
        threads, expected = int(rng.integers(1, 3)), reference.matmul(a, b, text, c)
        for path in each_path():
            assert_same_bits(matmul(a, b, text, initial=c, threads=threads), expected, path)


@given(
    spec=st.one_of(all_specs(), specs()),
    sizes=st.tuples(st.integers(1, 9), st.integers(0, 40), st.integers(1, 35)),
    kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_in_any_accumulator(spec, sizes, kinds, seed):
    rng = np.random.default_rng(seed)
    rows, depth, columns = sizes
    a, b = operand(kinds[0], (2, rows, depth), rng), operand(kinds[0], (2, depth, columns), rng)
    c = initial_for(str(spec), kinds[1], (2, 1, columns), rng)
    assert_same_bits(matmul(a, b, spec, initial=c), reference.matmul(a, b, spec, c))


@pytest.mark.parametrize("rounding", ["truncate", "nearest", "nearest-away", "odd", "stochastic3"])
@pytest.mark.parametrize(
    "order", ["chunk=1x1", "chunk=4x1", "chunk=4x2x1", "tree=2,chunk=1", "lanes=2,chunk=2x1", "chunk=4"]
)
def test_levels_of_one_group_lose_the_sign_of_zero(forced_path, order, rounding):
    """Where zeros have signs, -0 joins 0 as 0 once a level lies between group and total that starts at -0."""
    if "lanes" in order and "stochastic" in rounding:
        pytest.skip("no lanes round so")
    text = f"M7E4b10,{order},product=exact,range=infinity,round={rounding}"
    a, w, c = (np.full(shape, value, np.float32) for shape, value in (((2, 1), -0.001), ((1, 19), 0.001), ((), -0.0)))
    for depth in (1, 2, 3, 5):
        operands = np.repeat(a, depth, 1), np.repeat(w, depth, 0)
        y = matmul(*operands, text, initial=c)
        assert_same_bits(y, reference.matmul(*operands, text, c))
        if order == "chunk=4" and depth < 4:
            assert np.all(np.signbit(y)), "no level between"


@pytest.mark.parametrize("text", FAST)
@pytest.mark.parametrize("group", [1, 6])
def test_convolutions_on_every_path(each_path, text, group):
    rng = np.random.default_rng(8)
    settings = {"strides": [2, 1], "pads": [1, 1, 0, 1], "group": group}
    for kind, start in (("normal", "normal"), ("few_bits", "overflow"), ("special", "special"), ("underflow", "zeros")):
        x, w = operand(kind, (2, 6, 9, 7), rng), operand(kind, (6, 6 // group, 3, 3), rng)
        for shape in ((6, 1, 1), (2, 6, 4, 7), (1, 1, 7)):
            c = initial_for(text, start, shape, rng)
            expected = reference.conv(x, w, text, **settings, initial=c)
            for path in each_path():
                assert_same_bits(conv(x, w, text, **settings, initial=c), expected, path)


def test_starts_broadcast_as_numpy_does_and_sum_nothing_where_there_is_nothing():
    rng = np.random.default_rng(3)
    text = "M3E4b5/M3E4b5,chunk=4"
    a, b = operand("normal", (2, 1, 3, 5), rng), operand("normal", (4, 5, 6), rng)
    for shape in ((2, 1, 1, 6), (4, 3, 1), (2, 4, 3, 6), (1,)):
        c = operand("normal", shape, rng)
        assert_same_bits(matmul(a, b, text, initial=c), reference.matmul(a, b, text, c))
    row, column = a[0, 0, 0], b[0, :, 0]
    for left, right, shape in ((row, b[0], (6,)), (a[0, 0], column, (3,)), (row, column, ())):
        c = np.array(operand("normal", shape, rng))
        assert_same_bits(matmul(left, right, text, initial=c), reference.matmul(left, right, text, c))
    c = np.array([1.0625, -1e9, 0.001, -0.0, np.nan, np.inf], np.float32)
    nothing = matmul(np.zeros((2, 0), np.float32), np.zeros((0, 6), np.float32), text, initial=c)
    assert_same_bits(nothing, np.array([[1.0, -(2.0**10) * 1.875, 0, 0, np.nan, 2.0**10 * 1.875]] * 2, np.float32))
    x, w = np.zeros((2, 0, 4), np.float32), np.zeros((3, 0, 2), np.float32)
    y = conv(x, w, text, initial=c[:3, np.newaxis])
    assert_same_bits(y, np.broadcast_to(nothing[0, :3, np.newaxis], (2, 3, 3)))


def test_what_starts_are_not_is_refused():
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    for product in (matmul, reference.matmul):
        with pytest.raises(ValueError, match=r"expected initial to broadcast to \(2, 4\), got shape \(3,\)"):
            product(a, b, "M7E4b10", initial=np.ones(3, np.float32))
        with pytest.raises(TypeError, match="expected initial to be"):
            product(a, b, "M7E4b10", initial=np.ones(4))
    with pytest.raises(ValueError, match="broadcast to"):
        matmul(a, b, "M7E4b10", initial=np.ones((1, 2, 4), np.float32))


@pytest.mark.parametrize("chunk", ["none", "1"])
def test_without_underflow_what_a_start_leaves_below_the_smallest_value_is_zero(forced_path, chunk):
    """The start has a bit below 2^-126 that no product here has; what a product leaves of it is that bit alone."""
    text = f"M7E4b12/M7E4b10,chunk={chunk},underflow=off"
    x = np.full((1, 2), 2.0**-60, np.float32)
    w = np.full((2, 17), 2.0**-59, np.float32) * np.array([[-1], [1]], np.float32)
    c = np.array(2.0**-119 - 2.0**-127, np.float32)
    y = matmul(x, w, text, initial=c)
    assert_same_bits(y, reference.matmul(x, w, text, c))
    assert np.all(y == 2.0**-119), "not the start again, as if nothing had become zero"


def test_a_start_moves_the_bits_of_the_sum():
    """Adding it behind the sums gives others: 16 swallows what comes after it, 4 significant bits at a time."""
    ones = np.ones((1, 16), np.float32)
    text = "M3E4b5/M3E4b5,chunk=none"
    assert matmul(ones, ones.T, text).item() == 16
    assert matmul(ones, ones.T, text, initial=np.array(16, np.float32)).item() == 16
    assert matmul(ones, ones.T, "M3E4b5/M3E4b5,chunk=8", initial=np.array(16, np.float32)).item() == 32


@pytest.mark.parametrize("text", FAST)
def test_statistics_count_sums_that_start_so(forced_path, text):
    """Against the steps of the definition for arrays; every output is sampled. Random bits are those of place 0, 0."""
    spec = as_spec(text)
    is_one_chain = spec.kind == "kulisch" or (
        spec.kind != "splitk" and spec.options["chunk"] == "none" and spec.options.get("tree") is None
    )
    rng = np.random.default_rng(2)
    a, b = operand("few_bits", (1, 9, 21), rng, 4.0), operand("few_bits", (1, 21, 5), rng, 4.0)
    c = operand("few_bits", (1, 1, 5), rng, 64.0)
    native.statistics_open("starts", 1.0)
    try:
        native.matmul(a, b, spec, 1, "starts/node", initial=c)
        counted = native.statistics_read("starts/node")
    finally:
        native.statistics_close("starts")
    overflows = dict.fromkeys(range(len(spec.levels)), 0)
    products = reference.matmul_products(a.astype(np.float64), b.astype(np.float64))
    start = spec.start_step(np.broadcast_to(c, (1, 9, 5)).astype(np.float64), 21, Places.one()).after
    for step in spec.steps(products, 21, (1, 9, 5), Places.one(), start):
        overflows[step.level] += int(step.overflows.sum())
    assert [level.events.get("overflow", 0) for level in counted.levels[1:]] == list(overflows.values())[1:]
    exact = c.astype(np.float64) + np.cumsum(a[0, :, :, np.newaxis].astype(np.float64) * b[0], axis=1)
    if is_one_chain:
        assert counted.levels[1].max_abs == np.abs(exact).max()
    else:
        assert counted.levels[-1].max_abs >= np.abs(exact[:, -1]).max()
