"""Integer nodes in every form: with 32 bits the converted model's outputs are onnxruntime's, bit for bit."""

import itertools

import numpy as np
import onnx
import onnxruntime
import processor
import pytest
from integer_models import (
    ALL_PAIRS,
    PAIRS,
    WINDOW,
    Case,
    Draw,
    make_model,
    operator_case,
    quantize_dequantize_case,
    run,
)
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import lba_onnx
from lba_onnx import operators, ops, reference
from lba_onnx.reference import requantization

OPERATORS = [
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "QGemm-float",
    "ConvInteger",
    "MatMulInteger",
    "MatMulIntegerToFloat",
]
FORMS = [
    (op_type, x, w, per_channel)
    for op_type in OPERATORS
    for x, w in (ALL_PAIRS if op_type.endswith("Integer") else PAIRS)
    for per_channel in (False, True)
]
TWINS = [twin for name, twin in vars(ops).items() if name in operators.OPERATORS]


def only_node(model: onnx.ModelProto) -> onnx.NodeProto:
    (node,) = (node for node in model.graph.node if node.domain == "lba_onnx")
    return node


def check_valid(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, strict_mode=True)


def expected_output(case: Case, spec: str, op_type: str) -> np.ndarray:
    """Return what an operator gives by its definition: the reference's sums, then the same steps in numpy."""
    is_conv, after = "Conv" in op_type, case.after
    window = {"strides": WINDOW["strides"], "pads": WINDOW["pads"]} if is_conv else {}
    x, w = case.sums["x"], case.sums["w"]
    points = [np.asarray(case.sums[name]).astype(np.int64) for name in ("x_zero_point", "w_zero_point")]
    names = ("x_zero_point", "w_zero_point") if is_conv else ("a_zero_point", "b_zero_point")
    product = reference.conv if is_conv else reference.matmul
    sums = product(x, w, spec, **dict(zip(names, points, strict=True)), **window)
    if op_type.endswith("Integer"):
        return sums
    column = (-1, 1, 1) if is_conv else (-1,)
    scales = requantization.product_scales(
        after["x_scale"], after["w_scale"], after.get("y_scale"), after.get("alpha", 1.0)
    ).reshape(column)
    if "bias" in after:
        sums = requantization.with_bias(sums, after["bias"].reshape(column))
    if "y_scale" in after:
        return requantization.quantized(sums, scales, after["y_zero_point"])
    bias = after.get("float_bias")
    return requantization.dequantized(sums, scales, None if bias is None else bias.reshape(column))


@pytest.mark.parametrize(("op_type", "x", "w", "per_channel"), FORMS)
def test_an_operator_of_integers_at_32_bits_gives_the_bits_of_onnxruntime(op_type, x, w, per_channel):
    for seed in range(3):
        case = operator_case(op_type, x, w, per_channel=per_channel, seed=seed)
        converted, report = lba_onnx.convert(case.model, "int32-wrap")
        assert [(entry.node, entry.element_type) for entry in report.converted] == [("node", f"{x}*{w}")]
        assert only_node(converted).op_type == f"Lba{op_type.split('-')[0]}"
        check_valid(converted)
        np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))


@pytest.mark.parametrize(("op_type", "x", "w", "per_channel"), FORMS)
@pytest.mark.parametrize("spec", ["int12-wrap", "int14-saturate"])
def test_an_operator_of_few_bits_gives_the_reference_and_the_same_steps_behind(op_type, x, w, per_channel, spec):
    case = operator_case(op_type, x, w, per_channel=per_channel)
    converted, _ = lba_onnx.convert(case.model, spec)
    expected = expected_output(case, spec, op_type)
    assert (expected != run(case.model, case.feeds)).any()
    for threads in (1, 2):
        found = run(converted, case.feeds, threads=threads)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    twin = ReferenceEvaluator(converted, new_ops=TWINS).run(None, case.feeds)[0]
    np.testing.assert_array_equal(twin, expected)


