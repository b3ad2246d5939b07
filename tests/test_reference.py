"""The reference: its scalar definition, its twin for arrays held to it, shapes, special values, and the user's page."""

import doctest
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from same_bits import assert_same_bits
from strategies import all_specs, formats

from lba_onnx import reference
from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.chunked_float import arrays

HOSTILE = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 2.0**-149, -(2.0**-126), 2.0**-64, 2.0**127, -1.75]
M7E4 = AccumulatorSpec.parse("M7E4b10")
FLOAT32_LIKE = AccumulatorSpec.parse("M22E7b63")


def float32_arrays(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Arrays of ordinary, tiny, huge and special values."""
    scaled = st.builds(math.ldexp, st.floats(-2, 2, width=16), st.integers(-70, 70))
    return hnp.arrays(np.float32, shape, elements=st.sampled_from(HOSTILE) | scaled.map(lambda v: float(np.float32(v))))


def matmul_by_dots(a: np.ndarray, b: np.ndarray, spec: AccumulatorSpec) -> np.ndarray:
    """Return a product of matrices, one scalar dot product an output."""
    outputs = [
        [reference.dot(row, column, spec, place=(i, j)) for j, column in enumerate(b.T)] for i, row in enumerate(a)
    ]
    return np.array(outputs, dtype=np.float32).reshape(len(a), b.shape[1])


def conv_output(
    x: np.ndarray,
    w: np.ndarray,
    spec: AccumulatorSpec,
    starts: Sequence[int],
    dilations: Sequence[int],
    place: tuple[int, int],
) -> float:
    """Return one output: x [channels, *size] of the group, w [channels, *kernel], the window's first position."""
    values, weights = [], []
    for channel, *position in np.ndindex(w.shape):
        source = [start + p * dilation for start, p, dilation in zip(starts, position, dilations, strict=True)]
        is_inside = all(0 <= at < size for at, size in zip(source, x.shape[1:], strict=True))
        weight = float(w[(channel, *position)])
        values.append(float(x[(channel, *source)]) if is_inside else 0.0)
        weights.append(weight if is_inside or math.isfinite(weight) else 0.0)
    return spec.dot(values, weights, place=place)


@settings(deadline=None)
@given(st.data())
def test_matmul_equals_scalar_dots_on_any_data(data: st.DataObject) -> None:
    rows, depth, columns = (data.draw(st.integers(low, high)) for low, high in ((0, 3), (0, 9), (0, 3)))
    a, b = data.draw(float32_arrays((rows, depth))), data.draw(float32_arrays((depth, columns)))
    spec = data.draw(all_specs(largest_chunk=10))
    result = reference.matmul(a, b, spec)
    assert result.dtype == np.float32
    assert_same_bits(result, matmul_by_dots(a, b, spec))


@pytest.mark.parametrize("text", ["M7E4b10", "M22E7b63", "M4E3b4,chunk=3", "M10E5b20,chunk=none,underflow=off"])
@pytest.mark.parametrize("depth", [1, 2, 15, 16, 17, 33, 100])
def test_matmul_equals_scalar_dots_on_normal_data(text: str, depth: int) -> None:
    spec = AccumulatorSpec.parse(text)
    random = np.random.default_rng(depth)
    a, b = (random.normal(size=shape).astype(np.float32) for shape in ((3, depth), (depth, 4)))
    np.testing.assert_array_equal(reference.matmul(a, b, spec), matmul_by_dots(a, b, spec))


@settings(deadline=None)
@given(st.data())
def test_conv_equals_scalar_outputs_on_any_data(data: st.DataObject) -> None:
    axes, group = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    channels, per_group, batch = (data.draw(st.integers(1, 2)) for _ in range(3))
    kernel = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    strides, dilations = ([data.draw(st.integers(1, 2)) for _ in range(axes)] for _ in range(2))
    pads = [data.draw(st.integers(0, 2)) for _ in range(2 * axes)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = [r + data.draw(st.integers(0, 2)) for r in reach]
    x = data.draw(float32_arrays((batch, group * channels, *size)))
    w = data.draw(float32_arrays((group * per_group, channels, *kernel)))
    spec = data.draw(all_specs(largest_chunk=10))

    result = reference.conv(x, w, spec, strides, pads, dilations, group)
    room = zip(size, pads[:axes], pads[axes:], reach, strides, strict=True)
    assert result.shape == (batch, len(w), *((s + b + e - r) // stride + 1 for s, b, e, r, stride in room))
    for image, out_channel, *place in np.ndindex(result.shape):
        first = out_channel // per_group * channels
        starts = [p * stride - pad for p, stride, pad in zip(place, strides, pads[:axes], strict=True)]
        row = image * math.prod(result.shape[2:]) + int(np.ravel_multi_index(place, result.shape[2:]))
        group_x, filter_w = x[image, first : first + channels], w[out_channel]
        expected = conv_output(group_x, filter_w, spec, starts, dilations, (row, out_channel))
        assert_same_bits(result[(image, out_channel, *place)], expected)


@given(formats(), formats(), st.data())
def test_truncated_sum_is_the_exact_sum_cut_to_53_bits(a: FloatFormat, b: FloatFormat, data: st.DataObject) -> None:
    values = st.floats(width=32, allow_nan=False, allow_infinity=False)
    first, second = (float(f.quantize(data.draw(values), underflow=False)) for f in (a, b))
    result = float(arrays.truncated_sum(np.array(first), np.array(second)))
    exact = Fraction(first) + Fraction(second)
    assert abs(Fraction(result)) <= abs(exact) and Fraction(result) * exact >= 0
    assert result == 0 or abs(exact) < abs(Fraction(math.nextafter(result, math.copysign(math.inf, result))))
    assert (result == 0) == (exact == 0)


@given(st.floats() | st.fractions(), formats(), st.booleans())
def test_scalar_quantize_takes_any_real(value: float | Fraction, number_format: FloatFormat, underflow: bool) -> None:
    result = reference.quantize(value, number_format, underflow)
    if isinstance(value, float):
        np.testing.assert_array_equal(number_format.quantize(value, underflow), result)
    elif abs(value) < number_format.max_value:
        assert abs(Fraction(result)) <= abs(value)
        assert reference.quantize(Fraction(result), number_format, underflow) == result


def test_fmaq_truncates_the_product_and_then_the_sum() -> None:
    spec = AccumulatorSpec(FloatFormat(2, 4, 10), FloatFormat(3, 4, 10))
    assert reference.fmaq(1.375, 1.0, 0.0, spec) == 1.25
    assert reference.fmaq(1.375, 1.0, 4.0, spec) == 5.0  # 5.25 between 5 and 5.5
    assert reference.fmaq(1000.0, -1.0, 1.0, spec) == -52.0  # the product saturates at -56; -55 is cut
    assert math.isnan(reference.fmaq(1.0, 1.0, math.nan, spec))


def test_dot_is_its_fmaqs_in_order() -> None:
    random = np.random.default_rng(7)
    x, w = random.normal(size=(2, 37)).astype(np.float32)
    total = 0.0
    for start in range(0, 37, 16):
        partial_sum = 0.0
        for a, b in zip(x[start : start + 16], w[start : start + 16], strict=True):
            partial_sum = reference.fmaq(float(a), float(b), partial_sum, M7E4)
        total = reference.quantize(Fraction(total) + Fraction(partial_sum), M7E4.accumulator_format)
    assert reference.dot(x, w, M7E4) == total


def test_tiny_addend_of_opposite_sign_costs_an_ulp() -> None:
    spec = AccumulatorSpec.parse("M7E4b10", underflow=False)
    assert reference.dot([1.0, -(2.0**-60)], [1.0, 2.0**-60], spec) == 1 - 2.0**-8
    assert reference.dot([1.0, -(2.0**-60)], [1.0, 2.0**-70], spec) == 1.0  # below 2^-126 the product is zero


def test_one_chunk_and_a_longer_chunk_agree() -> None:
    random = np.random.default_rng(8)
    a, b = (random.normal(size=shape).astype(np.float32) for shape in ((2, 20), (20, 3)))
    results = [reference.matmul(a, b, AccumulatorSpec.parse(f"M4E3b6/M4E3b4,chunk={c}")) for c in (20, 21, "none", 4)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    assert (results[0] != results[3]).any()


SHAPES = [(3,), (4, 3), (3, 5), (2, 4, 3), (1, 3, 5), (2, 1, 4, 3), (6, 3, 5), (0, 3), (3, 0), (0, 4, 3)]


@pytest.mark.parametrize(("a_shape", "b_shape"), list(itertools.product(SHAPES, SHAPES)))
def test_matmul_shapes_are_those_of_numpy(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(sum(a_shape) * 31 + sum(b_shape))
    a, b = (random.integers(-3, 4, shape).astype(np.float32) for shape in (a_shape, b_shape))
    try:
        expected = np.matmul(a, b)
    except ValueError:
        with pytest.raises(ValueError):
            reference.matmul(a, b, FLOAT32_LIKE)
    else:
        result = reference.matmul(a, b, FLOAT32_LIKE)
        assert isinstance(result, np.ndarray) and result.dtype == np.float32
        np.testing.assert_array_equal(result, expected, strict=True)


def test_depth_zero_gives_zero() -> None:
    np.testing.assert_array_equal(reference.matmul(np.ones((2, 0), "f"), np.ones((0, 3), "f"), M7E4), np.zeros((2, 3)))
    assert reference.conv(np.ones((1, 0, 4), "f"), np.ones((2, 0, 3), "f"), M7E4).tolist() == [[[0, 0], [0, 0]]]
    assert reference.dot([], [], M7E4) == 0


def test_empty_batches_and_outputs_are_allowed() -> None:
    assert reference.conv(np.ones((0, 2, 5), "f"), np.ones((3, 2, 2), "f"), M7E4).shape == (0, 3, 4)
    assert reference.conv(np.ones((2, 2, 5), "f"), np.ones((0, 2, 2), "f"), M7E4).shape == (2, 0, 4)


def test_zero_results_are_positive() -> None:
    a, b = np.array([[-1e-9, -0.0]], dtype=np.float32), np.array([[1.0], [1.0]], dtype=np.float32)
    assert not np.signbit(reference.matmul(a, b, M7E4)).any()
    assert not np.signbit(reference.conv(a[..., np.newaxis], b.T[..., np.newaxis], M7E4)).any()
    assert not np.signbit(np.float32(reference.dot(a[0], b[:, 0], M7E4)))


def test_nan_reaches_only_the_outputs_it_contributes_to() -> None:
    a = np.array([[1.0, math.nan], [1.0, 2.0]], dtype=np.float32)
    result = reference.matmul(a, np.ones((2, 2), dtype=np.float32), M7E4)
    np.testing.assert_array_equal(result, [[math.nan, math.nan], [3.0, 3.0]])


def test_infinity_saturates_the_product_and_times_zero_is_nan() -> None:
    largest = M7E4.product_format.max_value
    assert reference.dot([math.inf], [-2.0], M7E4) == -largest
    assert reference.dot([math.inf, math.inf], [1.0, -1.0], M7E4) == 0.0
    assert math.isnan(reference.dot([math.inf], [0.0], M7E4))


def test_padding_is_zero_even_under_an_infinite_weight() -> None:
    x, w = np.ones((1, 1, 2), dtype=np.float32), np.array([[[math.inf, 1.0, math.nan]]], dtype=np.float32)
    saturated = M7E4.accumulator_format.quantize(M7E4.product_format.max_value + 1)
    np.testing.assert_array_equal(reference.conv(x, w[..., :2], M7E4, pads=[1, 0]), [[[1.0, saturated]]])
    np.testing.assert_array_equal(reference.conv(x, w, M7E4, pads=[0, 1]), [[[saturated]]])


def test_padding_counts_toward_the_chunk() -> None:
    x, w = np.ones((1, 1, 3), dtype=np.float32), np.array([[[0, 1.0, 0.0625, 0.0625]]], dtype=np.float32)
    spec = AccumulatorSpec.parse("M3E4b10/M3E4b10,chunk=2")
    # Chunks (padding, 1) and (1/16, 1/16): the small ones meet first. Without the padding 1 would swallow them in turn.
    assert reference.conv(x, w, spec, pads=[1, 0]).ravel().tolist() == [1.125]


@pytest.mark.parametrize(
    ("a", "b", "error", "reason"),
    [
        (np.ones((2, 3)), np.ones((3, 2), "f"), TypeError, "a to be a float32 array, as M7E4.*, got float64"),
        (np.ones((2, 3), "f"), [[1.0]], TypeError, "b to be a float32 array, as M7E4.*, got a list"),
        (np.ones((2, 3), "f"), np.ones((2, 3), "f"), ValueError, r"equal depth, got shapes \(2, 3\) and \(2, 3\)"),
        (np.ones((), "f"), np.ones(3, "f"), ValueError, "at least one dimension"),
    ],
)
def test_matmul_refuses_what_does_not_fit(a: object, b: object, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        reference.matmul(a, b, M7E4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"strides": [0]}, "expected 1 strides of at least 1, got"),
        ({"strides": [1, 1]}, "expected 1 strides"),
        ({"pads": [1]}, "expected 2 pads of at least 0"),
        ({"pads": [-1, 0]}, "expected 2 pads of at least 0"),
        ({"dilations": [0]}, "expected 1 dilations"),
        ({"dilations": [9]}, "kernel that fits into the padded input"),
        ({"group": 2}, "channels that fit group=2"),
        ({"group": 0}, "channels that fit group=0"),
    ],
)
def test_conv_refuses_settings_that_do_not_fit(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reference.conv(np.ones((1, 2, 5), "f"), np.ones((2, 2, 3), "f"), M7E4, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("x_shape", "w_shape"), [((1, 2), (1, 2)), ((1, 1, 2, 2, 2, 2), (1, 1, 1, 1, 1, 1)), ((1, 1, 4), (1, 1, 2, 2))]
)
def test_conv_refuses_other_ranks(x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 3 spatial axes"):
        reference.conv(np.ones(x_shape, "f"), np.ones(w_shape, "f"), M7E4)


def test_scalar_operands_must_be_float32_vectors() -> None:
    with pytest.raises(ValueError, match="values that float32 can hold"):
        reference.dot([0.1], [1.0], M7E4)
    with pytest.raises(ValueError, match="values that float32 can hold"):
        reference.fmaq(1e300, 1.0, 0.0, M7E4)
    with pytest.raises(ValueError, match="a vector"):
        reference.dot([[1.0]], [1.0], M7E4)
    with pytest.raises(ValueError):
        reference.dot([1.0], [1.0, 2.0], M7E4)


def test_numerics_page_says_what_the_code_does() -> None:
    page = Path(__file__).parents[1] / "docs" / "numerics.md"
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0
    assert tried > 10
