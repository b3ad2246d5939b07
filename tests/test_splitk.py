"""Sums by slices: the definition's bits on every path, whatever sums a slice; texts, statistics, what is refused."""

import itertools

import numpy as np
import pytest
from hostile import KINDS, operand
from processor import Paths
from protocol_checks import check_refused
from same_bits import assert_same_bits
from small_models import images, network

import lba_onnx
from lba_onnx import kernels, native, reference
from lba_onnx.arithmetic import as_spec, parse_accumulator, parse_family

rng = np.random.default_rng(4)
TEXTS = (
    "splitk4(fp16-fma)",
    "splitk3(fp16-mul-add),sum=float16",
    "splitk2(bf16-fma),sum=bfloat16,round=truncate",
    "splitk4(fp32-fma),sum=M3E4b7,range=infinity",
    "splitk3(M7E4b12/M7E4b10,chunk=9x8),sum=M7E4b10,round=truncate",
    "splitk5(M7E4b12/M7E4b10,round=nearest)",
    "splitk3(M7E4b12/M7E4b10,tree=8,chunk=2)",
    "splitk3(M7E4b10,underflow=off,chunk=none)",
    "splitk7(M7E4b10,product=exact),sum=float16,round=odd",
    "splitk9(M7E4b10,product=exact,round=nearest)",
    "splitk3(fp12-sr4,seed=7)",
    "splitk2(kulisch(float16))",
    "splitk2(splitk3(M7E4b10),sum=M7E4b10)",
)


@pytest.mark.parametrize("text", TEXTS)
def test_matrix_products_on_every_path(each_path: Paths, text: str) -> None:
    for kind in KINDS:
        for rows, depth, columns in ((1, 2, 1), (9, 100, 35), (3, 64, 33)):
            with np.errstate(over="ignore"):
                a, b = operand(kind, (rows, depth), rng), operand(kind, (depth, columns), rng)
            expected = reference.matmul(a, b, text)
            for path, threads in itertools.product(each_path(), (1, 2)):
                assert_same_bits(kernels.matmul(a, b, text, threads=threads), expected, path)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "group, channels", [(1, 4), (6, 6), (6, 12)], ids=["tiles", "depthwise", "two filters a group"]
)
def test_convolutions_on_every_path(each_path: Paths, text: str, group: int, channels: int) -> None:
    for special in (0.5, np.inf):
        x, w = operand("normal", (2, 6, 11, 17), rng), operand("normal", (channels, 6 // group, 3, 3), rng)
        w[0, 0, 0, 0] = special  # over the padding it makes products of 0
        geometry = {"pads": [1, 1, 1, 1], "group": group}
        expected = reference.conv(x, w, text, **geometry)
        for path in each_path():
            assert_same_bits(kernels.conv(x, w, text, threads=2, **geometry), expected, path)


def test_slices_take_the_kernels_of_what_sums_them() -> None:
    before = native.path_counts()
    kernels.matmul(np.ones((8, 70), np.float32), np.ones((70, 32), np.float32), "splitk4(M7E4b10)")
    after = native.path_counts()
    assert [path for path in after if after[path] > before[path]] == [native.cpu_path()]


def test_slices_are_of_the_depth_rounded_up() -> None:
    ones = np.ones(10, np.float32)
    spec = as_spec("splitk4(M1E4b7/M1E4b7,chunk=none)")  # a sum of ones stays at 4
    assert reference.dot(ones, ones, spec) == 10  # 3 + 3 + 3 + 1
    assert reference.dot(np.ones(15, np.float32), np.ones(15, np.float32), spec) == 15  # 4 + 4 + 4 + 3
    assert reference.dot(np.ones(20, np.float32), np.ones(20, np.float32), spec) == 16  # 4 of 5, thrice
    assert reference.dot([1.0], [3.0], spec) == 3


def test_slices_draw_bits_of_their_own() -> None:
    row = operand("normal", (1, 64), rng)
    doubled, w = np.tile(row, 2), np.ones((128, 1), np.float32)
    inner, once = "fp12-sr4,seed=9", kernels.matmul(row, w[:64], "fp12-sr4,seed=9")
    other = kernels.matmul(row, w[:64], "fp12-sr4,seed=10")
    assert once != other
    np.testing.assert_array_equal(kernels.matmul(doubled, w, f"splitk2({inner})"), once + other)


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("splitk4( M7E4b10 ), sum=float32", "splitk4(M7E4b12/M7E4b10)"),
        (
            "splitk02(hfp8),round=nearest,sum=M9E6b31",
            "splitk2(M9E6b31,chunk=64,round=nearest,product=exact),sum=M9E6b31",
        ),
        ("splitk2(kulisch(float32)),sum=M10E5b15,range=infinity,subnormals=keep", "splitk2(kulisch),sum=float16"),
    ],
)
def test_texts_have_one_form(text: str, canonical: str) -> None:
    assert str(parse_accumulator(text)) == canonical
    assert native.accumulator_levels(text) == parse_accumulator(canonical).levels