@pytest.mark.skipif(processor.has_vnni(), reason="this processor has VNNI")
@pytest.mark.skipif("avx2" not in processor.flags(), reason="this processor has no AVX2")
@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_the_uint8_operand_of_conv_integer_without_vnni(channels):
    """As docs/numerics.md tells: of an int8 image and uint8 filters, pairs of a filter's products saturate."""
    draw, kernel, zero = Draw(4), (3, 2), np.int8(-100)
    x, w = draw.codes("int8", 2, channels, 6, 5), draw.codes("uint8", 7, channels, *kernel)
    node = helper.make_node("ConvInteger", ["x", "w", "zero"], ["y"], pads=[1, 1, 1, 1])
    model = make_model([node], {"x": (np.int8, x.shape)}, {"w": w, "zero": zero}, ("y", np.int32))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=zero)
    patches = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3)).transpose(0, 1, 4, 5, 2, 3)
    columns = np.ascontiguousarray(patches.reshape(len(x), w[0].size, -1))
    saturated, exact = (
        np.stack([reference.matmul(w.reshape(len(w), -1), c, spec, b_zero_point=np.int64(zero)) for c in columns])
        for spec in ("x86-u8s8", "int32-wrap")
    )
    np.testing.assert_array_equal(run(model, {"x": x}).reshape(saturated.shape), saturated)
    assert (saturated != exact).any()


@pytest.mark.parametrize("w", ["uint8", "int8"])
@pytest.mark.parametrize(("zero_point", "bias"), list(itertools.product((True, False), repeat=2)))
def test_a_dynamic_product_becomes_a_quantizer_and_a_product(w, zero_point, bias):
    draw = Draw(3)
    a = (draw.rng.standard_normal((5, 33)) * 3 + 1).astype(np.float32)
    constants = {"b": draw.codes(w, 33, 6, beside="uint8"), "b_scale": draw.scale(6)}
    inputs = ["a", "b", "b_scale", "zero" if zero_point else "", "bias" if bias else ""]
    constants |= {"zero": draw.codes(w, 6)} if zero_point else {}
    constants |= {"bias": draw.rng.standard_normal(6).astype(np.float32)} if bias else {}
    while not inputs[-1]:
        inputs.pop()
    node = helper.make_node("DynamicQuantizeMatMul", inputs, ["y"], name="node", domain="com.microsoft")
    model = make_model([node], {"a": (np.float32, ["n", 33])}, constants, ("y", np.float32))
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert [node.op_type for node in converted.graph.node if node.op_type != "Constant"] == [
        "DynamicQuantizeLinear",
        "LbaMatMulIntegerToFloat",
    ]
    assert [(entry.op_type, entry.element_type) for entry in report.converted] == [
        ("com.microsoft.DynamicQuantizeMatMul", f"uint8*{w}")
    ]
    check_valid(converted)
    np.testing.assert_array_equal(run(converted, {"a": a}), run(model, {"a": a}))


QDQ_FORMS = [
    (op_type, x, w, per_channel, quantized)
    for op_type in ("Conv", "MatMul", "Gemm")
    for x, w in PAIRS
    for per_channel in (False, True)
    for quantized in (True, False)
]


@pytest.mark.parametrize(("op_type", "x", "w", "per_channel", "quantized"), QDQ_FORMS)
def test_a_quantized_float_node_gives_the_bits_of_what_onnxruntime_fuses(op_type, x, w, per_channel, quantized):
    names = {"Conv": ("LbaConvIntegerToFloat", "LbaQLinearConv"), "Gemm": ("LbaQGemm", "LbaQGemm")}
    expected = names.get(op_type, ("LbaMatMulIntegerToFloat", "LbaQLinearMatMul"))[quantized]
    for seed, zero_points in ((0, "drawn"), (1, "missing")):
        settings = {"per_channel": per_channel, "quantized": quantized, "seed": seed}
        case = quantize_dequantize_case(op_type, x, w, zero_points=zero_points, **settings)
        converted, report = lba_onnx.convert(case.model, "int32-wrap")
        assert [(entry.op_type, entry.element_type) for entry in report.converted] == [(op_type, f"{x}*{w}")]
        assert (only_node(converted).op_type, only_node(converted).name) == (expected, "node")
        left = {node.op_type for node in converted.graph.node if node.domain == ""} - {"Constant"}
        assert left == ({"DequantizeLinear"} if op_type == "Conv" and not quantized else set())
        check_valid(converted)
        found = run(converted, case.feeds)
        # of a Gemm, onnxruntime fuses one with zero points alone
        fused = quantize_dequantize_case(op_type, x, w, zero_points=zero_points.replace("missing", "zero"), **settings)
        if op_type != "Conv" or quantized:
            np.testing.assert_array_equal(found, run(fused.model, case.feeds))
        else:  # onnxruntime has no such operator, and multiplies floats
            np.testing.assert_allclose(found, run(fused.model, case.feeds), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("op_type", ["Conv", "MatMul", "Gemm"])
def test_a_converted_product_of_int8_does_not_depend_on_what_onnxruntime_may_fuse(op_type):
    case = quantize_dequantize_case(op_type, "int8", "int8")
    converted, options = lba_onnx.convert(case.model, "int32-wrap")[0], onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "0")
    unfused = lba_onnx.make_session(converted, options).run(None, case.feeds)[0]
    np.testing.assert_array_equal(unfused, run(converted, case.feeds))  # where it is 1


