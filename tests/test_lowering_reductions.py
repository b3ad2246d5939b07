"""Reductions, average pools, normalizations and Softmax, whose sums accumulate where that is asked for."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from lowered_models import MICROSOFT, check_equal, one_node, refusal
from onnx import helper
from test_convert_onnx_backend import ATOL, RTOL, WIDEST, cases, data_of, model_of

import lba_onnx
from lba_onnx import Selection, convert
from lba_onnx.rewrite import list_candidates

REDUCTIONS = ["reductions"]
ON_REQUEST = Selection(accumulate=REDUCTIONS)
SPEC = lba_onnx.AccumulatorSpec.parse("M7E4b8")
UNIT = 2.0**-24  # the most that one rounding to float32 changes, relatively
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
OPSETS = [7, 11, 13, 18, 21]


def reduction(op_type: str, axes: "list[int] | None", *, opset: int, **attributes: int) -> onnx.ModelProto:
    """Return a model of a reduction, its axes an input where the opset has that."""
    takes_input = opset >= (13 if op_type == "ReduceSum" else 18)
    constants = {"axes": np.asarray(axes, np.int64)} if takes_input and axes is not None else {}
    if not takes_input and axes is not None:
        attributes["axes"] = axes  # type: ignore[assignment]
    node = helper.make_node(op_type, ["x", *constants], ["y"], name="node", **attributes)
    return one_node(node, {"x": X}, constants, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean"])
@pytest.mark.parametrize("axes", [None, [3], [1], [0, 2], [2, 3], [3, 0, 1, 2]])
def test_reduction_is_what_it_was(op_type: str, axes: "list[int] | None", opset: int):
    over = tuple(axes or range(4))
    for keepdims in (0, 1):
        # two orders of n additions, each of which rounds what is at most the sum of all magnitudes, and a division
        magnitude = np.sum(np.abs(X), axis=over, keepdims=bool(keepdims))
        bound = 2 * np.prod([X.shape[axis] for axis in over]) * UNIT * magnitude
        model = reduction(op_type, axes, opset=opset, keepdims=keepdims)
        apart = check_equal(model, {"x": X}, bound, REDUCTIONS)
        assert "node/sum" in {node.name for node in apart.graph.node if node.op_type == "MatMul"}


def test_negative_axes_count_from_the_last():
    check_equal(reduction("ReduceSum", [-3, -1], opset=13), {"x": X}, 2e-5, REDUCTIONS)


def test_reduction_that_sums_nothing_stays():
    assert "noop_with_empty_axes" in refusal(reduction("ReduceSum", [], opset=13, noop_with_empty_axes=1), REDUCTIONS)
    check_equal(reduction("ReduceSum", [], opset=13), {"x": X}, 1e-4, REDUCTIONS)


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ({"x": X.astype(np.int64), "axes": None}, "sums elements of int64; expected float32"),
        ({"x": X.astype(np.float16), "axes": None}, "sums elements of float16; expected float32"),
        ({"x": X, "axes": np.asarray([1], np.int64)}, "its axes are not constant"),
        ({"x": X[0, 0, 0, 0], "axes": None}, "sums over no axis"),
    ],
)
def test_reduction_that_cannot_be_taken_apart_says_why(feeds: dict[str, Any], reason: str):
    given = {name: np.asarray(fed) for name, fed in feeds.items() if fed is not None}
    model = one_node(helper.make_node("ReduceSum", list(given), ["y"], name="node"), given)
    model.graph.output[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(given["x"].dtype)
    assert refusal(model, REDUCTIONS) == reason
    _, report = convert(model, SPEC, selection=ON_REQUEST)
    assert [(entry.op_type, entry.reason) for entry in report.left] == [("ReduceSum", reason)]


def with_open_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    for place, dimension in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        dimension.dim_param = f"size_{place}"
    return model


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMean"])
@pytest.mark.parametrize("axes", [[1], [1, 2], [3]])
def test_sums_of_unknown_size_count_their_elements(op_type: str, axes: list[int]):
    for opset in (9, 18):
        model = with_open_sizes(reduction(op_type, axes, opset=opset))
        check_equal(model, {"x": X}, 1e-5, REDUCTIONS)
    old = with_open_sizes(reduction(op_type, axes, opset=8))
    assert "below opset 9" in refusal(old, REDUCTIONS)


def test_axes_may_be_integers_of_a_constant():
    model = reduction("ReduceMean", [1, 2], opset=18)
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["axes"], value_ints=[1, 2]))
    check_equal(model, {"x": X}, 1e-5, REDUCTIONS)
    converted, _ = convert(model, SPEC, selection=ON_REQUEST)
    assert "Constant" not in {node.op_type for node in converted.graph.node}


def of_unknown_rank(op_type: str, axis: int, *, opset: int = 18, **attributes: Any) -> onnx.ModelProto:
    """Return a model of a node that follows a Reshape to a shape that is fed."""
    attributes["axes" if op_type.startswith("Reduce") else "axis"] = axis
    constants: dict[str, np.ndarray] = {}
    if op_type.startswith("Reduce"):
        constants["axes"] = np.asarray([attributes.pop("axes")], np.int64)
    if op_type == "LayerNormalization":
        constants["s"] = SCALE
    node = helper.make_node(op_type, ["r", *constants], ["y"], name="node", **attributes)
    model = one_node(node, {"x": X, "shape": np.asarray(X.shape, np.int64)}, constants, opset=opset)
    model.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["r"], name="reshape"))
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "rank"
    return model


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("ReduceSum", {"keepdims": 0}),
        ("ReduceMean", {"keepdims": 0}),
        ("ReduceMean", {}),
        ("Softmax", {}),
        ("LayerNormalization", {"epsilon": 0.1}),
    ],
)
def test_last_axis_is_summed_without_the_number_of_dimensions(op_type: str, attributes: dict[str, Any]):
    feeds = {"x": X, "shape": np.asarray(X.shape, np.int64)}
    check_equal(of_unknown_rank(op_type, -1, **attributes), feeds, 1e-5, REDUCTIONS)
    ledger = list_candidates(of_unknown_rank(op_type, 1, **attributes), selection=ON_REQUEST)
    assert [entry.reason for entry in ledger] == ["the number of dimensions of its input is not known"]


def test_sums_of_unknown_size_are_converted_and_counted():
    model = with_open_sizes(reduction("ReduceMean", [1, 2], opset=18))
    assert list_candidates(model, {"x": X.shape}, ON_REQUEST).macs.total == X.size
    converted, _ = convert(model, WIDEST, selection=ON_REQUEST)
    (y,) = lba_onnx.make_session(converted).run(None, {"x": X})
    np.testing.assert_allclose(y, X.mean((1, 2), keepdims=True), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 7, 5), (1, 2, 3, 4, 5)])
def test_global_pool_is_what_it_was(shape: tuple[int, ...]):
    x = RNG.standard_normal(shape).astype(np.float32)
    model = one_node(helper.make_node("GlobalAveragePool", ["x"], ["y"], name="pool"), {"x": x})
    n = x[0, 0].size
    axes = tuple(range(2, x.ndim))
    bound = 2 * (n + 1) * UNIT * np.mean(np.abs(x), axis=axes, keepdims=True)
    check_equal(model, {"x": x}, bound, REDUCTIONS)


POOLS: list[dict[str, Any]] = [
    {"kernel_shape": [2, 3]},
    {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 0, 1, 2]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [3, 2], "strides": [2, 4], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]},
    {"kernel_shape": [2, 2], "dilations": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 4], "auto_pad": "SAME_UPPER", "strides": [1, 2]},
    {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER", "strides": [3, 2]},
    {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER", "count_include_pad": 1},
    {"kernel_shape": [3, 2], "auto_pad": "VALID", "strides": [2, 2]},
]


def pool(x: np.ndarray, opset: int = 19, **attributes: Any) -> onnx.ModelProto:
    return one_node(helper.make_node("AveragePool", ["x"], ["y"], name="pool", **attributes), {"x": x}, opset=opset)


@pytest.mark.parametrize("attributes", POOLS, ids=str)
def test_pool_is_what_it_was(attributes: dict[str, Any]):
    x = RNG.standard_normal((2, 3, 8, 9)).astype(np.float32)
    n = np.prod(attributes["kernel_shape"])
    bound = float(2 * (n + 1) * UNIT * np.max(np.abs(x)))  # a mean is no larger than the largest
    apart = check_equal(pool(x, **attributes), {"x": x}, bound, REDUCTIONS)
    assert (apart.graph.node[0].op_type, apart.graph.node[0].name) == ("Conv", "pool/sum")


@pytest.mark.parametrize("opset", [7, 10, 11])
@pytest.mark.parametrize("shape", [(1, 2, 9), (1, 2, 4, 5, 6)])
def test_pool_of_older_opsets_and_other_ranks(opset: int, shape: tuple[int, ...]):
    x = RNG.standard_normal(shape).astype(np.float32)
    spatial = len(shape) - 2
    attributes = {"kernel_shape": [3] * spatial, "pads": [1] * 2 * spatial, "strides": [2] * spatial}
    check_equal(pool(x, opset, **attributes), {"x": x}, float(54 * UNIT * np.max(np.abs(x))), REDUCTIONS)


@pytest.mark.parametrize(
    ("attributes", "is_open", "reason"),
    [
        ({"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, True, "number of channels"),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}, False, "counts padding"),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "auto_pad": "VALID"}, False, "beside auto_pad"),
        ({"kernel_shape": [1, 1], "strides": [3, 3], "pads": [0, 0, 0, 0], "ceil_mode": 1}, False, "in the padding"),
        ({"kernel_shape": [2, 2], "pads": [3, 3, 3, 3]}, False, "in the padding"),
    ],
)
def test_pool_that_cannot_be_taken_apart_says_why(attributes: dict[str, Any], is_open: bool, reason: str):
    model = pool(RNG.standard_normal((1, 2, 8, 8)).astype(np.float32), **attributes)
    found = refusal(with_open_sizes(model) if is_open else model, REDUCTIONS)
    assert reason in found


def test_pool_without_edges_takes_inputs_of_any_size():
    x = RNG.standard_normal((2, 3, 8, 9)).astype(np.float32)
    model = pool(x, kernel_shape=[2, 2], strides=[2, 2])
    for place in (0, 2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = f"size_{place}"
    check_equal(model, {"x": x}, 10 * UNIT * float(np.max(np.abs(x))), REDUCTIONS)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("axis", [None, 0, 2, 3, -1])
def test_softmax_is_what_it_was(opset: int, axis: "int | None"):
    if opset < 11 and axis == -1:
        pytest.skip("negative axes are of opset 11")
    attributes = {} if axis is None else {"axis": axis}
    model = one_node(helper.make_node("Softmax", ["x"], ["y"], name="softmax", **attributes), {"x": X}, opset=opset)
    # powers within some units of their last place, 2 n additions and a division, relative to at most 1
    bound = 2 * (X.size + 8) * UNIT
    check_equal(model, {"x": X}, bound, REDUCTIONS)
    if opset >= 9:
        check_equal(with_open_sizes(model), {"x": X}, bound, REDUCTIONS)


SCALE, BIAS = (RNG.standard_normal(5).astype(np.float32) for _ in range(2))


def normalized_bound(x: np.ndarray, scale: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return how far two float32 computations of a normalization may lie apart.

    Means of values and of squares are off by n roundings of the mean of magnitudes; the deviation by half of what the
    variance is off, relatively.
    """
    n = np.prod([x.shape[axis] for axis in axes]) + 4
    mean, square = (np.mean(values, axis=axes, keepdims=True) for values in (np.abs(x), x * x))
    variance = np.var(x, axis=axes, keepdims=True)
    deviations = (np.abs(x) + mean) / np.sqrt(variance)
    relative = 2 * n * UNIT * (square + mean * mean) / variance
    return 2 * np.abs(scale) * (deviations * relative + n * UNIT * mean / np.sqrt(variance)) + 8 * UNIT


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("axis", [-1, 2, 0])
def test_layer_normalization_is_what_it_was(opset: int, axis: int):
    shape = X.shape[axis:]
    scale, bias = (RNG.standard_normal(shape).astype(np.float32) for _ in range(2))
    axes = tuple(range(axis % 4, 4))
    bound = normalized_bound(X, scale, axes)
    for constants, outputs in (({"s": scale}, ["y"]), ({"s": scale, "b": bias}, ["y", "mean", "inverse"])):
        node = helper.make_node("LayerNormalization", ["x", *constants], outputs, name="norm", axis=axis, epsilon=1e-3)
        model = one_node(node, {"x": X}, constants, opset=opset)
        apart = check_equal(model, {"x": X}, float(np.max(bound)), REDUCTIONS)
        assert {"norm/mean", "norm/variance"} <= {node.name for node in apart.graph.node}
        assert "norm/mean" in {node.name for node in check_open(model, float(np.max(bound))).graph.node}


