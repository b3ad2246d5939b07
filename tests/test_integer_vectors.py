"""The library meets the golden vectors of integer codes, and what onnxruntime gave, on every path."""

import numpy as np
import pytest
from code_vectors import conv_cases, matmul_cases, recorded_conv_cases, recorded_matmul_cases

import lba_onnx


@pytest.mark.parametrize("cases", [matmul_cases, recorded_matmul_cases])
def test_products(forced_path, cases):
    for case in cases():
        for threads in (1, 2):
            zero_points = {"a_zero_point": case.a_zero_point, "b_zero_point": case.b_zero_point}
            y = lba_onnx.matmul(case.a, case.b, case.spec, **zero_points, threads=threads)
            np.testing.assert_array_equal(y, case.expected, str(case))


def convolved(case, threads):
    zero_points = {"x_zero_point": case.x_zero_point, "w_zero_point": case.w_zero_point}
    moves = case.strides, case.pads, case.dilations, case.group
    return lba_onnx.conv(case.x, case.w, case.spec, *moves, **zero_points, threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_convolutions(forced_path, threads):
    for case in conv_cases():
        np.testing.assert_array_equal(convolved(case, threads), case.expected, str(case))
    for requantization, case in recorded_conv_cases():
        np.testing.assert_array_equal(requantization.codes(convolved(case, threads)), case.expected, str(case))
