"""Exact sums: the same bits as rationals for any spread of values, in any order; texts, statistics, what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from processor import Paths
from protocol_checks import check_refused
from same_bits import assert_same_bits

import lba_onnx
from lba_onnx import kernels, native, reference
from lba_onnx.arithmetic import parse_accumulator

rng = np.random.default_rng(8)


def spread(shape: tuple[int, ...], binades: int) -> np.ndarray:
    """Return float32 values of full precision over so many powers of two."""
    values = rng.uniform(1, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return np.ldexp(values, rng.integers(-binades // 2, binades - binades // 2 + 1, shape)).astype(np.float32)


def expected(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the exact products of finite matrices; float64 between is far from float32's ties."""
    y = np.empty((a.shape[0], b.shape[1]))
    for i, j in np.ndindex(y.shape):
        y[i, j] = float(sum(Fraction(float(x)) * Fraction(float(w)) for x, w in zip(a[i], b[:, j], strict=True)))
    with np.errstate(over="ignore"):
        return y.astype(np.float32)


@pytest.mark.parametrize("binades", [0, 1, 3, 8, 17, 18, 19, 20, 21, 22, 38, 39, 40, 41, 42, 60, 100, 240])
def test_any_spread_of_values_is_summed_exactly(each_path: Paths, binades: int) -> None:
    """Each bin more comes in at some spread; beyond four, the register takes over."""
    a, b = spread((9, 70), binades), spread((70, 35), binades)
    b[35:] = -b[:35]  # much cancels
    a[:, 35:] = np.nextafter(a[:, :35], np.float32(0))
    exact = expected(a, b)
    for path in each_path():
        assert_same_bits(kernels.matmul(a, b, "kulisch", threads=2), exact, path)


def test_kernels_take_what_fits_and_the_register_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for binades, name in ((30, native.cpu_path()), (200, "exact")):
        before = native.path_counts()
        kernels.matmul(spread((8, 70), binades), spread((70, 32), binades), "kulisch")
        after = native.path_counts()
        assert [path for path in after if after[path] > before[path]] == [name]


def test_the_order_has_no_say() -> None:
    a, b = spread((5, 200), 30), spread((200, 6), 30)
    order = rng.permutation(200)
    assert_same_bits(kernels.matmul(a[:, order], b[order], "kulisch"), kernels.matmul(a, b, "kulisch"))


@pytest.mark.parametrize("group, channels", [(1, 4), (6, 6), (6, 12)])
@pytest.mark.parametrize("special", [0.5, np.inf, np.nan])
def test_convolutions(forced_path: str, group: int, channels: int, special: float) -> None:
    x, w = spread((2, 6, 9, 7), 20), spread((channels, 6 // group, 3, 3), 40)
    w[0, 0, 0, 0] = special  # over the padding it makes products of 0
    geometry = {"pads": [1, 1, 1, 1], "group": group}
    for text in ("kulisch", "kulisch(M7E4b7)"):
        assert_same_bits(kernels.conv(x, w, text, **geometry), reference.conv(x, w, text, **geometry))


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("kulisch(float32)", "kulisch"),
        ("kulisch( M10E5b15 ), range=infinity, subnormals=keep", "kulisch(float16)"),
        ("kulisch(M7E8b127),subnormals=keep,range=infinity,round=odd", "kulisch(bfloat16),round=odd"),
        ("kulisch(float16),range=saturate", "kulisch(M10E5b15),subnormals=keep"),
        ("kulisch,round=nearest", "kulisch"),
    ],
)
def test_texts_have_one_form(text: str, canonical: str) -> None:
    assert str(parse_accumulator(text)) == canonical
    a = spread((3, 20), 8)
    assert_same_bits(native.matmul(a[None], a.T[None], text, 1), native.matmul(a[None], a.T[None], canonical, 1))


@pytest.mark.parametrize(
    "text, problem",
    [
        ("kulisch()", "expected a format such as"),
        ("kulisch(M7E4)", "expected a format"),
        ("kulischer", "expected kulisch or kulisch\\(<format>\\), got 'kulischer', at character 1"),
        ("kulisch,chunk=4", "expected round=truncate, .*got 'chunk=4'.*, at character 9"),
        ("kulisch,round=stochastic8", "expected round=truncate, .*got 'round=stochastic8'"),
        ("kulisch,round=odd,round=odd", "expected round once, got it twice, at character 19"),
    ],
)
def test_texts_that_are_none_are_refused(text: str, problem: str) -> None:
    check_refused(text, problem)


def test_statistics_tell_of_the_one_rounding() -> None:
    a = np.array([[[300.0, 300.0, 1e-5, 1.0]]], np.float32)
    b = np.array([[[300.0, 0, 0], [0, 0, 1], [0, 1e-5, 0], [0, 0, 1]]], np.float32)  # 9e4, 1e-10, 301
    native.statistics_open("kulisch", 1.0)
    native.matmul(a, b, "kulisch(float16)", 1, "kulisch/node")
    found = native.statistics_read("kulisch/node")
    native.statistics_close("kulisch")
    assert [level.values for level in found.levels] == [12, 12, 3]
    assert found["total"].events == {"overflow": 1, "underflow": 1, "subnormal": 0}
    assert found["total"].max_abs == pytest.approx(9e4)


def test_calibration_has_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="expected a kind whose biases calibration chooses, got kulisch"):
        lba_onnx.arithmetic.parse_family("kulisch(M7E4)")