@pytest.mark.parametrize("op_type", ["QLinearConv", "QGemm", "QLinearMatMul"])
def test_ties_and_saturated_codes_are_those_of_onnxruntime(op_type):
    """Sums on both sides of each half, where another order of the scales or another rounding would show."""
    draw = Draw(7)
    outputs, is_conv = 4000, op_type == "QLinearConv"
    x_scale, w_scale, y_scale = draw.scale(), draw.scale(outputs), np.float32(1e5) * draw.scale()
    scale = (x_scale * w_scale) / y_scale
    halves = draw.rng.integers(-160, 161, outputs) + 0.5
    wanted = np.clip(np.rint(halves / scale.astype(np.float64)), -(2.0**31), 2.0**31 - 1000).astype(np.int64)
    bias = (wanted - 1).astype(np.int32)
    shapes = ((1, 1, 1), (outputs, 1, 1)) if is_conv else ((1, 1), (1, outputs))
    one = {"x": np.full(shapes[0], 1, np.int8), "w": np.ones(shapes[1], np.int8)}
    zero = np.zeros((), np.int8)
    constants = {
        "xs": x_scale, "xz": zero, "w": one["w"], "ws": w_scale, "wz": np.zeros(outputs, np.int8),
        "ys": y_scale, "yz": np.asarray(3, np.int8), "bias": bias,
    }  # fmt: skip
    behind = {"QLinearConv": ["ys", "yz", "bias"], "QGemm": ["bias", "ys", "yz"], "QLinearMatMul": ["ys", "yz"]}
    inputs = ["x", "xs", "xz", "w", "ws", "wz", *behind[op_type]]
    if op_type == "QLinearMatMul":  # without a bias: many sums, of which some are close to halves
        one = {"x": draw.codes("int8", 600, 60), "w": draw.codes("int8", 60, outputs)}
        constants["w"], constants["ys"] = one["w"], np.float32(3) * draw.scale()
    domain = "com.microsoft" if op_type == "QGemm" else ""
    node = helper.make_node(op_type, inputs, ["y"], name="node", domain=domain)
    used = {key: value for key, value in constants.items() if key in inputs}
    model = make_model([node], {"x": (np.int8, one["x"].shape)}, used, ("y", np.int8))
    found = run(lba_onnx.convert(model, "int32-wrap")[0], {"x": one["x"]})
    np.testing.assert_array_equal(found, run(model, {"x": one["x"]}))
    assert {-128, 127} <= set(np.unique(found).tolist())


@pytest.mark.parametrize("op_type", ["Conv", "MatMul", "Gemm"])
@pytest.mark.parametrize(("clamp", "zero_point", "is_idle"), [("Relu", 0, True), ("Clip", 0, True), ("Relu", 9, False)])
def test_a_relu_that_no_code_reaches_goes_as_in_onnxruntime(op_type, clamp, zero_point, is_idle):
    case = quantize_dequantize_case(op_type, "uint8", "int8", zero_points="zero")
    model, graph = case.model, case.model.graph
    for name, value in (("y_zero_point", np.uint8(zero_point)), ("y_scale", np.float32(6 / 255))):
        next(t for t in graph.initializer if t.name == name).CopyFrom(numpy_helper.from_array(np.asarray(value), name))
    graph.initializer.extend(numpy_helper.from_array(np.float32(v), n) for n, v in (("least", 0), ("most", 6)))
    graph.node[-1].input[0] = "clamped"
    bounds = ["least", "most"] if clamp == "Clip" else []
    graph.node.insert(len(graph.node) - 1, helper.make_node(clamp, ["yf", *bounds], ["clamped"]))
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    left = [node.op_type for node in converted.graph.node if node.domain == ""]
    assert (clamp not in left) == ("QuantizeLinear" not in left) == is_idle
    check_valid(converted)
    found, expected = run(converted, case.feeds), run(model, case.feeds)
    if is_idle:
        np.testing.assert_array_equal(found, expected)
    assert (np.abs(found.astype(int) - expected) <= 1).all() and len(np.unique(found)) > 2


