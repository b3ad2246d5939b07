"""The draws of stochastic rounding: as even and as independent as so many can be, and what sums make of them.

Seeds are fixed, so that a test passes always or never. A count of n fair draws lies within LIMIT standard deviations.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from processor import Paths

import lba_onnx
from lba_onnx import kernels, native, reference
from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.places import Places
from lba_onnx.demo import demo_data_path

LIMIT = 5.5
RANDOM_BITS = (1, 3, 8, 11, 16)
SHAPE = (96, 80)  # rows and columns


def draws(random_bits: int, steps: int = 24, seed: int = 5, stream: int = 1, first_row: int = 0) -> np.ndarray:
    """Return the draws [row, column, step] of a node's outputs."""
    rows, columns = (np.arange(size, dtype=np.int64) for size in SHAPE)
    places = Places(first_row + rows[:, None], columns[None, :])
    return np.stack([places.draws(seed, stream, step, random_bits) for step in range(steps)], axis=-1)


def bits_of(values: np.ndarray, random_bits: int) -> np.ndarray:
    """Return the bits of draws as ones and minus ones, one row a bit."""
    return np.stack([1 - 2 * (values.ravel() >> bit & 1) for bit in range(random_bits)]).astype(np.float64)


def assert_even(signs: np.ndarray) -> None:
    """Assert that each row has as many ones as minus ones."""
    assert np.abs(signs.sum(axis=1)).max() < LIMIT * math.sqrt(signs.shape[1])


def assert_independent(one: np.ndarray, other: np.ndarray, random_bits: int) -> None:
    """Assert that no bit of one draw says anything of a bit of the other."""
    a, b = bits_of(one, random_bits), bits_of(other, random_bits)
    assert np.abs(a @ b.T).max() < LIMIT * math.sqrt(a.shape[1])


@pytest.mark.parametrize("random_bits", RANDOM_BITS)
def test_every_draw_is_equally_likely(random_bits: int) -> None:
    values = draws(random_bits)
    assert values.min() == 0 and values.max() == 2**random_bits - 1
    assert_even(bits_of(values, random_bits))
    boxes = 2 ** min(random_bits, 8)
    counts = np.bincount(values.ravel() * boxes >> random_bits, minlength=boxes)
    mean = values.size / boxes
    chi_squared = ((counts - mean) ** 2 / mean).sum()
    assert abs(chi_squared - (boxes - 1)) < LIMIT * math.sqrt(2 * (boxes - 1)) + 4


@pytest.mark.parametrize("random_bits", RANDOM_BITS)
def test_neighbours_are_independent(random_bits: int) -> None:
    values = draws(random_bits)
    for axis, distance in itertools.product(range(3), (1, 2, 16)):
        one, other = (np.take(values, range(*cut), axis) for cut in _apart(values.shape[axis], distance))
        assert_independent(one, other, random_bits)
    above, right = np.triu_indices(min(SHAPE), 1)
    assert_independent(values[above, right], values[right, above], random_bits)


def _apart(size: int, distance: int) -> tuple[tuple[int, int], tuple[int, int]]:
    return (0, size - distance), (distance, size)


@pytest.mark.parametrize("random_bits", RANDOM_BITS)
def test_bits_of_one_draw_are_independent(random_bits: int) -> None:
    signs = bits_of(draws(random_bits), random_bits)
    together = signs @ signs.T - np.diag(np.full(random_bits, float(signs.shape[1])))
    assert np.abs(together).max() < LIMIT * math.sqrt(signs.shape[1])


@pytest.mark.parametrize("random_bits", RANDOM_BITS)
def test_rectangles_are_independent(random_bits: int) -> None:
    """A hash that only joins one of the row and one of the column gives the fourth corner away."""
    values = draws(random_bits)
    for height, width in ((1, 1), (1, 16), (16, 1), (3, 5), (32, 32)):
        corners = (values[:-height, :-width], values[height:, :-width], values[:-height, width:])
        fourth = values[height:, width:]
        three = corners[0] ^ corners[1] ^ corners[2]
        assert_even(bits_of(three ^ fourth, random_bits))
        assert_independent(three, fourth, random_bits)
        expected = three.size / 2**random_bits
        assert abs(np.count_nonzero(three == fourth) - expected) < LIMIT * math.sqrt(expected) + 1