@pytest.mark.parametrize(
    "text, problem",
    [
        ("splitk4", "expected splitk<n>\\(<accumulator>\\) with n from 2 to 1024, .*got 'splitk4', at character 1"),
        ("splitk1(M7E4b10)", "n from 2 to 1024"),
        ("splitk1025(M7E4b10)", "n from 2 to 1024"),
        ("splitk2()", "expected a"),
        ("splitk2(M7E4)", "expected an exponent bias"),
        ("splitk2(M7E4b10),chunk=4", "expected sum=<format>, round=truncate, .*got 'chunk=4'.*, at character 18"),
        ("splitk2(M7E4b10),sum=M7", "expected a format such as .*at character 22"),
        ("splitk2(M7E4b10,chunk=2x2x2x2x2x2x2x2)", "expected slices of at most 9 levels, got 10"),
    ],
)
def test_texts_that_are_none_are_refused(text: str, problem: str) -> None:
    check_refused(text, problem)


def test_statistics_tell_of_slices_and_of_their_combination() -> None:
    a = np.array([[[300.0, 200.0, 300.0, 1.0, 2.0**-20]]], np.float32)  # slices 9e4 / 2, 4e4 + 1, tiny
    b = np.array([[[150.0], [0.0], [120.0], [4000.0], [1.0]]], np.float32)
    native.statistics_open("slices", 1.0)
    native.matmul(a, b, "splitk3(fp32-fma),sum=float16", 1, "slices/node")
    found = native.statistics_read("slices/node")
    native.statistics_close("slices")
    assert [level.values for level in found.levels] == [5, 5, 3, 3]
    assert found["total"].events == {"overflow": 2, "underflow": 0, "swamped": 0, "subnormal": 0}
    assert found["partial_sum_2"].max_abs == 45000 and found["total"].max_abs == 85000 + 2.0**-20


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 8, 100])
def test_largest_values_are_those_of_slices_whatever_the_chunks(forced_path: str, chunk: int) -> None:
    """Chunks start anew in each slice, of 8 products here, whether or not they fit."""
    a, b = operand("normal", (20, 30), rng), operand("normal", (30, 40), rng)
    native.statistics_open("slices", 1.0)
    native.matmul(a[None], b[None], f"splitk4(M22E7b63/M22E7b63,chunk={chunk})", 2, "slices/node")
    found = native.statistics_read("slices/node")
    native.statistics_close("slices")
    largest = [0.0] * 4
    total = np.zeros((20, 40))
    for start in range(0, 30, 8):
        products = a[:, start : start + 8, None].astype(float) * b[start : start + 8]
        in_slice = np.zeros((20, 40))
        for begin in range(0, products.shape[1], chunk):
            sums = np.cumsum(products[:, begin : begin + chunk], axis=1)
            in_slice = in_slice + sums[:, -1]
            largest = [*map(max, largest[:3], (abs(products).max(), abs(sums).max(), abs(in_slice).max())), largest[3]]
        total = total + in_slice
        largest[3] = max(largest[3], abs(total).max())
    assert [level.max_abs for level in found.levels] == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize(
    "text, cause",
    [
        ("splitk3(fp32-fma),sum=M2E6b31", "combination_rounding"),
        ("splitk3(M22E7b63/M22E7b63),sum=M2E6b31", "rounding"),  # slices truncate
        ("splitk3(M22E7b63/M22E7b63),sum=M2E6b31,round=truncate", "combination_truncation"),
        ("splitk3(M10E4b12/M2E4b11),sum=float32", "accumulator_truncation"),
    ],
)
def test_models_are_debugged_by_the_causes_of_slices_and_of_their_combination(text: str, cause: str) -> None:
    model, data = network(), {"x": images(16)}
    narrow = lba_onnx.convert(model, text)[0]
    layer = next(
        layer for layer in lba_onnx.debug(narrow, data, model, samples_alone=0).layers if layer.node == "classifier"
    )
    assert layer.main_cause == cause and layer.events is not None


def test_families_choose_the_biases_of_slices() -> None:
    family = parse_family("splitk4(M7E4,chunk=8),sum=float16")
    assert str(family) == "splitk4(M7E4,chunk=8),sum=float16"
    spec = as_spec("splitk4(M7E4b11/M7E4b10,chunk=8),sum=float16")
    assert family.with_exponents(family.exponents(spec)) == str(spec) and spec.family_text == str(family)
    with pytest.raises(ValueError, match="expected a kind whose biases calibration chooses, got kulisch"):
        parse_family("splitk4(kulisch)")
