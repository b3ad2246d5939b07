"""The statistics mode counts what a plain Python walk along the same dot products counts."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hostile import operand

from lba_onnx import native, reference
from lba_onnx.arithmetic import AccumulatorSpec

RUNS = itertools.count()


@pytest.fixture
def run() -> str:
    name = f"test{next(RUNS)}"
    native.statistics_open(name, 1.0)
    yield name
    native.statistics_close(name)


class Walk:
    """The definition, step by step, with counts."""

    def __init__(self, spec: AccumulatorSpec) -> None:
        self.spec = spec
        self.events = {level.name: Counter() for level in spec.levels}
        self.bins = {level.name: Counter() for level in spec.levels}

    def count(self, kind: str, exact: float) -> None:
        if exact:
            self.bins[kind][math.floor(math.log2(abs(exact)))] += 1

    def step(self, kind: str, addend: float, before: float) -> float:
        number_format = self.spec.product_format if kind == "product" else self.spec.accumulator_format
        exact = addend + before  # exact in float64 for the operands of this test
        after = reference.quantize(exact, number_format, self.spec.underflow, self.spec.rounding)
        overflows = abs(after) == number_format.max_value
        self.events[kind].update(
            values=1,
            overflow=overflows,
            underflow=exact != 0 and after == 0,
            swamped=kind != "product" and addend != 0 and after == before and not overflows,
        )
        return after

    def dot(self, x: np.ndarray, w: np.ndarray) -> None:
        lengths = (1, *self.spec.order(len(x)).lengths)
        self.sum(len(lengths), lengths, [float(a) * float(b) for a, b in zip(x, w, strict=True)])

    def sum(self, level: int, lengths: tuple[int, ...], products: list[float]) -> tuple[float, float]:
        """Return the unquantized and the quantized value of a level over such products."""
        kind = self.spec.levels[level].name
        if level == 0:
            self.count(kind, products[0])
            return products[0], self.step(kind, products[0], 0.0)
        exact_sum = partial_sum = 0.0
        for begin in range(0, len(products), lengths[level - 1]):
            exact, value = self.sum(level - 1, lengths, products[begin : begin + lengths[level - 1]])
            exact_sum += exact
            self.count(kind, exact_sum)
            partial_sum = self.step(kind, value, partial_sum)
        return exact_sum, partial_sum


def assert_same(statistics: native.Statistics, walk: Walk) -> None:
    assert [level.name for level in statistics.levels] == list(walk.events)
    for kind in walk.events:
        level, expected = statistics[kind], walk.events[kind]
        assert level.values == expected["values"]
        assert level.events == {name: expected[name] for name in level.events}, kind
        assert ("swamped" in level.events) == (kind != "product")
        bins = {int(i) - native.LOG2_OFFSET: int(level.log2[i]) for i in np.flatnonzero(level.log2)}
        assert bins == dict(walk.bins[kind]), kind


@pytest.mark.parametrize(
    "text",
    [
        "M4E3b4",
        "M7E4b10,chunk=5",
        "M7E4b12/M4E3b5,chunk=none",
        "M3E3b5,underflow=off",
        "M4E3b4,chunk=3x4",
        "M7E4b10,chunk=2x2x30",
    ],
)
@pytest.mark.parametrize("kind", ["overflow", "underflow", "zeros"])
def test_matmul_statistics_equal_a_plain_walk(run: str, text: str, kind: str) -> None:
    spec = AccumulatorSpec.parse(text)
    rng = np.random.default_rng(7)
    # few mantissa bits, so that the walk's float64 sums are exact
    a, b = (operand(kind, shape, rng).astype(np.float16).astype(np.float32) for shape in ((5, 40), (40, 9)))
    native.matmul(a[None], b[None], spec, 2, f"{run}/node")
    walk = Walk(spec)
    for row, column in itertools.product(range(5), range(9)):
        walk.dot(a[row], b[:, column])
    statistics = native.statistics_read(f"{run}/node")
    assert (statistics.outputs, statistics.sampled_outputs) == (45, 45)
    assert statistics["product"].max_abs == np.abs(a[:, :, None].astype(np.float64) * b[None]).max()
    assert_same(statistics, walk)


def test_statistics_of_a_convolution_count_the_padding_as_zero_products(run: str) -> None:
    spec = AccumulatorSpec.parse("M7E4b10")
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 4)
    w = np.ones((3, 2, 3), np.float32)
    geometry = native.ConvGeometry((1,), (1,), (1,), (1,), 1)
    native.conv(x, w, spec, geometry, (1, 3, 4), 1, f"{run}/conv")
    statistics = native.statistics_read(f"{run}/conv")
    assert statistics["product"].values == 3 * 4 * 6
    assert statistics["product"].log2.sum() == 3 * (4 * 6 - 4)
    assert statistics["total"].max_abs == 3 + 4 + 2 + 7 + 8 + 6


def test_calls_merge_and_sampling_takes_the_fraction() -> None:
    name = f"test{next(RUNS)}"
    native.statistics_open(name, 1 / 8)
    spec = AccumulatorSpec.parse("M7E4b10")
    a, b = np.ones((1, 64, 4), np.float32), np.ones((1, 4, 3), np.float32)
    for _ in range(3):
        native.matmul(a, b, spec, 1, f"{name}/node")
    statistics = native.statistics_read(f"{name}/node")
    native.statistics_close(name)
    assert statistics.outputs == 3 * 64 * 3
    assert statistics.sampled_outputs == 3 * 8 * 3


@pytest.mark.parametrize("sizes", [(1, 1), (3, 40), (70, 9), (33, 33)])
def test_extremes_come_from_all_outputs_on_every_path(forced_path: str, sizes: tuple[int, int]) -> None:
    rows, columns = sizes
    rng = np.random.default_rng(9)
    a, b = operand("overflow", (rows, 50), rng), operand("overflow", (50, columns), rng)
    name = f"test{next(RUNS)}"
    native.statistics_open(name, 1 / 1000)
    native.matmul(a[None], b[None], AccumulatorSpec.parse("M7E4b10,chunk=7"), 2, f"{name}/node")
    statistics = native.statistics_read(f"{name}/node")
    native.statistics_close(name)
    products = a.astype(np.float64)[:, :, None] * b.astype(np.float64)[None]
    chunks = [products[:, k : k + 7] for k in range(0, 50, 7)]
    totals = np.cumsum([np.cumsum(chunk, axis=1)[:, -1] for chunk in chunks], axis=0)
    assert statistics["product"].max_abs == np.abs(products).max(), forced_path
    assert statistics["partial_sum"].max_abs == max(np.abs(np.cumsum(chunk, axis=1)).max() for chunk in chunks)
    assert statistics["total"].max_abs == np.abs(totals).max()


def test_sums_count_that_exceed_what_is_known_by_less_than_float32_tells(run: str, forced_path: str) -> None:
    rng = np.random.default_rng(10)
    a, b = (rng.uniform(0.5, 1, shape).astype(np.float32) for shape in ((1, 1, 200), (1, 200, 40)))
    spec, known = AccumulatorSpec.parse("M7E4b10,chunk=none"), []
    for k in rng.permutation(200)[:50]:
        a[0, 0, k] = np.nextafter(a[0, 0, k], np.float32(2))
        native.matmul(a, b, spec, 1, f"{run}/node")
        known.append(native.statistics_read(f"{run}/node")["total"].max_abs)
        assert known[-1] == np.cumsum(a[0, 0, :, None].astype(np.float64) * b[0], axis=0)[-1].max(), forced_path
    assert np.all(np.diff(known) > 0) and len({np.float32(value) for value in known}) < len(known)


def test_extremes_of_infinite_operands_are_those_of_the_finite_values(run: str) -> None:
    a = np.array([[[np.inf, 2.0, 3.0], [np.nan, 1.0, 4.0], [5.0, 6.0, 0.0]]], np.float32)
    b = np.array([[[1.0], [1.0], [1.0]]], np.float32)
    native.matmul(a, b, AccumulatorSpec.parse("M7E4b5"), 1, f"{run}/node")
    statistics = native.statistics_read(f"{run}/node")
    assert tuple(level.max_abs for level in statistics.levels) == (6.0, 11.0, 11.0)


def test_statistics_never_change_the_result(run: str) -> None:
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((1, 9, 30)).astype(np.float32), rng.standard_normal((1, 30, 5)).astype(np.float32)
    spec = AccumulatorSpec.parse("M4E3b5")
    np.testing.assert_array_equal(native.matmul(a, b, spec, 1, f"{run}/n"), native.matmul(a, b, spec, 1))


def test_a_run_must_be_open_once() -> None:
    spec, one = AccumulatorSpec.parse("M7E4b10"), np.ones((1, 1, 1), np.float32)
    with pytest.raises(ValueError, match='no statistics run is open for the key "closed/node"'):
        native.matmul(one, one, spec, 1, "closed/node")
    with pytest.raises(ValueError, match="no such statistics run"):
        native.statistics_close("closed")
    with pytest.raises(ValueError, match=r"sampled fraction in \(0, 1\]"):
        native.statistics_open("any", 0.0)
    native.statistics_open("twice", 0.5)
    with pytest.raises(ValueError, match="open already"):
        native.statistics_open("twice", 0.5)
    native.statistics_close("twice")


def test_sums_before_a_nan_count_though_all_else_is_small() -> None:
    spec = AccumulatorSpec.parse("M7E4b10")
    b = np.ones((1, 2, 1), np.float32)
    native.statistics_open("nan-run", 1.0)
    try:
        for rows in ([[1, 1], [1, 1]], [[100, np.nan], [0.1, 0.1]]):
            native.matmul(np.array([rows], np.float32), b, spec, 1, "nan-run/node")
        assert native.statistics_read("nan-run/node")["partial_sum"].max_abs == 100
    finally:
        native.statistics_close("nan-run")


def test_largest_values_begin_anew_and_all_else_goes_on(run: str) -> None:
    spec, ones = AccumulatorSpec.parse("M7E4b10"), np.ones((1, 8, 4), np.float32)
    native.matmul(ones * 100, ones.transpose(0, 2, 1), spec, 1, f"{run}/node")
    native.statistics_forget_largest(f"{run}/node")
    assert native.statistics_read(f"{run}/node")["product"].max_abs == 0
    native.matmul(ones, ones.transpose(0, 2, 1), spec, 1, f"{run}/node")
    statistics = native.statistics_read(f"{run}/node")
    assert tuple(level.max_abs for level in statistics.levels) == (1, 4, 4)
    assert statistics.outputs == 128 and statistics["product"].log2.sum() == 2 * 64 * 4
    with pytest.raises(ValueError, match="no"):
        native.statistics_forget_largest("never opened/node")
