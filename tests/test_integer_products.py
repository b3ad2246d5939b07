"""Products and convolutions of integer codes: every kind, type, shape and path gives the bits of the definition."""

import numpy as np
import pytest
from processor import force_path

import lba_onnx
from lba_onnx import native, reference
from lba_onnx.arithmetic import as_spec

SPECS = (
    "int4-wrap",
    "int16-wrap",
    "int32-wrap",
    "int40-wrap",
    "int12-wrap,operands=raw",
    "int8-saturate",
    "int12-saturate",
    "int16-saturate",
    "int16-saturate,operands=raw",
    "int17-saturate",
    "int17-saturate,operands=raw",
    "int20-saturate",
    "int32-saturate",
    "int64-saturate,operands=raw",
    "int12x5/int14-saturate",
    "int16x16/int20-wrap",
    "int10x3-wrap/int12-saturate",
    "int18x7/int20-saturate",
    "int18x4-wrap/int15-saturate,operands=raw",
    "int12x4-wrap/int10-wrap",
    "int14x4/int40-saturate",
    "fixed<10,16>",
    "fixed<8,14>,round=nearest-up,overflow=saturate",
    "fixed<6,14>,overflow=saturate,operands=raw",
    "fixed<20,40>,overflow=saturate",
    "fixed<16,12>",
    "x86-u8s8",
    "arm-smlal16",
)
TYPES = [("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8"), ("int8", "uint8")]
MATRICES = [(1, 0, 3), (3, 1, 2), (2, 3, 70), (7, 35, 66), (5, 64, 1), (70, 18, 5), (6, 129, 17)]
CONVOLUTIONS = {
    "pointwise": ((2, 5, 9, 8), (6, 5, 1, 1), {}),
    "wide pointwise": ((1, 3, 9, 15), (2, 3, 1, 1), {}),
    "padded": ((1, 3, 7, 9), (5, 3, 3, 3), {"pads": (1, 1, 1, 1)}),
    "strided": ((2, 4, 9, 11), (3, 4, 3, 2), {"strides": (2, 3), "pads": (0, 2, 1, 0)}),
    "dilated": ((1, 2, 12, 13), (3, 2, 3, 3), {"dilations": (2, 3), "pads": (2, 1, 2, 4)}),
    "strided and dilated": (
        (1, 2, 12, 13),
        (3, 2, 3, 3),
        {"dilations": (2, 3), "strides": (3, 2), "pads": (2, 1, 2, 4)},
    ),
    "groups": ((1, 6, 6, 7), (4, 3, 3, 3), {"group": 2, "pads": (1, 0, 1, 0)}),
    "depthwise": ((2, 5, 9, 10), (5, 1, 3, 3), {"group": 5, "pads": (1, 1, 1, 1)}),
    "strided depthwise": ((1, 5, 9, 10), (5, 1, 3, 3), {"group": 5, "pads": (0, 1, 1, 1), "strides": (2, 2)}),
    "one axis": ((2, 4, 20), (3, 4, 5), {"pads": (2, 2)}),
    "three axes": ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": (1, 1, 0, 0, 1, 1), "strides": (1, 2, 1)}),
    "one position": ((1, 20, 3, 3), (9, 20, 3, 3), {}),
    "nothing but padding": ((1, 2, 1, 1), (2, 2, 2, 2), {"pads": (2, 2, 2, 2)}),
}


@pytest.fixture(params=native.CPU_PATHS)
def path(request, monkeypatch):
    return force_path(monkeypatch, request.param)


def codes(rng, dtype, shape, is_extreme):
    held = np.iinfo(dtype)
    if is_extreme:
        return rng.choice(np.array([held.min, held.min + 1, 0, held.max], dtype), shape)
    return rng.integers(held.min, held.max, shape, dtype, endpoint=True)