@pytest.mark.parametrize("random_bits", RANDOM_BITS)
def test_seeds_streams_and_far_rows_are_independent(random_bits: int) -> None:
    values = draws(random_bits)
    for other in ({"seed": 6}, {"seed": 5 + 2**32}, {"stream": 0}, {"stream": 2}, {"first_row": 2**32}):
        assert_independent(values, draws(random_bits, **other), random_bits)


@pytest.mark.parametrize("random_bits", [1, 4, 7])
def test_the_mean_of_all_draws_is_the_value_to_its_random_bits(random_bits: int) -> None:
    """Not a statistic: over all draws the mean is exact where no bits lie behind those that have a say."""
    held = FloatFormat(3, 5, 15)
    every = np.arange(2**random_bits)
    for numerator in range(1, 3 * 2**random_bits, 3):
        value = 1.25 + numerator * 2.0 ** -(random_bits + 3)
        rounded = held.quantize(np.full(every.shape, value), True, "stochastic", every, random_bits)
        assert rounded.astype(np.float64).mean() == value
        beyond = held.quantize(np.full(every.shape, value + 2.0**-30), True, "stochastic", every, random_bits)
        assert beyond.astype(np.float64).mean() == value


def distribution(addend: Fraction, depth: int, mantissa_bits: int, random_bits: int) -> dict[Fraction, Fraction]:
    """Return how likely each sum of equal positive addends is, if all draws are fair and independent."""
    likely = {Fraction(0): Fraction(1)}
    for _ in range(depth):
        after: dict[Fraction, Fraction] = {}
        for total, probability in likely.items():
            exact = total + addend
            last_bit = Fraction(2) ** (math.frexp(float(exact))[1] - 1 - mantissa_bits)
            below = exact // last_bit * last_bit
            up = Fraction(int((exact - below) / last_bit * 2**random_bits), 2**random_bits)
            for value, share in ((below, 1 - up), (below + last_bit, up)):
                if share:
                    after[value] = after.get(value, Fraction(0)) + probability * share
        likely = after
    return likely


@pytest.mark.parametrize("random_bits", [2, 5, 8])
@pytest.mark.parametrize("depth", [1, 2, 9, 40])
def test_sums_are_distributed_as_independent_draws_make_them(depth: int, random_bits: int) -> None:
    """Mean and variance of the sum, so of its error, and the share of each value."""
    addend = Fraction(27, 16)
    text = f"M3E6b31,chunk=none,round=stochastic{random_bits},seed=9,product=exact"
    a, b = np.full((150, depth), float(addend), np.float32), np.ones((depth, 140), np.float32)
    sums = kernels.matmul(a, b, text).astype(np.float64)
    np.testing.assert_array_equal(sums[:3, :3], reference.matmul(a[:3], b[:, :3], text))
    likely = distribution(addend, depth, 3, random_bits)
    assert {*np.unique(sums)} <= {float(value) for value in likely}
    mean = sum(value * share for value, share in likely.items())
    moments = [float(sum((value - mean) ** power * share for value, share in likely.items())) for power in (2, 4)]
    assert abs(sums.mean() - float(mean)) <= LIMIT * math.sqrt(moments[0] / sums.size)
    assert abs(((sums - float(mean)) ** 2).mean() - moments[0]) <= LIMIT * math.sqrt(
        (moments[1] - moments[0] ** 2) / sums.size
    )
    for value, share in likely.items():
        expected = float(share) * sums.size
        assert abs(np.count_nonzero(sums == float(value)) - expected) < LIMIT * math.sqrt(expected) + 1
    for axis in range(2):  # sums of rows, and of columns, vary as much as independent ones
        varied = sums.sum(axis).var(ddof=1) / (sums.shape[axis] * moments[0]) if moments[0] else 1.0
        assert abs(varied - 1) < LIMIT * math.sqrt(2 / (sums.shape[1 - axis] - 1))