def check_open(model: onnx.ModelProto, bound: float) -> onnx.ModelProto:
    return check_equal(with_open_sizes(model), {"x": X}, bound, REDUCTIONS)


@pytest.mark.parametrize("op_type", ["RMSNormalization", "SimplifiedLayerNormalization"])
def test_normalization_without_a_mean_is_what_it_was(op_type: str):
    node = helper.make_node(op_type, ["x", "s"], ["y"], name="norm", axis=-1, epsilon=1e-3)
    model = one_node(node, {"x": X}, {"s": SCALE}, opset=23 if op_type == "RMSNormalization" else 17)
    try:
        onnxruntime.InferenceSession(model.SerializeToString())
    except Exception as error:
        pytest.skip(f"this onnxruntime has no kernel: {error}")
    check_equal(model, {"x": X}, 2 * (5 + 8) * UNIT * float(np.max(np.abs(SCALE))) * 5**0.5, REDUCTIONS)


@pytest.mark.parametrize(
    ("op_type", "inputs"),
    [
        ("SkipLayerNormalization", ["x", "skip", "s"]),
        ("SkipLayerNormalization", ["x", "skip", "s", "b", "c"]),
        ("SkipSimplifiedLayerNormalization", ["x", "skip", "s"]),
        ("SkipSimplifiedLayerNormalization", ["x", "skip", "s", "c"]),
    ],
)
def test_normalization_of_a_sum_is_what_it_was(op_type: str, inputs: list[str]):
    node = helper.make_node(op_type, inputs, ["y", "", "", "sum"], name="norm", domain=MICROSOFT, epsilon=1e-5)
    x, skip = X[0], X[1]
    values = {"s": SCALE, "b": BIAS, "c": np.abs(BIAS)}
    model = one_node(node, {"x": x, "skip": skip}, {name: values[name] for name in inputs[2:]})
    whole = x + skip + (values["c"] if "c" in inputs else 0)
    bound = float(np.max(normalized_bound(whole, SCALE, (2,))))
    check_equal(model, {"x": x, "skip": skip}, bound, REDUCTIONS)