def zero_points(rng, x_type, w_type, count):
    return {
        "none": (0, 0),
        "one": (int(codes(rng, x_type, (), False)), int(codes(rng, w_type, (), False))),
        "each": (int(codes(rng, x_type, (), False)), codes(rng, w_type, (count,), False).astype(np.int64)),
    }


@pytest.mark.parametrize("spec", SPECS)
def test_matrix_products_give_the_bits_of_the_definition(spec, each_path):
    for index, ((rows, depth, columns), types) in enumerate((m, t) for m in MATRICES for t in TYPES):
        rng = np.random.default_rng(index)
        a, b = (codes(rng, t, s, index % 3 == 0) for t, s in zip(types, ((rows, depth), (depth, columns)), strict=True))
        case = ("none", "one", "each")[index % 3]
        a_zero, b_zero = zero_points(rng, *types, columns)[case]
        expected = reference.matmul(a, b, spec, a_zero_point=a_zero, b_zero_point=b_zero)
        for path in each_path():
            found = lba_onnx.matmul(a, b, spec, a_zero_point=a_zero, b_zero_point=b_zero, threads=1 + index % 3)
            assert found.dtype == as_spec(spec).result_type
            np.testing.assert_array_equal(found, expected, f"{path} {spec} {types} {(rows, depth, columns)} {case}")


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("spec", (*SPECS[::3], "x86-u8s8", "arm-smlal16", "int16-saturate"))
def test_convolutions_give_the_bits_of_the_definition(spec, name, each_path):
    x_shape, w_shape, settings = CONVOLUTIONS[name]
    for index, types in enumerate(TYPES):
        rng = np.random.default_rng(index)
        x, w = (codes(rng, t, s, index == 0) for t, s in zip(types, (x_shape, w_shape), strict=True))
        x_zero, w_zero = zero_points(rng, *types, w_shape[0])[("none", "one", "each")[index % 3]]
        if index % 2:
            x_zero = 3
        geometry = {**settings, "x_zero_point": x_zero, "w_zero_point": w_zero}
        expected = reference.conv(x, w, spec, **geometry)
        for path in each_path():
            found = lba_onnx.conv(x, w, spec, **geometry, threads=1 + index % 3)
            np.testing.assert_array_equal(found, expected, f"{path} {spec} {types} {name}")


@pytest.mark.parametrize("spec", ["int16-wrap", "int14-saturate", "int12x4/int16-saturate", "x86-u8s8"])
def test_strides_batches_and_vectors(spec, path):
    rng = np.random.default_rng(1)
    a = rng.integers(0, 256, (2, 1, 9, 20), np.uint8)
    b = rng.integers(-128, 128, (3, 7, 20), np.int8).transpose(0, 2, 1)  # columns 20 apart
    found = lba_onnx.matmul(a[..., ::-2], b[:, ::-2], spec, a_zero_point=7)
    np.testing.assert_array_equal(found, reference.matmul(a[..., ::-2], b[:, ::-2], spec, a_zero_point=7))
    row, column = a[0, 0, 0], b[0, :, 0]
    np.testing.assert_array_equal(lba_onnx.matmul(row, column, spec), reference.matmul(row, column, spec))
    assert lba_onnx.matmul(a[:, :, :0], b, spec).shape == (2, 3, 0, 7)
    assert not lba_onnx.matmul(a[..., :0], b[:, :0], spec).any()


def test_bad_operands_are_one_clear_error():
    codes_, floats, spec = np.ones((2, 2), np.uint8), np.ones((2, 2), np.float32), "int16-wrap"
    cases = [
        (TypeError, "uint8 or int8 for sums in int16-wrap", (floats, codes_, spec), {}),
        (TypeError, "expected a to be float32, got uint8", (codes_, floats, "M7E4b10"), {}),
        (ValueError, "zero points of a from 0 to 255", (codes_, codes_, spec), {"a_zero_point": 256}),
        (ValueError, "zero points of b from 0", (codes_, codes_, spec), {"b_zero_point": -1}),
        (ValueError, "one b_zero_point or 2", (codes_, codes_, spec), {"b_zero_point": [1, 2, 3]}),
        (TypeError, "as integers", (codes_, codes_, spec), {"b_zero_point": 0.5}),
        (ValueError, "start from zero", (codes_, codes_, spec), {"initial": np.float32(1)}),
        (ValueError, "no zero points", (floats, floats, "M7E4b10"), {"a_zero_point": 1}),
    ]
    for error, words, operands, settings in cases:
        with pytest.raises(error, match=words):
            lba_onnx.matmul(*operands, **settings)


