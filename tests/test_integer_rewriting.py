"""What changes around integer nodes, what the ledger says of those that are left, and what is refused."""

import json

import numpy as np
import onnx
import pytest
from integer_models import PAIRS, Draw, make_model, operator_case, quantize_dequantize_case, run
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from lba_onnx.errors import ModelError, SelectionError
from lba_onnx.rewrite import ModelFile, Selection, list_candidates
from lba_onnx.rewrite.specs import change_specs, read_specs


def op_types(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.op_type != "Constant"]


def check_valid(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, strict_mode=True)


def left_reason(model: onnx.ModelProto, spec: str = "int16-wrap") -> str:
    converted, report = lba_onnx.convert(model, spec)
    (entry,) = report.left
    assert not report.converted
    assert op_types(converted) == op_types(model)
    return entry.reason


def changed(case, constants=None, nodes=None) -> onnx.ModelProto:
    """Return the model of a case with other constants, and with nodes changed by name."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for tensor in model.graph.initializer:
        if tensor.name in (constants or {}):
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(constants[tensor.name]), tensor.name))
    for node in model.graph.node:
        if node.name in (nodes or {}):
            nodes[node.name](node)
    return model


@pytest.mark.parametrize("op_type", ["Conv", "MatMul", "Gemm"])
def test_an_accumulator_of_floats_takes_a_quantized_node_as_before(op_type):
    case = quantize_dequantize_case(op_type, "uint8", "int8")
    converted, report = lba_onnx.convert(case.model, "M7E4b10")
    assert [(entry.op_type, entry.element_type) for entry in report.converted] == [(op_type, "float32")]
    assert [o for o in op_types(converted) if o.startswith("Lba")] == [f"Lba{op_type}"]
    assert op_types(converted).count("DequantizeLinear") == op_types(case.model).count("DequantizeLinear")


def test_a_dequantizer_with_other_readers_stays_for_them():
    case = quantize_dequantize_case("MatMul", "uint8", "int8")
    model = changed(case)
    model.graph.node.append(helper.make_node("Relu", ["xf"], ["other"], name="reader"))
    model.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [None, None]))
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    assert op_types(converted) == ["DequantizeLinear", "LbaQLinearMatMul", "Relu"]
    check_valid(converted)
    np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))


@pytest.mark.parametrize("reader", ["node", "output"])
def test_a_result_that_others_read_stays_in_float32(reader):
    case = quantize_dequantize_case("MatMul", "uint8", "int8")
    model = changed(case)
    name = "yf" if reader == "output" else "other"
    if reader == "node":
        model.graph.node.append(helper.make_node("Relu", ["yf"], ["other"], name="reader"))
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]))
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    assert op_types(converted)[:2] == ["LbaMatMulIntegerToFloat", "QuantizeLinear"]
    check_valid(converted)
    np.testing.assert_array_equal(run(converted, case.feeds), run(model, case.feeds))


def test_names_texts_and_types_of_values_are_kept():
    def describe(node):
        node.doc_string = "of the node"
        node.metadata_props.add(key="layer", value="first")

    case = quantize_dequantize_case("Conv", "uint8", "int8")
    model = changed(case, nodes={"node": describe})
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("xf", "wf", "yf")
    )
    converted, _ = lba_onnx.convert(model, "int16-wrap")
    (node,) = converted.graph.node
    assert (node.name, node.doc_string, node.metadata_props[0].value) == ("node", "of the node", "first")
    assert list(node.output) == ["y"] and not converted.graph.value_info
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert attributes == {"accumulator": b"int16-wrap", "pads": [1, 0, 1, 1], "strides": [1, 2]}
    assert [o.domain for o in converted.opset_import] == ["", "com.microsoft", "lba_onnx"]
    assert json.loads({p.key: p.value for p in converted.metadata_props}["lba_onnx.spec"]) == "int16-wrap"


def test_a_quantizer_whose_scale_is_made_behind_the_node_is_fused():
    case = quantize_dequantize_case("MatMul", "uint8", "int8")
    model = changed(case)
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "y_scale")
    constant = helper.make_node("Constant", [], ["y_scale"], value=scale)
    model.graph.initializer.remove(scale)
    model.graph.node.insert(len(model.graph.node) - 1, constant)
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    assert [node.op_type for node in converted.graph.node] == ["Constant", "LbaQLinearMatMul"]
    check_valid(converted)
    np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))


@pytest.mark.parametrize("op_type", ["Conv", "Gemm"])
@pytest.mark.parametrize("quantized", [True, False])
def test_a_float_bias_is_added_to_the_scaled_sums(op_type, quantized):
    case = quantize_dequantize_case(op_type, "uint8", "int8", bias="float32", quantized=quantized)
    converted, _ = lba_onnx.convert(case.model, "int32-wrap")
    own = ["LbaConvIntegerToFloat"] if op_type == "Conv" else ["LbaQGemm", "Add"]
    assert op_types(converted) == own + (["QuantizeLinear"] if quantized else [])
    check_valid(converted)
    expected = run(case.model, case.feeds, optimized=False)
    if quantized:
        assert (np.abs(run(converted, case.feeds).astype(int) - expected) <= 1).all()
    else:
        np.testing.assert_allclose(run(converted, case.feeds), expected, rtol=1e-4, atol=1e-4)


def test_gemm_scales_its_bias_with_alpha_as_onnxruntime_does():
    for alpha, trans in ((0.5, 0), (3.0, 1)):
        case = quantize_dequantize_case("Gemm", "uint8", "int8", attributes={"alpha": alpha, "transB": trans})
        constants = {"bias_scale": case.after["bias_scale"] * np.float32(alpha)}
        if trans:
            constants["w"] = np.ascontiguousarray(case.sums["w"].T)
        model = changed(case, constants)
        converted, _ = lba_onnx.convert(model, "int32-wrap")
        assert op_types(converted) == ["LbaQGemm"]
        np.testing.assert_array_equal(run(converted, case.feeds), run(model, case.feeds))


def set_attribute(name, value):
    return lambda node: node.attribute.append(helper.make_attribute(name, value))


def set_input(index, value):
    def change(node):
        node.input[index] = value

    return change


def quantize_with(dtype, op_type="MatMul", **others):
    case = quantize_dequantize_case(op_type, "uint8", "int8", opset=21, **others)
    draw = np.random.default_rng(0).integers(0, 100, case.sums["w"].shape).astype(dtype)
    return changed(case, {"w": draw, "w_zero_point": np.zeros((), dtype)})


LEFT = {
    "no dequantizers": (
        lambda: make_model(
            [helper.make_node("MatMul", ["x", "w"], ["y"], name="node")],
            {"x": (np.float32, [3, 4])}, {"w": np.ones((4, 2), np.float32)}, ("y", np.float32),
        ),
        "multiplies floats: no operand comes from DequantizeLinear; expected both",
    ),
    "one dequantizer": (
        lambda: make_model(
            [
                helper.make_node("DequantizeLinear", ["w", "s"], ["wf"]),
                helper.make_node("MatMul", ["x", "wf"], ["y"], name="node"),
            ],
            {"x": (np.float32, [3, 4])}, {"w": np.ones((4, 2), np.int8), "s": np.float32(1)}, ("y", np.float32),
        ),
        "multiplies floats: one operand comes from DequantizeLinear; expected both",
    ),
    "16 bits": (lambda: quantize_with(np.int16), "multiplies uint8*int16; expected operands of uint8 or int8"),
    "scales along the depth": (
        lambda: changed(
            quantize_dequantize_case("Conv", "uint8", "int8", bias="none"),
            {"w_scale": np.ones(3, np.float32), "w_zero_point": np.zeros(3, np.int8)},
            {"w_dq": lambda node: node.attribute.__getitem__(0).CopyFrom(helper.make_attribute("axis", 1))},
        ),
        "'w' has scales along axis 1; expected axis 0, that of the outputs",
    ),
    "scales of the first operand": (
        lambda: changed(
            quantize_dequantize_case("MatMul", "uint8", "int8"),
            {"x_scale": np.ones(37, np.float32), "x_zero_point": np.zeros(37, np.uint8)},
        ),
        "'x' has scales along axis 1; expected one scale for the first operand",
    ),
    "scales of float16": (
        lambda: changed(
            quantize_dequantize_case("MatMul", "uint8", "int8", opset=21, quantized=False),
            {"x_scale": np.float16(0.1), "w_scale": np.float16(0.1)},
        ),
        "'x_scale' is of float16; expected float32",
    ),
    "blocked scales": (
        lambda: changed(
            quantize_dequantize_case("MatMul", "uint8", "int8", zero_points="missing", opset=21),
            {"w_scale": np.ones((1, 10), np.float32)},
            {"w_dq": lambda node: (node.attribute.__getitem__(0).CopyFrom(helper.make_attribute("axis", 0)),
                                   node.attribute.append(helper.make_attribute("block_size", 37)))},
        ),
        "'w' has a scale for each block; expected one a tensor or channel",
    ),
    "another bias scale": (
        lambda: changed(quantize_dequantize_case("Conv", "uint8", "int8"), {"bias_scale": np.float32(0.1)}),
        "the bias 'bias' has another scale than the product of those of the operands",
    ),
    "beta of a float bias": (
        lambda: quantize_dequantize_case("Gemm", "uint8", "int8", bias="float32", attributes={"beta": 0.5}).model,
        "its bias is float32, with a beta of 0.5; expected 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_has_its_reason_and_is_an_error_where_it_is_named(name):
    make, reason = LEFT[name]
    model = make()
    assert left_reason(model) == reason
    with pytest.raises(SelectionError, match="spec: node 'node' cannot take int16-wrap: ") as error:
        lba_onnx.convert(model, {"node": "int16-wrap"})
    assert str(error.value).endswith(reason)
    with pytest.raises(SelectionError, match="nodes_to_convert: 'node' cannot be converted: "):
        lba_onnx.convert(model, "int16-wrap", selection=Selection(nodes_to_convert=["node"]))


def dynamic_model(op_type: str):
    """Return a model whose first operand is quantized as it comes, and the arrays that are in it."""
    case = quantize_dequantize_case(op_type, "uint8", "int8", quantized=False)
    model = changed(case)
    for name in ("x_scale", "x_zero_point"):
        model.graph.initializer.remove(next(t for t in model.graph.initializer if t.name == name))
    made = ["x", "x_scale", "x_zero_point"]
    model.graph.node.insert(0, helper.make_node("DynamicQuantizeLinear", ["values"], made, name="quantize"))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("values", TensorProto.FLOAT, case.feeds["x"].shape))
    return model


def test_scales_that_are_computed_serve_where_no_bias_needs_them():
    model = dynamic_model("MatMul")
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    assert op_types(converted) == ["DynamicQuantizeLinear", "LbaMatMulIntegerToFloat"]
    values = {"values": Draw(2).rng.standard_normal((7, 37)).astype(np.float32)}
    np.testing.assert_array_equal(run(converted, values), run(model, values))
    reason = "the scales of its operands and of its bias are not constant; expected constants beside a bias"
    assert left_reason(dynamic_model("Gemm")) == reason


def test_an_accumulator_of_the_other_sort_leaves_a_node_and_is_an_error_where_it_is_named():
    case = operator_case("QLinearConv", "uint8", "int8")
    reason = "multiplies integers; expected an accumulator of integers, such as int32-wrap"
    assert left_reason(case.model, "M7E4b10") == reason
    with pytest.raises(SelectionError, match="spec: node 'node' cannot take M7E4b12/M7E4b10: multiplies integers"):
        lba_onnx.convert(case.model, {"node": "M7E4b10"})


@pytest.mark.parametrize("op_type", ["ConvInteger", "MatMulInteger"])
def test_sums_of_more_than_32_bits_are_no_result_of_int32(op_type):
    case = operator_case(op_type, "uint8", "int8")
    reason = "its result is int32; sums of int40-wrap are int64"
    assert left_reason(case.model, "int40-wrap") == reason
    wide = operator_case(op_type.replace("Integer", "IntegerToFloat") if "MatMul" in op_type else "QLinearConv",
                         "uint8", "int8")  # fmt: skip
    converted, _ = lba_onnx.convert(wide.model, "int40-wrap")
    np.testing.assert_array_equal(run(converted, wide.feeds), run(wide.model, wide.feeds))


def test_missing_zero_points_become_zeros():
    draw = Draw(1)
    codes = {"b": draw.codes("int8", 20, 5), "b_zero_point": draw.codes("int8", 5)}
    node = helper.make_node("MatMulInteger", ["a", "b", "", "b_zero_point"], ["y"], name="node")
    model = make_model([node], {"a": (np.uint8, [3, 20])}, codes, ("y", np.int32))
    converted, _ = lba_onnx.convert(model, "int32-wrap")
    assert "" not in converted.graph.node[-1].input
    a = draw.codes("uint8", 3, 20)
    expected = a.astype(np.int32) @ (codes["b"].astype(np.int32) - codes["b_zero_point"])
    np.testing.assert_array_equal(run(converted, {"a": a}), expected)


def mixed_model() -> onnx.ModelProto:
    """Return a model of a quantized MatMul, and a MatMul of floats behind it."""
    case = quantize_dequantize_case("MatMul", "uint8", "int8", quantized=False)
    model = changed(case)
    model.graph.node[-1].output[0] = "between"
    model.graph.node.append(helper.make_node("MatMul", ["between", "v"], ["y"], name="float"))
    v = np.random.default_rng(3).standard_normal((10, 4)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(v, "v"))
    return model


def test_nodes_of_both_sorts_are_converted_in_two_steps_or_by_a_mapping():
    model = mixed_model()
    first, report = lba_onnx.convert(model, "int16-wrap")
    assert [(e.node, e.element_type) for e in report.converted] == [("node", "uint8*int8")]
    assert [e.reason for e in report.left] == [LEFT["no dequantizers"][1]]
    second, report = lba_onnx.convert(first, "M7E4b10")
    assert [(e.node, e.element_type, e.reason) for e in report.entries] == [
        ("node", "uint8*int8", "already converted"),
        ("float", "float32", ""),
    ]
    at_once, _ = lba_onnx.convert(model, {"node": "int16-wrap", "float": "M7E4b10"})
    assert at_once.graph == second.graph
    x = Draw(9).codes("uint8", 7, 37)
    assert run(second, {"x": x}).shape == (7, 4)
    assert {name: str(spec) for name, spec in read_specs(second).items()} == {
        "node": "int16-wrap",
        "float": "M7E4b12/M7E4b10",
    }


def test_specs_of_converted_nodes_change_within_their_sort():
    case = operator_case("QLinearMatMul", "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int8-wrap")
    again = change_specs(converted, lambda name, spec: "int32-wrap")
    np.testing.assert_array_equal(run(again, case.feeds), run(case.model, case.feeds))
    with pytest.raises(ModelError, match="spec of node 'node': expected an accumulator of integers.*, got M7E4b12"):
        change_specs(converted, lambda name, spec: "M7E4b10")
    floats, _ = lba_onnx.convert(mixed_model(), "M7E4b10")
    with pytest.raises(ModelError, match="spec of node 'node': expected an accumulator of floats.*, got int16-wrap"):
        change_specs(floats, lambda name, spec: "int16-wrap")


def test_candidates_show_what_either_sort_would_convert():
    entries = list_candidates(mixed_model()).entries
    assert [(e.element_type, e.reason) for e in entries] == [("float32 or uint8*int8", ""), ("float32", "")]
    (entry,) = list_candidates(operator_case("QGemm", "int8", "int8").model).entries
    assert (entry.op_type, entry.element_type, entry.reason) == ("com.microsoft.QGemm", "int8*int8", "")


def test_operator_types_select_integer_nodes():
    case = operator_case("QGemm", "int8", "int8")
    _, report = lba_onnx.convert(case.model, "int16-wrap", selection=Selection(op_types_to_convert=["QGemm"]))
    assert len(report.converted) == 1
    _, report = lba_onnx.convert(case.model, "int16-wrap", selection=Selection(op_types_to_convert=["Gemm"]))
    assert report.left[0].reason == "operator type not in op_types_to_convert (Gemm)"


@pytest.mark.parametrize(
    "case",
    [
        *(operator_case(name, "uint8", "int8") for name in ("QLinearConv", "QLinearMatMul", "QGemm", "QGemm-float")),
        *(operator_case(name, "uint8", "int8") for name in ("ConvInteger", "MatMulInteger", "MatMulIntegerToFloat")),
        *(quantize_dequantize_case(name, "uint8", "int8") for name in ("Conv", "MatMul", "Gemm")),
        quantize_dequantize_case("Conv", "uint8", "int8", quantized=False, bias="float32", per_channel=True),
        quantize_dequantize_case("Conv", "uint8", "int8", quantized=False, bias="none"),
        quantize_dequantize_case("Conv", "uint8", "int8", quantized=False, per_channel=True, zero_points="missing"),
        quantize_dequantize_case("Gemm", "uint8", "int8", quantized=False, per_channel=True, zero_points="missing"),
    ],
    ids=lambda case: "-".join(op_types(case.model)),
)
def test_a_portable_model_gives_the_sums_of_32_bits_without_the_library(case):
    import onnxruntime

    converted, _ = lba_onnx.convert(case.model, "int32-wrap", portable=True)
    assert [function.domain for function in converted.functions] == ["lba_onnx"]
    onnx.checker.check_model(converted)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(converted.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found, expected = session.run(None, case.feeds)[0], run(converted, case.feeds)
    if "LbaConvIntegerToFloat" in op_types(converted):  # the convolution of floats that it stands for
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("x", "w"), PAIRS)
def test_integer_nodes_of_subgraphs_convert_with_weights_of_the_graph_around(x, w):
    case = quantize_dequantize_case("MatMul", x, w)
    model = changed(case)
    inner = [node for node in model.graph.node if node.name != "w_dq"]
    outer = [node for node in model.graph.node if node.name == "w_dq"]
    dtype = model.graph.output[0].type.tensor_type.elem_type
    branches = []
    for name in ("then", "else"):
        graph = helper.make_graph(inner, name, [], [helper.make_tensor_value_info("y", dtype, [None, None])])
        branches.append(graph)
        for node in graph.node:
            node.name += f"_{name}"
    del model.graph.node[:]
    model.graph.node.extend(outer)
    node = helper.make_node("If", ["flag"], ["y"], name="if", then_branch=branches[0], else_branch=branches[1])
    model.graph.node.append(node)
    model.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, []))
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert [entry.location for entry in report.converted] == ["main/if:else_branch", "main/if:then_branch"]
    assert op_types(converted) == ["If"]
    check_valid(converted)
    feeds = {**case.feeds, "flag": np.array(True)}
    np.testing.assert_array_equal(run(converted, feeds), run(case.model, case.feeds))


def function_model(case, inside) -> onnx.ModelProto:
    """Return the model with its nodes in a function, and in it the constants whose names are given."""
    constants = [tensor for tensor in case.model.graph.initializer if tensor.name in inside]
    names = ["x", *(tensor.name for tensor in case.model.graph.initializer if tensor.name not in inside)]
    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in constants]
    nodes += case.model.graph.node
    model = changed(case)
    model.functions.append(helper.make_function("mine", "Layer", names, ["y"], nodes, [helper.make_opsetid("", 17)]))
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Layer", names, ["y"], domain="mine"))
    model.opset_import.append(helper.make_opsetid("mine", 1))
    return model


@pytest.mark.parametrize("op_type", ["MatMul", "Conv"])
def test_integer_nodes_of_functions_convert(op_type):
    case = quantize_dequantize_case(op_type, "uint8", "int8")
    inside = {name for name in case.after if name.endswith("scale")}
    model = function_model(case, inside)
    converted, report = lba_onnx.convert(model, "int32-wrap")
    assert [(entry.location, entry.element_type) for entry in report.converted] == [
        ("function mine:Layer", "uint8*int8")
    ]
    own = [node.op_type for node in converted.functions[0].node if node.op_type != "Constant"]
    assert own == [f"LbaQLinear{op_type}", "Cast"]
    onnx.checker.check_model(converted)
    np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))
    unknown = function_model(case, set())
    assert left_reason(unknown) == "the shape of the scale 'x_scale' is not known"


def test_scales_in_external_data_are_read_where_a_bias_needs_them(tmp_path):
    case = quantize_dequantize_case("Conv", "uint8", "int8", per_channel=True)
    onnx.save_model(
        changed(case), tmp_path / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0,
        convert_attribute=False,
    )  # fmt: skip
    output = ModelFile(tmp_path / "converted.onnx", use_external_data_format=True)
    _, report = lba_onnx.convert(tmp_path / "model.onnx", "int32-wrap", model_output=output)
    assert len(report.converted) == 1
    converted = onnx.load(tmp_path / "converted.onnx")
    assert op_types(converted) == ["LbaQLinearConv"]
    np.testing.assert_array_equal(run(converted, case.feeds), run(case.model, case.feeds))


@pytest.mark.parametrize(
    ("op_type", "spec", "reason"),
    [
        ("QLinearConv", "M7E4b10", "node 'node' \\(LbaQLinearConv\\): expected an accumulator of integers"),
        ("ConvInteger", "int40-wrap", "node 'node' \\(LbaConvInteger\\): expected an accumulator whose sums are int32"),
    ],
)
def test_a_node_refuses_an_accumulator_that_it_cannot_have(op_type, spec, reason):
    case = operator_case(op_type, "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "int16-wrap")
    for attribute in converted.graph.node[-1].attribute:
        if attribute.name == "accumulator":
            attribute.s = spec.encode()
    with pytest.raises(Exception, match=reason):
        lba_onnx.make_session(converted)


@pytest.mark.parametrize("op_type", ["MatMul", "Conv", "Gemm"])
def test_a_node_of_floats_refuses_an_accumulator_of_integers(op_type):
    case = quantize_dequantize_case(op_type, "uint8", "int8")
    converted, _ = lba_onnx.convert(case.model, "M7E4b10")
    for node in converted.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accumulator":
                attribute.s = b"int16-wrap"
    with pytest.raises(Exception, match=f"node 'node' \\(Lba{op_type}\\): expected an accumulator of floats"):
        lba_onnx.make_session(converted)