BACKEND = [
    *("reduce_sum_default_axes_keepdims_random", "reduce_sum_do_not_keepdims_random", "reduce_sum_keepdims_random"),
    *("reduce_sum_negative_axes_keepdims_random", "reduce_mean_default_axes_keepdims_random"),
    *("reduce_mean_do_not_keepdims_random", "reduce_mean_keepdims_random", "reduce_mean_negative_axes_keepdims_random"),
    *("globalaveragepool", "globalaveragepool_precomputed", "averagepool_1d_default", "averagepool_2d_ceil"),
    *("averagepool_2d_default", "averagepool_2d_pads", "averagepool_2d_pads_count_include_pad"),
    *("averagepool_2d_precomputed_pads", "averagepool_2d_precomputed_pads_count_include_pad"),
    *("averagepool_2d_precomputed_same_upper", "averagepool_2d_precomputed_strides", "averagepool_2d_same_lower"),
    *("averagepool_2d_same_upper", "averagepool_2d_strides", "averagepool_3d_default", "averagepool_2d_dilations"),
    *("softmax_axis_0", "softmax_axis_1", "softmax_axis_2", "softmax_default_axis", "softmax_example"),
    *("softmax_large_number", "softmax_negative_axis"),
    *(f"layer_normalization_4d_axis{axis}" for axis in (0, 1, 2, 3, "_negative_1", "_negative_3")),
    *("layer_normalization_2d_axis1", "layer_normalization_3d_axis2_epsilon", "layer_normalization_default_axis"),
    *("rms_normalization_4d_axis2", "rms_normalization_3d_axis1_epsilon", "rms_normalization_default_axis"),
]