def follow(spec, x, w):
    """The statistics of one sum, by the steps of the accumulator's array twin."""
    products = [np.float64(a) * np.float64(b) for a, b in zip(x, w, strict=True)]
    return list(spec.steps(iter(products), len(products), ()))


@pytest.mark.parametrize("spec", ["int10-saturate", "int9-wrap", "int10x3/int12-saturate", "x86-u8s8", "arm-smlal16"])
def test_statistics_count_every_value(spec):
    spec = as_spec(spec)
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 256, (3, 21), np.uint8), rng.integers(-128, 128, (21, 4), np.int8)
    native.statistics_open("counted", 1.0)
    try:
        native.matmul(a[np.newaxis], b[np.newaxis], spec, 2, "counted/node")
        found = native.statistics_read("counted/node")
    finally:
        native.statistics_close("counted")
    shift = spec.of_codes("uint8", "int8").x_shift or 0
    steps = [step for row in a for column in b.T for step in follow(spec, row.astype(np.int64) + shift, column)]
    assert found.outputs == found.sampled_outputs == 12
    assert [level.name for level in found.levels] == [level.name for level in spec.levels]
    for number, level in enumerate(spec.levels[1:], 1):
        of_level = [step for step in steps if step.level == number]
        assert found[level.name].values == len(of_level)
        assert found[level.name].events == {level.events[0]: sum(bool(step.overflows) for step in of_level)}
    added = [step for step in steps if step.product is not None]
    assert found["product"].values == len(added) == 12 * 21
    assert found["product"].events == {"overflow": sum(bool(step.product_overflows) for step in added)}
    exact = (a.astype(np.int64)[:, :, np.newaxis] + shift) * b[np.newaxis]
    assert found["product"].max_abs == np.abs(exact).max()
    bins = np.bincount(np.floor(np.log2(np.abs(exact[exact != 0]))).astype(int) + native.LOG2_OFFSET, minlength=704)
    np.testing.assert_array_equal(found["product"].log2, bins)
    if len(spec.levels) == 2:
        prefixes = exact.cumsum(axis=1)
        assert found["total"].max_abs == np.abs(prefixes).max()
        assert found["total"].log2.sum() == np.count_nonzero(prefixes)


def test_levels_and_texts_are_those_of_the_package():
    for spec in SPECS:
        assert native.accumulator_levels(spec) == as_spec(spec).levels


WITHOUT_KERNELS = ("int64-saturate,operands=raw", "int14x4/int40-saturate", "fixed<20,40>,overflow=saturate")
"""What the definition alone computes: more than 32 bits, unless nothing overflows."""


@pytest.mark.parametrize("spec", SPECS)
def test_tiles_are_computed_by_the_path(spec, path):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (5, 40), np.uint8), rng.integers(-128, 128, (40, 70), np.int8)
    before = native.path_counts()
    lba_onnx.matmul(a, b, spec)
    lba_onnx.conv(a.reshape(1, 5, 5, 8), b[:, :25].reshape(40, 5, 5, 1), spec)
    taken = {name for name, count in native.path_counts().items() if count > before[name]}
    if spec in WITHOUT_KERNELS:
        assert "exact" in taken or taken == {path}
    else:
        assert taken == {path} or (path == "avx512" and taken == {"avx2"})  # AVX-512 without VNNI
