"""Interleaved lanes, and running sums carried into trees and lanes: order, bits, statistics, what is refused."""

import numpy as np
import pytest
from hostile import KINDS, operand
from operator_models import node_model
from processor import Paths
from same_bits import assert_same_bits

from lba_onnx import kernels, make_session, native, reference
from lba_onnx.arithmetic import as_spec
from lba_onnx.errors import ModelError

rng = np.random.default_rng(6)
TEXTS = (
    "M7E4b12/M7E4b10,chunk=8,lanes=2",
    "M7E4b12/M7E4b10,chunk=none,lanes=3,round=nearest",
    "M7E4b10,chunk=10x2,lanes=4,product=exact,round=nearest",
    "fp16-fma,lanes=4",
    "fp32-fma,chunk=32,lanes=2",
    "fp16-mul-add,chunk=9,lanes=64",
    "M7E4b12/M7E4b10,chunk=8,lanes=2,start=carry",
    "fp16-fma,chunk=6x3,lanes=4,start=carry",
    "M7E4b12/M7E4b10,tree=8,start=carry",
    "M7E4b12/M7E4b10,tree=5,chunk=2x2,round=nearest,start=carry",
    "M5E4b9,tree=4,product=exact,round=stochastic4,start=carry",
)


@pytest.mark.parametrize("text", TEXTS)
def test_matrix_products_on_every_path(each_path: Paths, text: str) -> None:
    for kind in KINDS:
        for rows, depth, columns in ((1, 1, 1), (2, 5, 3), (3, 70, 35)):
            with np.errstate(over="ignore"):
                a, b = operand(kind, (rows, depth), rng), operand(kind, (depth, columns), rng)
            expected = reference.matmul(a, b, text)
            for path in each_path():
                assert_same_bits(kernels.matmul(a, b, text, threads=2), expected, path)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("group, channels", [(1, 4), (6, 6)], ids=["tiles", "depthwise"])
def test_convolutions(text: str, group: int, channels: int) -> None:
    x, w = operand("normal", (2, 6, 7, 5), rng), operand("normal", (channels, 6 // group, 3, 3), rng)
    w[0, 0, 0, 0] = np.inf  # over the padding it makes products of 0
    geometry = {"pads": [1, 1, 1, 1], "group": group}
    assert_same_bits(kernels.conv(x, w, text, threads=2, **geometry), reference.conv(x, w, text, **geometry))


def float16_sum(values: np.ndarray) -> np.float16:
    total = np.float16(0)
    for value in values:
        total = np.float16(total + value)
    return total


@pytest.mark.parametrize("carries", [False, True])
def test_lanes_are_those_of_numpy(carries: bool) -> None:
    """Two lanes over chunks of 8 in NumPy's float16, whose every operation is rounded once."""
    x, w = (rng.standard_normal(50).astype(np.float16) for _ in range(2))
    products, total = x * w, np.float16(0)
    for start in range(0, 50, 8):
        chunk = products[start : start + 8]
        first = float16_sum([total, *chunk[::2]] if carries else chunk[::2])
        both = np.float16(first + float16_sum(chunk[1::2]))
        total = both if carries else np.float16(total + both)
    text = "fp16-mul-add,chunk=8,lanes=2" + (",start=carry" if carries else "")
    assert reference.dot(x, w, text) == total


def test_a_tree_takes_the_running_sum_as_its_first_item() -> None:
    spec = as_spec("M2E5b20/M2E5b20,tree=4,start=carry,round=truncate")  # steps of a quarter of the power of two
    ones = np.ones(8, np.float32)
    # (((0 + 1) + (1 + 1)) + 1) = 3 + 1 = 4, then (((4 + 1) + (1 + 1)) + 1): 5, 7, 8
    assert reference.dot(ones, ones, spec) == 8
    x = np.float32([7, 0, 0, 0, 1.5, 1.5, 0, 0])
    # 7, then ((7 + 1.5) + (1.5 + 0)) + 0: 8.5 is cut to 8, 9.5 to 8
    assert reference.dot(x, ones, spec) == 8
    assert reference.dot(x, ones, "M2E5b20/M2E5b20,tree=4") == 10  # 7 + 3


@pytest.mark.parametrize("text", [text for text in TEXTS if "stochastic" not in text])
def test_statistics_count_what_the_steps_are(text: str) -> None:
    spec = as_spec(text)
    a, b = operand("overflow", (3, 29), rng), operand("normal", (29, 4), rng)
    native.statistics_open("lanes", 1.0)
    native.matmul(a[None], b[None], spec, 1, "lanes/node")
    found = native.statistics_read("lanes/node")
    native.statistics_close("lanes")
    values, overflows = [0] * len(spec.levels), [0] * len(spec.levels)
    for step in spec.steps(reference.matmul_products(a.astype(float), b.astype(float)), 29, (3, 4)):
        values[step.level] += 12
        overflows[step.level] += int(step.overflows.sum())
    assert [level.values for level in found.levels[1:]] == values[1:]
    assert [level.events["overflow"] for level in found.levels[1:]] == overflows[1:]


@pytest.mark.parametrize(
    "text, problem",
    [
        ("M7E4b10,start=carry", "expected tree= or lanes= beside start=carry: chains that carry on are chunk=none"),
        ("M7E4b10,chunk=8x4,start=carry", "expected tree= or lanes= beside start=carry"),
        ("M7E4b10,lanes=1", "expected 2 to 64 lanes, got 1"),
        ("M7E4b10,lanes=65", "expected 2 to 64 lanes, got 65"),
        ("M7E4b10,tree=4,lanes=2", "expected lanes without tree= and without stochastic rounding"),
        ("M7E4b10,lanes=2,round=stochastic4", "expected lanes without tree= and without stochastic rounding"),
        ("M7E4b10,tree=4,start=none", "expected chunk=<size>, .*got 'start=none'"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        as_spec(text)
    inputs, weights = {"A": (np.float32, (2, 3))}, {"B": np.ones((3, 2), np.float32)}
    with pytest.raises(ModelError, match=problem):
        make_session(node_model("LbaMatMul", inputs, weights, {"accumulator": text}))
