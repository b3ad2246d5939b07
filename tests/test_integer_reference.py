"""The reference of integer codes: plain Python integers, every accumulator, pair of types, zero points and order."""

import numpy as np
import pytest
from code_vectors import CodeConv, CodeMatMul, conv_cases, matmul_cases, recorded_conv_cases, recorded_matmul_cases

from lba_onnx import reference
from lba_onnx.arithmetic import as_spec

CODES = np.array([[1, 2], [3, 4]], np.uint8)


def matmul(case: CodeMatMul, spec: str) -> np.ndarray:
    return reference.matmul(case.a, case.b, spec, a_zero_point=case.a_zero_point, b_zero_point=case.b_zero_point)


def conv(case: CodeConv, spec: str) -> np.ndarray:
    zero_points = {"x_zero_point": case.x_zero_point, "w_zero_point": case.w_zero_point}
    return reference.conv(case.x, case.w, spec, case.strides, case.pads, case.dilations, case.group, **zero_points)


def test_products_are_those_of_plain_integers():
    kinds = set()
    for case in matmul_cases():
        y = matmul(case, case.spec)
        assert y.dtype == as_spec(case.spec).result_type
        np.testing.assert_array_equal(y, case.expected, str(case))
        kinds.add((case.spec, case.a.dtype.name, case.b.dtype.name))
    assert len(kinds) == 120


def test_convolutions_are_those_of_plain_integers():
    kinds = {case.spec for case in conv_cases()}
    assert len(kinds) == 30
    for case in conv_cases():
        np.testing.assert_array_equal(conv(case, case.spec), case.expected, str(case))


def test_products_are_those_of_onnxruntime_without_vnni():
    exact = []
    for case in recorded_matmul_cases():
        np.testing.assert_array_equal(matmul(case, "x86-u8s8"), case.expected, str(case))
        exact.append(np.array_equal(matmul(case, "int32-wrap"), case.expected))
    assert 0 < sum(exact) < len(exact), "some saturate, those of uint8 weights never"


def test_convolutions_are_those_of_onnxruntime_without_vnni():
    exact = []
    for requantization, case in recorded_conv_cases():
        np.testing.assert_array_equal(requantization.codes(conv(case, "x86-u8s8")), case.expected, str(case))
        exact.append(np.array_equal(requantization.codes(conv(case, "int32-wrap")), case.expected))
    assert 0 < sum(exact) < len(exact)


@pytest.mark.parametrize("text", ["int9-wrap", "int9x5-saturate/int12-wrap", "fixed<6,12>", "x86-u8s8", "arm-smlal16"])
def test_one_value_at_a_time_is_the_same(text):
    spec, rng = as_spec(text), np.random.default_rng(5)
    x, w = rng.integers(0, 256, (40, 37)), rng.integers(-128, 128, (40, 37))
    sums = np.zeros(40)
    for step in spec.steps(iter((x * w).T.astype(float)), 37, (40,)):
        assert np.array_equal(step.overflows, step.after != step.before + step.addend)
        sums = step.after
    assert [spec.dot(*map(list, pair)) for pair in zip(x.astype(float), w.astype(float), strict=True)] == list(sums)


def test_saturation_follows_the_order_and_wrapping_does_not():
    x, w = np.array([100, 100, 100], np.uint8), np.array([1, 1, -1], np.int8)
    assert reference.matmul(x, w, "int8-saturate") == 27
    assert reference.matmul(x, w[::-1].copy(), "int8-saturate") == 100
    assert reference.matmul(x, w, "int8-wrap") == 100 == reference.matmul(x, w[::-1].copy(), "int8-wrap")


def test_raw_codes_overflow_where_centered_ones_do_not():
    x, w = np.full((1, 4), 130, np.uint8), np.full((4, 1), 100, np.int8)
    zero_points = {"a_zero_point": 128, "b_zero_point": 90}
    assert reference.matmul(x, w, "int8-saturate", **zero_points).item() == 80
    raw = 127 - 128 * 400 - 90 * 520 + 4 * 128 * 90  # the sum of codes saturates, the corrections are exact
    assert reference.matmul(x, w, "int8-saturate,operands=raw", **zero_points).item() == raw


def test_pairs_of_uint8_and_int8_saturate_in_16_bits():
    x, w = np.full(4, 255, np.uint8), np.full(4, 127, np.int8)
    assert reference.matmul(x, w, "x86-u8s8") == 2 * 32767
    assert reference.matmul(x, w.astype(np.uint8), "x86-u8s8") == 4 * 255 * 127
    moved = (x - 128).astype(np.int8)
    assert reference.matmul(moved, w, "x86-u8s8", a_zero_point=-128) == 2 * 32767
    least = np.full(16, -128, np.int8)
    assert reference.matmul(least, least, "arm-smlal16") == 8 * -32768
    assert reference.matmul(least[:9], least[:9], "arm-smlal16") == 7 * 16384 - 32768, "products 0 and 8 meet"


def test_other_operands_and_zero_points_are_refused():
    floats = CODES.astype(np.float32)
    with pytest.raises(TypeError, match="expected a to be a uint8 or int8 array, as int16-wrap takes, got float32"):
        reference.matmul(floats, floats, "int16-wrap")
    with pytest.raises(TypeError, match="expected a to be a float32 array, as M7E4b12/M7E4b10 takes, got uint8"):
        reference.matmul(CODES, CODES, "M7E4b10")
    with pytest.raises(ValueError, match="expected no zero points beside the floats that M7E4b12/M7E4b10 takes"):
        reference.matmul(floats, floats, "M7E4b10", a_zero_point=3)
    with pytest.raises(ValueError, match="expected no initial values of codes"):
        reference.matmul(CODES, CODES, "int16-wrap", floats)
    with pytest.raises(ValueError, match="expected a_zero_point from 0 to 255, as uint8 codes are, got -1"):
        reference.matmul(CODES, CODES, "int16-wrap", a_zero_point=-1)
    with pytest.raises(ValueError, match="expected one of a_zero_point, got shape"):
        reference.matmul(CODES, CODES, "int16-wrap", a_zero_point=[1, 2])
    with pytest.raises(ValueError, match="expected one or 2 of b_zero_point, got shape"):
        reference.matmul(CODES, CODES, "int16-wrap", b_zero_point=[1, 2, 3])
    with pytest.raises(TypeError, match="expected b_zero_point to be an integer, got float"):
        reference.matmul(CODES, CODES, "int16-wrap", b_zero_point=1.5)
