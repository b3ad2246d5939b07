"""ConvTranspose taken apart: equal to onnxruntime's own, and in low bits to sums over the taps that an output meets."""

import random
import re
from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_convert_onnx_backend import cases, data_of, model_of, run

import lba_onnx
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.lowering import lower_model

WIDEST = "M22E7b63"
BACKEND = [
    "convtranspose", "convtranspose_1d", "convtranspose_3d", "convtranspose_autopad_same", "convtranspose_dilations",
    "convtranspose_group_2", "convtranspose_group_2_image_3", "convtranspose_kernel_shape",
    "convtranspose_output_shape", "convtranspose_pad", "convtranspose_pads",
]  # fmt: skip


def up_model(
    x: np.ndarray,
    constants: dict[str, np.ndarray],
    attributes: dict[str, Any],
    *,
    opset: int = 17,
    fed: dict[str, np.ndarray] | None = None,
    is_static: bool = True,
) -> onnx.ModelProto:
    """A ConvTranspose named "up"; `fed` are the operands that are inputs of the model."""
    declared = {"x": x.shape if is_static else [None] * x.ndim, **{n: v.shape for n, v in (fed or {}).items()}}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in declared.items()]
    operands = ["x", *(name for name in "wb" if name in constants or name in (fed or {}))]
    node = helper.make_node("ConvTranspose", operands, ["y"], "up", **attributes)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * x.ndim)
    weights = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph([node], "one_node", inputs, [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def draw(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    rng, choose = np.random.default_rng(seed), random.Random(seed)
    axes = choose.choice([1, 2, 2, 3])
    group = choose.choice([1, 1, 2, 3])
    inputs, outputs = group * choose.randint(1, 3), choose.randint(1, 3)
    sizes, kernel = ([choose.randint(1, most) for _ in range(axes)] for most in (6, 5 if axes < 3 else 3))
    strides = [choose.randint(1, 4) for _ in range(axes)] if choose.random() < 0.6 else [choose.randint(1, 3)] * axes
    attributes: dict[str, Any] = {"strides": strides, "group": group}
    dilations = [1] * axes
    if choose.random() < 0.4:
        attributes["dilations"] = dilations = [choose.randint(1, 3) for _ in range(axes)]
    behind = [0] * axes
    if choose.random() < 0.4:
        attributes["output_padding"] = behind = [choose.randint(0, stride - 1) for stride in strides]
    all_axes = zip(sizes, strides, dilations, kernel, behind, strict=True)
    whole = [(n - 1) * s + d * (k - 1) + 1 + more for n, s, d, k, more in all_axes]
    attributes |= choose.choice(
        [
            {},
            {"pads": [choose.randint(0, (size - 1) // 2) for size in whole * 2]},
            {"auto_pad": choose.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])},
            {"output_shape": [max(1, size - choose.randint(0, 4)) for size in whole]},
        ]
    )
    x = rng.standard_normal((2, inputs, *sizes)).astype(np.float32)
    operands = {"w": rng.standard_normal((inputs, outputs, *kernel)).astype(np.float32)}
    if choose.random() < 0.5:
        operands["b"] = rng.standard_normal(group * outputs).astype(np.float32)
    is_constant, is_static = choose.random() < 0.7, "output_shape" in attributes or choose.random() < 0.5
    constants, fed = (operands, {}) if is_constant else ({}, operands)
    opset = choose.choice([7, 9, 10, 11, 13, 17, 21, 22])
    return up_model(x, constants, attributes, opset=opset, fed=fed, is_static=is_static), {"x": x, **fed}


def test_lowered_equals_onnxruntime_within_float32_rounding():
    """Bound: sums of at most 375 products, in another order."""
    for seed in range(100):
        model, feeds = draw(seed)
        try:
            expected = quiet_session(model).run(None, feeds)[0]
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
            continue  # an output_shape that onnxruntime takes for another number of inputs
        assert lower_model(model).origins
        onnx.checker.check_model(model, full_check=True)
        np.testing.assert_allclose(quiet_session(model).run(None, feeds)[0], expected, rtol=1e-5, atol=2e-5)


def quiet_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": [2, 2]},
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [3, 2], "pads": [1, 0, 2, 3], "output_padding": [2, 1], "group": 2},
        {"strides": [1, 1], "dilations": [2, 3]},
        {"strides": [2, 3], "dilations": [2, 1]},
        {"strides": [5, 1]},
    ],
)
@pytest.mark.parametrize("kernel", [(4, 4), (3, 5)])
def test_low_bits_equal_sums_over_positions_of_the_input(attributes, kernel):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 4, 3, 4)).astype(np.float32)
    w = rng.standard_normal((4, 3, *kernel)).astype(np.float32)
    b = rng.standard_normal(3 * attributes.get("group", 1)).astype(np.float32)
    spec = "M4E3b4,chunk=3"
    converted, report = lba_onnx.convert(up_model(x, {"w": w, "b": b}, attributes), spec)
    assert report.counts() == {"ConvTranspose": {"converted": 1, "left": 0}}
    y = lba_onnx.make_session(converted).run(None, {"x": x})[0]
    np.testing.assert_array_equal(y, slow_conv_transpose(x, w, b, attributes, spec))


