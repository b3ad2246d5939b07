"""Texts of sums of integer codes: what they say, and which are refused."""

import numpy as np
import pytest

from lba_onnx.arithmetic import as_spec
from lba_onnx.arithmetic.accumulator import ProductOrder
from lba_onnx.arithmetic.integer.fields import IntegerLevel, Overflow
from lba_onnx.arithmetic.integer.spec import IntegerSpec
from lba_onnx.reference import gradients


@pytest.mark.parametrize(
    "text, written",
    [
        ("int16-wrap", None),
        ("int4-saturate", None),
        ("int64-saturate", None),
        ("int18-saturate,operands=centered", "int18-saturate"),
        ("int18-saturate,operands=raw", None),
        ("int12x64/int20-wrap", None),
        ("int12x64-wrap/int20-wrap", "int12x64/int20-wrap"),
        ("int12x64-saturate / int20-wrap", "int12x64-saturate/int20-wrap"),
        ("int20x1/int12-saturate", None),
        ("fixed<16,20>", None),
        ("fixed< 16 , 20 >,overflow=saturate,round=nearest-up", "fixed<16,20>,round=nearest-up,overflow=saturate"),
        ("fixed<20,16>,round=floor,operands=raw", "fixed<20,16>,operands=raw"),
        ("x86-u8s8", None),
        ("arm-smlal16", None),
    ],
)
def test_texts_read_back(text, written):
    spec = as_spec(text)
    assert type(spec) is IntegerSpec and str(spec) == (written or text)
    assert as_spec(str(spec)) == spec


@pytest.mark.parametrize(
    "text, problem",
    [
        ("int3-wrap", "got 'int3-wrap', at character 1 "),
        ("int65-wrap", "got 'int65-wrap', at character 1 "),
        ("int16", "got 'int16', at character 1 "),
        ("int016-wrap", "got 'int016-wrap', at character 1 "),
        ("int16x4-wrap", "got 'int16x4-wrap', at character 1 "),
        ("int16-wrap/int20-wrap", "got 'int16-wrap', at character 1 "),
        ("int12x0/int20-wrap", "got 'int12x0', at character 1 "),
        ("int12x65537/int20-wrap", "got 'int12x65537', at character 1 "),
        ("int12x64/int20", "got 'int20', at character 10 "),
        ("int8x4/int9x4/int10-wrap", "got 3 levels, at character 15 "),
        ("fixed<3,9>", "expected fixed<W,I> with W and I from 4 to 64, got 'fixed<3,9>', at character 1 "),
        ("fixed<16>", "expected fixed<W,I> with W and I from 4 to 64, got 'fixed<16>', at character 1 "),
        ("fixed<16,20>,round=nearest", "got 'round=nearest' (the nearest is 'round=nearest-up'), at character 14 "),
        ("int12-wrap,overflow=wrap", "expected operands=centered or operands=raw, got 'overflow=wrap'"),
        ("x86-u8s8,operands=raw", "expected no option, got 'operands=raw', at character 10 "),
        ("x86-s8s8", "fixed<W,I>, x86-u8s8 or arm-smlal16, "),
        ("splitk4(int16-wrap)", "expected an accumulator of float32, got int16-wrap, of uint8 and int8"),
    ],
)
def test_other_texts_are_refused(text, problem):
    with pytest.raises(ValueError) as refused:
        as_spec(text)
    assert problem in str(refused.value)


def test_results_are_as_wide_as_the_last_level_asks_for():
    told = {
        text: as_spec(text).result_type for text in ("int32-wrap", "int33-wrap", "int40x8/int20-wrap", "fixed<9,33>")
    }
    assert list(told.values()) == ["int32", "int64", "int32", "int64"]
    assert str(as_spec("int33-saturate").wide()) == "int64-wrap"
    assert str(as_spec("x86-u8s8").wide()) == "int32-wrap,operands=raw"
    assert str(as_spec("int20-saturate").wide()) == "int32-wrap"


def test_causes_are_overflow_of_each_level_and_dropped_bits():
    found = {
        text: {cause.name: str(as_spec(text).without(cause.name, 9)) for cause in as_spec(text).causes}
        for text in ("int16-wrap", "int12x8-saturate/int20-wrap", "int12x8/int20-wrap", "fixed<16,20>", "x86-u8s8")
    }
    assert list(found.values()) == [
        {"wrap": "int32-wrap"},
        {"saturation": "int32x8-saturate/int20-wrap", "wrap": "int12x8-saturate/int32-wrap"},
        {"partial_sum_wrap": "int32x8/int20-wrap", "total_wrap": "int12x8/int32-wrap", "wrap": "int32x8/int32-wrap"},
        {"wrap": "fixed<28,32>", "rounding": "fixed<20,20>"},
        {"saturation": "int32-wrap,operands=raw", "wrap": "None"},
    ]


def test_shipping_kernels_move_codes_and_are_exact_elsewhere():
    x86, arm = as_spec("x86-u8s8"), as_spec("arm-smlal16")
    assert [x86.of_codes(x, "int8").x_shift for x in ("uint8", "int8")] == [0, 128]
    assert [arm.of_codes(x, "int8").x_shift for x in ("uint8", "int8")] == [-128, 0]
    for kernel in (x86, arm):
        assert kernel.of_codes("uint8", "int8").accumulator is kernel
        assert kernel.of_codes("uint8", "uint8").accumulator == kernel.wide()
        assert kernel.of_codes("int8", "int8", is_depthwise=True).accumulator == kernel.wide()
        assert kernel.product_order is ProductOrder.CHANNELS_LAST
    plain = as_spec("int16-wrap").of_codes("uint8", "uint8")
    assert (plain.x_shift, plain.w_shift) == (None, None), "minus their zero points"
    raw = as_spec("int16-wrap,operands=raw").of_codes("int8", "uint8")
    assert (raw.x_shift, raw.w_shift) == (0, 0)
    with pytest.raises(ValueError, match="expected an accumulator of uint8, got M7E4b12/M7E4b10, of float32"):
        as_spec("M7E4b10").of_codes("uint8", "int8")


@pytest.mark.parametrize("estimator", ["identity", "recursive_overflow"])
def test_codes_have_no_gradients(estimator):
    ones = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="expected an accumulator of float32, got int16-wrap, of uint8 and int8"):
        gradients.matmul_gradients(ones, ones, ones, "int16-wrap", estimator)


@pytest.mark.parametrize("bits", [4, 16, 33, 53, 54, 63, 64])
def test_registers_hold_two_to_their_bits_values(bits):
    half = 1 << (bits - 1)
    wraps, saturates = IntegerLevel(bits, Overflow.WRAP), IntegerLevel(bits, Overflow.SATURATE)
    given = (-half - 1, -half, -1, 0, half - 1, half, 5 * half + 3)
    assert [wraps.held(value) for value in given] == [half - 1, -half, -1, 0, half - 1, -half, 3 - half]
    assert [saturates.held(value) for value in given] == [-half, -half, -1, 0, half - 1, half - 1, half - 1]
    exact = np.array([value for value in given if abs(value) < 1 << 53], np.float64)  # what float64 holds of them
    for level in (wraps, saturates):
        assert list(level.held_array(exact)) == [level.held(int(value)) for value in exact]