def matmul_on(path: str, a: np.ndarray, b: np.ndarray, text: str) -> np.ndarray:
    """Return the product, all of whose tiles this path computes."""
    before = native.path_counts()
    result: np.ndarray = kernels.matmul(a, b, text)
    assert {name for name, count in native.path_counts().items() if count > before[name]} == {path}
    return result


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("random_bits", range(1, 17))
def test_products_and_sums_are_decided_by_24_bits_or_not_at_all(
    each_path: Paths, random_bits: int, beyond: int
) -> None:
    """The vector kernels end where a draw reaches below float32's last bit: operands use all of theirs."""
    rng = np.random.default_rng(random_bits)
    a, b = (rng.uniform(1, 2, shape).astype(np.float32) for shape in ((6, 24), (24, 20)))
    a[:, ::3] *= -1
    long = min(23 - random_bits + beyond, 22)
    fits = long + random_bits <= 23
    for mantissas, biases in (((long, long), (8, 8)), ((long, 5), (12, 8)), ((5, long), (8, 9))):
        text = "/".join(f"M{m}E5b{bias}" for m, bias in zip(mantissas, biases, strict=True))
        spec = f"{text},round=stochastic{random_bits},seed=4"
        expected = reference.matmul(a, b, spec)
        for forced in each_path():
            path = forced if fits or forced == "exact" else "portable"
            np.testing.assert_array_equal(matmul_on(path, a, b, spec), expected, forced)


@pytest.mark.parametrize(
    "formats",
    [
        "M2E4b9,product=exact",
        *(f"M2E4b{bias}/M2E4b9" for bias in (7, 8, 9, 10, 11, 14)),
        "M3E4b10/M2E4b9",
        "M3E4b9/M5E4b9",
    ],
)
def test_what_rounds_up_to_the_smallest_value_is_not_flushed(forced_path: str, formats: str) -> None:
    """Products lie about their smallest value, or that of sums; of those below it some are kept."""
    spec = AccumulatorSpec.parse(f"{formats},round=stochastic4")
    of_sums = spec.accumulator_format.min_value
    smallest = max(of_sums, (spec.product_format or spec.accumulator_format).min_value)
    rng = np.random.default_rng(2)
    a = (rng.uniform(0.2, 2.2, (60, 3)) * smallest * rng.choice([-1, 1], (60, 3))).astype(np.float32)
    a[:, 1:] *= np.exp2(rng.integers(-6, 2, (60, 2)))
    b = np.ones((3, 40), np.float32)
    for depth in (1, 2, 3):
        result = matmul_on(forced_path, a[:, :depth], b[:depth], str(spec))
        np.testing.assert_array_equal(result, reference.matmul(a[:, :depth], b[:depth], spec))
        if depth == 1:
            assert 0 < np.mean(result[np.abs(a[:, 0]) < smallest] != 0) < 0.9


def test_with_enough_random_bits_sums_are_right_on_average() -> None:
    """Truncation loses half a last bit a step; rounding to nearest gets stuck; this does neither."""
    a, b = np.full((64, 400), 1.0, np.float32), np.full((400, 64), 0.125, np.float32)
    mean = {
        rounding: kernels.matmul(a, b, f"M3E6b31,chunk=none,round={rounding},product=exact").mean(dtype=np.float64)
        for rounding in ("truncate", "nearest", "stochastic16")
    }
    assert mean["truncate"] == mean["nearest"] == 2.0
    assert abs(mean["stochastic16"] - 50) < 1


def test_a_batch_in_parts_draws_other_bits() -> None:
    """A place is counted from the first row of a call: this is said in docs/numerics.md."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 8, 50)).astype(np.float32), rng.standard_normal((50, 12)).astype(np.float32)
    text = "M3E5b17/M3E5b15,round=stochastic8"
    whole = kernels.matmul(a, b, text)
    np.testing.assert_array_equal(whole[0], kernels.matmul(a[0], b, text))
    assert np.mean(whole[1] != kernels.matmul(a[1], b, text)) > 0.3
    np.testing.assert_array_equal(whole.reshape(16, 12), kernels.matmul(a.reshape(16, 50), b, text))


def test_seeds_change_sums_and_equal_ones_do_not() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((16, 50)).astype(np.float32), rng.standard_normal((50, 12)).astype(np.float32)
    texts = [f"fp12-sr{seed}" for seed in ("", ",seed=0", ",seed=1", f",seed={2**64 - 1}")]
    one, same, *others = (kernels.matmul(a, b, text) for text in texts)
    np.testing.assert_array_equal(one, same)
    for other in others:
        assert np.mean(one != other) > 0.3


def test_convert_gives_each_product_bits_of_its_own() -> None:
    model = demo_data_path() / "fashion_cnn.onnx"
    first, again, other = (lba_onnx.convert(model, f"fp12-sr,seed={seed}")[1].specs for seed in (1, 1, 2))
    seeds = {spec.seed for spec in first.values()}
    assert first == again and len(seeds) == len(first) > 1
    assert seeds.isdisjoint(spec.seed for spec in other.values())
    assert lba_onnx.convert(model, first)[1].specs == first