def slow_conv_transpose(x, w, b, attributes, spec):
    """Each output's operands: channel after channel, position after position of the input that any phase meets."""
    group = attributes.get("group", 1)
    (batch, channels, *sizes), (outputs, *kernel) = x.shape, w.shape[1:]
    strides, dilations = attributes["strides"], attributes.get("dilations", [1, 1])
    begins, ends = np.split(np.array(attributes.get("pads", [0] * 4)), 2)
    further = attributes.get("output_padding", [0, 0])
    axes = list(zip(sizes, strides, dilations, kernel, begins, ends, further, strict=True))
    shape = [(n - 1) * s + d * (k - 1) + 1 - begin - end + more for n, s, d, k, begin, end, more in axes]
    y = np.empty((batch, group * outputs, *shape), np.float32)
    taps = [offsets(*axis[1:4]) for axis in axes]
    per_group = channels // group
    for n, g, o, *place in product(range(batch), range(group), range(outputs), *map(range, shape)):
        found = [
            [(place[a] + axes[a][4]) // axes[a][1] + offset for offset in taps[a]] for a in range(2)
        ]  # which inputs, along each axis
        left, right = [], []
        for c, i, j in product(range(g * per_group, (g + 1) * per_group), *found):
            gaps = [place[a] + axes[a][4] - axes[a][1] * at for a, at in enumerate((i, j))]
            tap = [gap // d if gap % d == 0 else -1 for gap, d in zip(gaps, dilations, strict=True)]
            is_tap = all(0 <= at < size for at, size in zip(tap, kernel, strict=True))
            is_input = all(0 <= at < size for at, size in zip((i, j), sizes, strict=True))
            left.append(x[n, c, i, j] if is_input else 0)
            right.append(w[(c, o, *tap)] if is_tap else 0)
        total = lba_onnx.matmul(np.float32([left]), np.float32([right]).T, spec)[0, 0]
        y[(n, g * outputs + o, *place)] = total + b[g * outputs + o]
    return y


def offsets(stride, dilation, kernel):
    """From the input of an output's own number: all that the taps of any phase are away, evenly spaced, ascending."""
    found = [(dilation * tap % stride - dilation * tap) // stride for tap in range(kernel)]
    return range(min(found), 1, int(np.gcd.reduce(found)) or 1)


@pytest.mark.parametrize("name", BACKEND)
def test_standard_node_test_passes_after_conversion(name):
    if name not in cases():
        pytest.skip(f"onnx {onnx.__version__} has no test_{name}")
    case = cases()[name]
    model, report = lba_onnx.convert(model_of(case), WIDEST)
    assert len(report.converted) == len(report) == 1
    onnx.checker.check_model(model)
    for inputs, outputs in data_of(case):
        for actual, expected in zip(run(lba_onnx.make_session(model), inputs), outputs, strict=True):
            assert actual.shape == expected.shape
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-5)


def test_the_standard_node_tests_are_complete():
    found = {n for n, case in cases().items() if "ConvTranspose" in {m.op_type for m in model_of(case).graph.node}}
    assert found <= set(BACKEND)


X = np.ones((1, 2, 3, 3), np.float32)
W = np.ones((2, 1, 2, 2), np.float32)


def test_its_one_product_is_called_as_the_node():
    (entry,) = list_candidates(up_model(X, {"w": W}, {"strides": [2, 2]}))
    assert (entry.node, entry.op_type, entry.reason) == ("up", "ConvTranspose", "")


@pytest.mark.parametrize(
    ("x", "w", "attributes", "reason"),
    [
        (np.ones((1, 2, 3, 3, 3, 3), np.float32), np.ones((2, 1, 2, 2, 2, 2), np.float32), {}, "4 spatial axes"),
        (X, W, {"output_shape": [4, 4]}, "output_shape, and the spatial sizes of its input are not known"),
    ],
)
def test_what_cannot_be_taken_apart_is_left_with_its_reason(x, w, attributes, reason):
    (entry,) = list_candidates(up_model(x, {"w": w}, attributes, is_static=False))
    assert re.search(reason, entry.reason)


def test_no_group_at_all_is_said():
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "node", group=0)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4]) for name in "xy")
    weights = numpy_helper.from_array(np.zeros((1, 1, 2, 2), np.float32), "w")
    model = helper.make_model(helper.make_graph([node], "graph", [x], [y], [weights]))
    assert [entry.reason for entry in list_candidates(model)] == [
        "expected weights [1, 1, 2, 2] and a bias None of 0 groups"
    ]