def test_a_float_bias_is_not_rounded_to_the_scale_of_the_sums():
    """As docs/conversion.md tells: onnxruntime's optimizer rounds it to a multiple of 0.1 * 0.1."""
    constants = {
        "tenth": np.float32(0.1), "zero": np.uint8(0), "w": np.zeros((1, 1, 1, 1), np.uint8),
        "bias": np.float32([0.0144]), "y_scale": np.float32(0.004),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "tenth", "zero"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "tenth", "zero"], ["wf"]),
        helper.make_node("Conv", ["xf", "wf", "bias"], ["yf"]),
        helper.make_node("QuantizeLinear", ["yf", "y_scale", "zero"], ["y"]),
    ]
    model = make_model(nodes, {"x": (np.uint8, [1, 1, 1, 1])}, constants, ("y", np.uint8))
    feeds = {"x": np.zeros((1, 1, 1, 1), np.uint8)}
    converted = run(lba_onnx.convert(model, "int32-wrap")[0], feeds)
    assert converted.item() == run(model, feeds, optimized=False).item() == 4
    assert run(model, feeds).item() in (2, 4)  # by the version of onnxruntime


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("is_read", [True, False])
def test_weights_that_are_transposed_behind_their_dequantizer_are_transposed_as_codes(quantized, per_channel, is_read):
    draw = Draw(3)
    w_zero = np.zeros(6, np.int8) if per_channel else np.int8(0)
    constants = {
        "xs": draw.scale(), "xz": draw.codes("uint8"), "w": draw.codes("int8", 6, 20, beside="uint8"),
        "ws": draw.scale(6) if per_channel else draw.scale(), "wz": w_zero,
        "ys": draw.scale() * np.float32(32), "yz": draw.codes("uint8"),
    }  # fmt: skip
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("Transpose", ["wf"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["xf", "wt"], ["yf" if quantized else "y"], name="node"),
    ]
    if quantized:
        nodes.append(helper.make_node("QuantizeLinear", ["yf", "ys", "yz"], ["y"]))
    used = {key: value for key, value in constants.items() if quantized or key[0] != "y"}
    x = draw.codes("uint8", 2, 5, 20)
    model = make_model(nodes, {"x": (np.uint8, x.shape)}, used, ("y", np.uint8 if quantized else np.float32))
    if is_read:
        model.graph.output.append(helper.make_tensor_value_info("wt", onnx.TensorProto.FLOAT, [20, 6]))
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert not report.left
    kept = ["DequantizeLinear", "Transpose"] if is_read else []
    own = "LbaQLinearMatMul" if quantized else "LbaMatMulIntegerToFloat"
    assert [node.op_type for node in converted.graph.node] == [*kept, "Transpose", own]
    check_valid(converted)
    np.testing.assert_array_equal(run(converted, {"x": x}), run(model, {"x": x}))


@pytest.mark.parametrize(
    "op_type", ["QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger", "MatMulIntegerToFloat"]
)
def test_an_operator_of_integers_converts_in_a_function_whose_operands_are_all_inputs(op_type):
    case = operator_case(op_type, "uint8", "int8")
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = ["x", *(tensor.name for tensor in model.graph.initializer)]
    nodes, opsets = list(model.graph.node), list(model.opset_import)
    model.functions.append(helper.make_function("mine", "Layer", names, ["y"], nodes, opsets))
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Layer", names, ["y"], domain="mine"))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    converted, report = lba_onnx.convert(model, "int32-wrap")
    if op_type == "QGemm":  # it might have several rows
        assert [entry.reason for entry in report.left] == ["the shape of the bias 'bias' is not known"]
        return
    assert [entry.location for entry in report.converted] == ["function mine:Layer"]
    np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))
