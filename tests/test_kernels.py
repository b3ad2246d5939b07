"""Every path of the native kernels gives the reference's bits."""

import itertools
import re
import zlib

import numpy as np
import pytest
from hostile import KINDS, operand
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from processor import Paths
from same_bits import assert_same_bits
from strategies import all_specs, specs

from lba_onnx import kernels, native, reference
from lba_onnx.arithmetic import AccumulatorSpec

SPECS = (
    "M7E4b10",
    "M7E4b12/M7E4b10,chunk=none",
    "M7E4b10,chunk=1",
    "M7E4b6/M7E4b11,chunk=5",
    "M7E4b10,underflow=off",
    "M4E3b6",
    "M4E3b6,chunk=3,underflow=off",
    "M10E5b18",
    "M22E7b63",
    "M22E7b63,underflow=off,chunk=none",
    "M0E1b1/M1E2b1",
    "M5E3b-4/M9E5b20,chunk=7",
    "M3E2b100/M6E6b2",
    "M12E6b30/M3E4b8,underflow=off",
)


def seed_of(*parts: object) -> int:
    return zlib.crc32(repr(parts).encode())


def scale_of(spec: AccumulatorSpec) -> float:
    """Puts products near the middle of the product format."""
    middle = 2 ** (spec.product_format.exponent_bits - 1) - spec.product_format.exponent_bias
    return float(2.0 ** (middle / 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", SPECS)
def test_matmul_every_path_equals_reference(each_path: Paths, text: str, kind: str) -> None:
    spec = AccumulatorSpec.parse(text)
    rng = np.random.default_rng(seed_of(text, kind))
    for rows, depth, columns in ((9, 50, 33), (3, 16, 17), (8, 5, 1)):
        a = operand(kind, (rows, depth), rng, scale_of(spec))
        b = operand(kind, (depth, columns), rng, scale_of(spec))
        expected = reference.matmul(a, b, spec)
        for path in each_path():
            actual = kernels.matmul(a, b, spec, threads=1)
            np.testing.assert_array_equal(actual, expected, err_msg=f"{path} {text} {kind} {rows, depth, columns}")


def test_forced_path_computes_the_tiles(forced_path: str) -> None:
    before = native.path_counts()
    a = np.ones((40, 40), np.float32)
    kernels.matmul(a, a, AccumulatorSpec.parse("M7E4b10"))
    used = {name for name, count in native.path_counts().items() if count > before[name]}
    assert used == {forced_path}


@pytest.mark.parametrize(
    "sizes", [*itertools.product((1, 2, 7, 8, 9, 15, 16, 17), (1, 31, 32, 33), (0, 1, 15, 17, 33))]
)
def test_matmul_of_every_tile_size_equals_reference(sizes: tuple[int, int, int]) -> None:
    rows, columns, depth = sizes
    rng = np.random.default_rng(seed_of(sizes))
    a = rng.standard_normal((rows, depth)).astype(np.float32)
    b = rng.standard_normal((depth, columns)).astype(np.float32)
    for text in ("M7E4b10", "M4E3b6,chunk=4"):
        spec = AccumulatorSpec.parse(text)
        expected = reference.matmul(a, b, spec)
        np.testing.assert_array_equal(kernels.matmul(a, b, spec), expected, err_msg=f"{sizes} {text}")


def test_matmul_rows_with_and_without_nan_take_their_own_paths() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((20, 30)).astype(np.float32), rng.standard_normal((30, 40)).astype(np.float32)
    a[3, 4], a[17, 2] = np.nan, np.inf
    spec = AccumulatorSpec.parse("M7E4b10")
    y = kernels.matmul(a, b, spec)
    np.testing.assert_array_equal(y, reference.matmul(a, b, spec))
    assert np.isnan(y[3]).all() and np.isfinite(np.delete(y, 3, axis=0)).all()


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((5,), (5,)), ((5,), (5, 3)), ((4, 5), (5,)), ((2, 1, 4, 5), (3, 5, 6)), ((4, 5), (2, 5, 3)),
        ((2, 3, 4, 5), (5, 6)), ((0, 5), (5, 3)), ((3, 0), (0, 4)), ((2, 0, 5), (5, 1)), ((0, 2, 3), (0, 3, 4)),
    ],
)  # fmt: skip
def test_matmul_broadcasts_like_numpy(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(a_shape).astype(np.float32), rng.standard_normal(b_shape).astype(np.float32)
    spec = AccumulatorSpec.parse("M7E4b10")
    y = kernels.matmul(a, b, spec)
    assert y.shape == np.matmul(a, b).shape
    np.testing.assert_array_equal(y, reference.matmul(a, b, spec))


def test_matmul_of_strided_views_equals_that_of_copies() -> None:
    rng = np.random.default_rng(2)
    base = rng.standard_normal((6, 40, 40)).astype(np.float32)
    a, b = base[:, ::2, ::-1], base.transpose(0, 2, 1)[:, :, ::3]
    spec = AccumulatorSpec.parse("M7E4b10")
    np.testing.assert_array_equal(kernels.matmul(a, b, spec), kernels.matmul(a.copy(), b.copy(), spec))


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_thread_count_never_changes_a_bit(threads: int) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((130, 70)).astype(np.float32), rng.standard_normal((70, 130)).astype(np.float32)
    x, w = rng.standard_normal((2, 8, 15, 15)).astype(np.float32), rng.standard_normal((24, 4, 3, 3)).astype(np.float32)
    spec = AccumulatorSpec.parse("M7E4b10")
    np.testing.assert_array_equal(kernels.matmul(a, b, spec, threads=threads), kernels.matmul(a, b, spec, threads=1))
    one = kernels.conv(x, w, spec, group=2, pads=(1, 1, 1, 1), threads=1)
    np.testing.assert_array_equal(kernels.conv(x, w, spec, group=2, pads=(1, 1, 1, 1), threads=threads), one)


CONVOLUTIONS = (
    # x, w, strides, pads, dilations, group
    ((2, 3, 17), (5, 3, 3), (2,), (1, 2), (1,), 1),
    ((1, 4, 9, 11), (6, 2, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 2),
    ((2, 4, 9, 11), (8, 2, 3, 2), (2, 3), (0, 2, 1, 0), (2, 1), 2),
    ((1, 3, 5, 6, 7), (4, 3, 2, 3, 2), (1, 2, 1), (1, 0, 1, 0, 1, 2), (1, 1, 2), 1),
    ((2, 6, 10, 7), (6, 1, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 6),  # depthwise
    ((1, 6, 10, 9), (12, 1, 5, 3), (2, 2), (2, 1, 2, 1), (1, 2), 6),
    ((1, 4, 12), (4, 1, 4), (3,), (0, 5), (2,), 4),
    ((1, 4, 4, 5, 6), (4, 1, 2, 3, 3), (2, 1, 2), (1, 1, 1, 1, 1, 1), (1, 2, 1), 4),
    ((1, 6, 8, 8), (9, 2, 3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 3),  # small groups
    ((3, 16, 7, 7), (24, 16, 1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 1),  # pointwise
    ((1, 8, 9, 9), (16, 8, 1, 1), (2, 2), (0, 0, 0, 0), (1, 1), 1),
    ((1, 2, 3, 3), (3, 2, 5, 5), (1, 1), (4, 4, 4, 4), (1, 1), 1),  # mostly padding
    ((1, 4, 3, 3), (4, 1, 3, 3), (5, 5), (1, 1, 1, 1), (1, 1), 4),  # strides beyond the kernel
)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_conv_every_path_equals_reference(each_path: Paths, case: tuple) -> None:  # type: ignore[type-arg]
    x_shape, w_shape, strides, pads, dilations, group = case
    rng = np.random.default_rng(seed_of(case))
    for text, kind in (("M7E4b10", "normal"), ("M4E3b6,chunk=4", "overflow"), ("M7E4b12/M7E4b3", "few_bits"),
                       ("M7E4b10,underflow=off", "zeros"), ("M7E4b10", "special"), ("M22E7b63", "huge")):  # fmt: skip
        spec = AccumulatorSpec.parse(text)
        x, w = operand(kind, x_shape, rng), operand(kind, w_shape, rng)
        expected = reference.conv(x, w, spec, strides, pads, dilations, group)
        for path in each_path():
            actual = kernels.conv(x, w, spec, strides, pads, dilations, group)
            np.testing.assert_array_equal(actual, expected, err_msg=f"{path} {text} {kind} {case}")


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2**20, 2**31 - 1])
def test_depthwise_taps_far_apart_in_wide_padding_need_no_wide_copy(axes: int, stride: int) -> None:
    # A review found that the padded copy of a few values then took all memory, or, its size overflowing, crashed.
    spec, far = AccumulatorSpec.parse("M7E4b10"), 2**30
    x = np.arange(1, 2 * 2**axes + 1, dtype=np.float32).reshape(1, 2, *(2,) * axes)
    w = np.full((2, 1, *(2,) * axes), 0.5, np.float32)
    y = kernels.conv(x, w, spec, (stride,) * axes, (far,) * axes + (0,) * axes, (far,) * axes, group=2)
    # Only the last tap meets the image, once per position.
    np.testing.assert_array_equal(y, x[(slice(None), slice(None), *(slice(None, None, min(stride, 2)),) * axes)] / 2)


def test_conv_settings_beyond_64_bits_are_refused() -> None:
    # A review found that they reached the native library modulo 2^64, which then wrote a larger output than allocated.
    x, w, spec = np.ones((1, 1, 8), np.float32), np.ones((1, 1, 3), np.float32), AccumulatorSpec.parse("M7E4b10")
    for window in (
        {"strides": [2**64 + 1]},
        {"pads": [2**64, 0], "strides": [2**64 + 1]},
        {"dilations": [2**64 + 1]},
    ):
        with pytest.raises(ValueError, match="of at most 2147483647"):
            kernels.conv(x, w, spec, **window)


def test_operands_without_whole_strides_equal_their_copies() -> None:
    # A field of packed records lies at strides that are no multiple of its size.
    records = np.zeros((5, 6), np.dtype([("value", np.float32), ("flag", np.int16)]))
    records["value"] = np.arange(30).reshape(5, 6)
    a, spec = records["value"], AccumulatorSpec.parse("M7E4b10")
    np.testing.assert_array_equal(
        kernels.matmul(a[::-1], a.T, spec), reference.matmul(a[::-1].copy(), a.T.copy(), spec)
    )


@pytest.mark.parametrize(
    ("a_shape", "b_shape"),
    [
        ((2, 3, 4, 0), (2, 3, 0, 5)),
        ((2, 0, 4), (2, 4, 5)),
        ((2, 3, 4), (2, 4, 0)),
        ((0, 3, 4), (0, 4, 5)),
        ((3, 0), (0, 2)),
    ],
)
def test_matmul_of_empty_sizes_is_what_numpy_makes_of_them(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = np.ones(a_shape, np.float32), np.ones(b_shape, np.float32)
    y, expected = kernels.matmul(a, b, AccumulatorSpec.parse("M7E4b10")), np.matmul(a, b)
    assert y.shape == expected.shape
    assert np.array_equal(y, expected)


def test_conv_of_empty_batch_and_empty_depth() -> None:
    spec = AccumulatorSpec.parse("M7E4b10")
    assert kernels.conv(np.zeros((0, 2, 5), np.float32), np.zeros((3, 2, 3), np.float32), spec).shape == (0, 3, 3)
    y = kernels.conv(np.zeros((1, 0, 5), np.float32), np.zeros((3, 0, 3), np.float32), spec)
    np.testing.assert_array_equal(y, np.zeros((1, 3, 3), np.float32))


@settings(max_examples=150, deadline=None)
@given(
    spec=all_specs(largest_chunk=40),
    data=st.data(),
    shape=st.tuples(st.integers(1, 10), st.integers(0, 40), st.integers(1, 34)),
)
def test_matmul_of_any_operands_and_spec_equals_reference(
    spec: AccumulatorSpec, data: st.DataObject, shape: tuple[int, int, int]
) -> None:
    rows, depth, columns = shape
    elements = st.floats(width=32, allow_nan=True, allow_infinity=True)
    a = data.draw(hnp.arrays(np.float32, (rows, depth), elements=elements))
    b = data.draw(hnp.arrays(np.float32, (depth, columns), elements=elements))
    assert_same_bits(kernels.matmul(a, b, spec), reference.matmul(a, b, spec))


@settings(max_examples=100, deadline=None)
@given(spec=all_specs(largest_chunk=40), seed=st.integers(0, 2**32 - 1))
def test_conv_of_any_spec_equals_reference(spec: AccumulatorSpec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, channels, filters = (int(n) for n in rng.integers(1, 4, 3))
    kernel, size = rng.integers(1, 4, 2), rng.integers(4, 8, 2)
    x = rng.standard_normal((2, groups * channels, *size)).astype(np.float32)
    w = rng.standard_normal((groups * filters, channels, *kernel)).astype(np.float32)
    w.flat[rng.integers(w.size)] = rng.choice([np.inf, -1.0])
    settings = {"strides": list(rng.integers(1, 3, 2)), "pads": list(rng.integers(0, 2, 4)), "group": groups}
    assert_same_bits(kernels.conv(x, w, spec, **settings), reference.conv(x, w, spec, **settings))


@settings(max_examples=150, deadline=None)
@given(
    spec=specs(largest_chunk=40) | all_specs(largest_chunk=40),
    seed=st.integers(0, 2**32 - 1),
    spread=st.integers(0, 30),
)
def test_matmul_at_the_edges_of_any_spec_equals_reference(spec: AccumulatorSpec, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 60))
    centred = spec.product_format or spec.accumulator_format
    centre = (centred.exponent_bits**2 - 2 * centred.exponent_bias) // 2
    exponents = np.clip(centre // 2 + rng.integers(-spread, spread + 1, (40, depth)), -140, 120)
    values = np.ldexp(rng.standard_normal((40, depth)), exponents).astype(np.float32)
    a, b = values[:9], values[9:].T
    assert_same_bits(kernels.matmul(a, b, spec), reference.matmul(a, b, spec))


def test_bad_operands_are_refused() -> None:
    spec = AccumulatorSpec.parse("M7E4b10")
    ones = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match="expected a to be float32, got float64"):
        kernels.matmul(ones.astype(np.float64), ones.T, spec)
    with pytest.raises(TypeError, match="spec: expected an AccumulatorSpec or its text such as 'M7E4b10', got int 7"):
        kernels.matmul(ones, ones.T, 7)
    with pytest.raises(ValueError, match="same depth"):
        kernels.matmul(ones, ones, spec)
    with pytest.raises(ValueError, match="broadcast"):
        kernels.matmul(np.ones((2, 2, 3), np.float32), np.ones((3, 3, 2), np.float32), spec)
    with pytest.raises(ValueError, match="expected threads of at least 1, got 0"):
        kernels.matmul(ones, ones.T, spec, threads=0)
    with pytest.raises(ValueError, match="fits the padded input"):
        kernels.conv(np.ones((1, 1, 2), np.float32), np.ones((1, 1, 3), np.float32), spec)
    with pytest.raises(ValueError, match="expected 1 values in strides"):
        kernels.conv(np.ones((1, 1, 4), np.float32), np.ones((1, 1, 3), np.float32), spec, strides=(1, 1))
    with pytest.raises(TypeError, match="expected strides as a sequence of 1 integers, got 2"):
        kernels.conv(np.ones((1, 1, 4), np.float32), np.ones((1, 1, 3), np.float32), spec, strides=2)  # type: ignore[arg-type]


def test_saturated_products_of_a_tiny_format_cancel_below_the_smallest_float(forced_path: str) -> None:
    # Without underflow, sums below 2^-126 become zero. A random search found that the vector paths bounded the last
    # bit of a product by its operands alone. Here saturation makes it smaller: the rest of cancelling sums was kept.
    spec = AccumulatorSpec.parse("M20E2b117/M15E2b81,chunk=14,underflow=off")
    signs = np.array([-1, -1, 1, 1, -1, -1, 1, 1, 1], np.float32)
    for scale in (1.0, 2.0**20):
        a = (signs * np.float32(scale)).reshape(1, -1)
        b = np.full((9, 33), 1.5, np.float32)
        np.testing.assert_array_equal(kernels.matmul(a, b, spec), reference.matmul(a, b, spec), err_msg=forced_path)


def test_unknown_path_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", "sse9")
    with pytest.raises(ValueError, match='expected avx512, avx2, portable or exact, got "sse9"'):
        kernels.matmul(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32), AccumulatorSpec.parse("M7E4b10"))


@pytest.mark.parametrize(
    ("threads", "error", "message"),
    [
        (1.5, TypeError, "expected threads to be an integer, got float 1.5"),
        (True, TypeError, "expected threads to be an integer, got bool True"),
        ("2", TypeError, "expected threads to be an integer, got str '2'"),
        (-1, ValueError, "expected threads of at least 1, got -1"),
        (2**32 + 1, ValueError, f"expected threads of at most {2**31 - 1}, got {2**32 + 1}"),
    ],
)
def test_threads_that_are_no_count_are_refused_everywhere(
    threads: object, error: type[Exception], message: str
) -> None:
    """threads=2**32 + 1 was cut to 32 bits and ran on one thread; 1.5 ended in an error of ctypes."""
    a, x = np.ones((1, 2, 2), np.float32), np.ones((1, 1, 3), np.float32)
    spec = AccumulatorSpec.parse("M7E4b10")
    geometry = native.ConvGeometry((1,), (1,), (0,), (0,), 1)
    calls = (
        lambda: kernels.matmul(a, a, spec, threads=threads),  # type: ignore[call-overload]
        lambda: kernels.conv(x, x, spec, threads=threads),  # type: ignore[call-overload]
        lambda: native.matmul(a, a, spec, threads),  # type: ignore[arg-type]
        lambda: native.conv(x, x, spec, geometry, (1, 1, 1), threads),  # type: ignore[arg-type]
        lambda: native.matmul_gradients(a, a, a, spec, 1, threads),  # type: ignore[arg-type]
        lambda: native.conv_gradients(x[..., :1], x, x, spec, 1, geometry, threads),  # type: ignore[arg-type]
    )
    for call in calls:
        with pytest.raises(error, match=re.escape(message)):
            call()


def test_numpy_integers_are_counts() -> None:
    a = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(kernels.matmul(a, a, AccumulatorSpec.parse("M7E4b10"), threads=np.int64(2)), 2 * a)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="expected strides as a sequence of 1 integers"):
        kernels.conv(a[np.newaxis], a[np.newaxis], AccumulatorSpec.parse("M7E4b10"), strides=(1.5,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected group to be an integer, got float 1.0"):
        kernels.conv(a[np.newaxis], a[np.newaxis], AccumulatorSpec.parse("M7E4b10"), group=1.0)  # type: ignore[arg-type]