def with_constant_axes(case: Any) -> onnx.ModelProto:
    """Return a test's model; axes that it feeds are a constant."""
    model = onnx.ModelProto()
    model.CopyFrom(model_of(case))
    if [value.name for value in model.graph.input][1:] == ["axes"]:
        axes = np.asarray(data_of(case)[0][0][1], np.int64)
        model.graph.initializer.append(onnx.numpy_helper.from_array(axes, "axes"))
        del model.graph.input[1]
    return model


@pytest.mark.parametrize("name", BACKEND)
def test_standard_node_test_passes_at_the_widest_format(name: str):
    if name not in cases():
        pytest.skip(f"onnx {onnx.__version__} has no test_{name}")
    model, report = convert(with_constant_axes(cases()[name]), WIDEST, selection=ON_REQUEST)
    assert len(report.converted) == len(report) >= 1
    session = lba_onnx.make_session(model)
    for inputs, outputs in data_of(cases()[name]):
        names = [graph_input.name for graph_input in session.get_inputs()]
        for actual, expected in zip(session.run(None, dict(zip(names, inputs, strict=False))), outputs, strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(actual, expected, rtol=RTOL, atol=ATOL)


def test_pool_has_the_bits_of_the_operator_on_ones():
    x = RNG.standard_normal((1, 3, 8, 9)).astype(np.float32)
    converted, _ = convert(pool(x, kernel_shape=[4, 4]), SPEC, selection=ON_REQUEST)
    (y,) = lba_onnx.make_session(converted).run(None, {"x": x})
    channels = [lba_onnx.conv(x[:, [c]], np.ones((1, 1, 4, 4), np.float32), SPEC) for c in range(3)]
    np.testing.assert_array_equal(y, np.concatenate(channels, axis=1) / np.float32(16))
