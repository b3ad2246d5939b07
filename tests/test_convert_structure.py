"""The converted model as a graph: what is replaced, what stays, what it says about itself, and the ledger."""

import json
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewrite_models import (
    BOOL,
    DOUBLE,
    FLOAT,
    SPEC,
    block_function,
    matmul_model,
    model_of,
    nested_model,
    value,
    weights,
)
from rich.console import Console

from lba_onnx import Selection
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.registry import from_json
from lba_onnx.errors import ModelError
from lba_onnx.rewrite import convert, converted_nodes, list_candidates


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def operators(body: onnx.GraphProto | onnx.FunctionProto) -> list[str]:
    return [f"{node.domain}.{node.op_type}" if node.domain else node.op_type for node in body.node]


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def test_node_becomes_its_twin_with_the_spec_as_attributes():
    source = matmul_model()
    before = source.SerializeToString()
    model, _ = convert(source, AccumulatorSpec.parse("M7E4b12/M6E4b10,chunk=none,underflow=off"))
    (node,) = model.graph.node
    assert (node.op_type, node.domain, node.name) == ("LbaMatMul", "lba_onnx", "product")
    assert attributes_of(node) == {"accumulator": b"M7E4b12/M6E4b10,chunk=none,underflow=off"}
    assert source.SerializeToString() == before
    onnx.checker.check_model(model)


def test_conversion_changes_nothing_else():
    source = matmul_model(doc_string="told", producer_name="someone")
    node = source.graph.node[0]
    node.doc_string = "the product"
    node.metadata_props.add(key="origin", value="layer 3")
    source.graph.value_info.append(value("somewhere", FLOAT, ["any", None, 3]))
    source.graph.quantization_annotation.add(tensor_name="x")
    source.graph.metadata_props.add(key="graph", value="kept")
    source.metadata_props.add(key="author", value="kept")
    sparse = source.graph.sparse_initializer.add(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "sparse"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([0, 5])))
    model, _ = convert(source, SPEC)

    restored = onnx.ModelProto()
    restored.CopyFrom(model)
    restored.graph.node[0].op_type = "MatMul"
    restored.graph.node[0].ClearField("domain")
    if source.graph.node[0].HasField("domain"):
        restored.graph.node[0].domain = ""
    del restored.graph.node[0].attribute[:]
    del restored.metadata_props[1:]
    del restored.opset_import[len(source.opset_import) :]
    assert restored == source


def test_attributes_of_the_operator_stay():
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["h"], alpha=0.5, beta=2.0, transB=1)
    conv = helper.make_node("Conv", ["i", "k", ""], ["y"], auto_pad="SAME_UPPER", strides=[2, 1], group=2)
    inputs = [value("x"), value("i", shape=[1, 2, 5, 5])]
    initializers = [weights("w"), weights("b", [4]), weights("k", [2, 1, 3, 3])]
    model, _ = convert(model_of([gemm, conv], inputs, [value("y", shape=None)], initializers), SPEC)
    assert operators(model.graph) == ["lba_onnx.LbaGemm", "lba_onnx.LbaConv"]
    assert attributes_of(model.graph.node[0]).items() >= {"alpha": 0.5, "beta": 2.0, "transB": 1}.items()
    kept = attributes_of(model.graph.node[1])
    assert (kept["auto_pad"], kept["strides"], kept["group"]) == (b"SAME_UPPER", [2, 1], 2)
    assert list(model.graph.node[1].input) == ["i", "k"]  # the empty optional input is dropped


def test_ai_onnx_spelling_of_the_default_domain_is_taken():
    model = matmul_model()
    model.graph.node[0].domain = "ai.onnx"
    assert operators(convert(model, SPEC)[0].graph) == ["lba_onnx.LbaMatMul"]


def test_broadcast_attribute_of_old_gemm_is_dropped():
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], broadcast=1)
    model, _ = convert(model_of([node], initializers=[weights("w"), weights("b", [4])], opset=6), SPEC)
    assert "broadcast" not in attributes_of(model.graph.node[0])


def test_subgraphs_are_converted_in_place():
    model, report = convert(nested_model(), SPEC)
    outer = {a.name: a.g for a in model.graph.node[0].attribute}
    inner = {a.name: a.g for a in outer["then_branch"].node[0].attribute}
    assert operators(inner["then_branch"]) == ["lba_onnx.LbaMatMul"] * 2
    assert operators(outer["else_branch"]) == ["lba_onnx.LbaMatMul"]
    assert len(report.converted) == 3
    onnx.checker.check_model(model)


def test_function_is_converted_and_imports_the_operator_set():
    call = helper.make_node("Block", ["x", "w"], ["y"], domain="my")
    model, _ = convert(model_of([call], initializers=[weights("w")], functions=[block_function()]), SPEC)
    (function,) = model.functions
    assert operators(function) == ["Transpose", "lba_onnx.LbaMatMul", "Cast"]
    assert attributes_of(function.node[2]) == {"to": FLOAT} and list(function.node[2].output) == ["c"]
    assert {o.domain: o.version for o in function.opset_import} == {"": 17, "lba_onnx": 1}
    assert {o.domain: o.version for o in model.opset_import}["lba_onnx"] == 1
    onnx.checker.check_model(model)


def test_attribute_references_in_functions_stay():
    conv = helper.make_node("Conv", ["a", "b"], ["c"])
    conv.attribute.add(name="strides", ref_attr_name="steps", type=onnx.AttributeProto.INTS)
    function = helper.make_function(
        "my", "Strided", ["a", "b"], ["c"], [conv], [helper.make_opsetid("", 17)], attributes=["steps"]
    )
    call = helper.make_node("Strided", ["x", "w"], ["y"], domain="my", steps=[2, 2])
    shape = [1, 1, 8, 8]
    source = model_of(
        [call], [value("x", shape=shape)], [value("y", shape=None)], [weights("w", [1, 1, 3, 3])], [function]
    )
    model, _ = convert(source, SPEC)
    assert model.functions[0].node[0].attribute[0].ref_attr_name == "steps"


@pytest.mark.parametrize("element_type", [DOUBLE, TensorProto.BFLOAT16])
def test_float64_and_bfloat16_get_casts_and_keep_the_output_name(element_type: int):
    source = model_of(
        [
            helper.make_node("Identity", ["x"], ["i"]),
            helper.make_node("Gemm", ["i", "i", "x"], ["y"], name="gemm"),
            helper.make_node("Identity", ["y"], ["z"]),
        ],
        [value("x", element_type, [4, 4])],
        [value("y", element_type, [4, 4]), value("z", element_type, [4, 4])],
    )
    model, report = convert(source, SPEC)
    assert operators(model.graph) == ["Identity", "Cast", "Cast", "lba_onnx.LbaGemm", "Cast", "Identity"]
    first, second, gemm, back = model.graph.node[1:5]
    assert gemm.name == "gemm"
    assert list(gemm.input) == [first.output[0], first.output[0], second.output[0]]
    assert list(back.input) == list(gemm.output) and list(back.output) == ["y"]
    assert attributes_of(first) == {"to": FLOAT} and attributes_of(back) == {"to": element_type}
    assert report.converted[0].reason.endswith("operands, cast to float32 and back")
    onnx.checker.check_model(model, full_check=False)


def test_cast_names_never_collide():
    source = matmul_model(np.float64)
    source.graph.node.add(op_type="Identity", input=["x"], output=["x_float32"], name="product_cast_0")
    model, _ = convert(source, SPEC)
    names = [node.name for node in model.graph.node]
    outputs = [output for node in model.graph.node for output in node.output]
    assert len(set(names)) == len(names) and len(set(outputs)) == len(outputs)
    onnx.checker.check_model(model)


def test_casts_go_where_the_node_lives():
    function = block_function()
    call = helper.make_node("Block", ["x", "x"], ["y"], domain="my")
    source = model_of([call], [value("x", DOUBLE)], [value("y", DOUBLE)], functions=[function])
    model, _ = convert(source, SPEC)
    assert operators(model.functions[0]) == ["Transpose", "Cast", "Cast", "lba_onnx.LbaMatMul", "Cast"]
    onnx.checker.check_model(model)


def test_function_called_with_two_types_casts_like_its_operand():
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Block", ["x", "x"], ["y"], domain="my"),
        helper.make_node("Block", ["h", "h"], ["z"], domain="my"),
    ]
    source = model_of(nodes, functions=[block_function()])
    model, _ = convert(source, SPEC)
    assert operators(model.functions[0]) == ["Transpose", "lba_onnx.LbaMatMul", "CastLike"]
    onnx.checker.check_model(model)
    source.functions[0].opset_import[0].version = 14
    _, report = convert(source, SPEC)
    assert "float16 and float32 in a function takes a Cast of opset 15" in report.left[0].reason.replace(
        "float32 and float16", "float16 and float32"
    )


def test_float64_before_the_cast_of_opset_6_is_left():
    node = helper.make_node("MatMul", ["x", "x"], ["y"], name="old")
    _, report = convert(model_of([node], [value("x", DOUBLE)], [value("y", DOUBLE)], opset=5), SPEC)
    assert "takes a Cast of opset 6 behind the node, got opset 5" in report.left[0].reason


def test_metadata_says_version_spec_and_options():
    model, _ = convert(matmul_model(), SPEC, selection=Selection(nodes_to_exclude=[], op_types_to_convert=["MatMul"]))
    entries = metadata(model)
    assert entries["lba_onnx.version"]
    assert AccumulatorSpec.parse(json.loads(entries["lba_onnx.spec"])) == SPEC
    assert json.loads(entries["lba_onnx.options"]) == {
        "nodes_to_exclude": [],
        "nodes_to_convert": [],
        "op_types_to_convert": ["MatMul"],
        "portable": False,
    }
    assert json.loads(entries["lba_onnx.versions"])["onnx"] == onnx.__version__
    assert "lba_onnx.provenance" not in entries


def test_metadata_keeps_where_the_specs_come_from():
    model, _ = convert(matmul_model(), SPEC, provenance={"method": "max", "data_sha256": "ab"})
    assert json.loads(metadata(model)["lba_onnx.provenance"]) == {"method": "max", "data_sha256": "ab"}


def test_metadata_lists_specs_that_differ_by_node():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="first"),
        helper.make_node("MatMul", ["a", "a"], ["y"], name="second"),
    ]
    specs = {"first": SPEC, "second": AccumulatorSpec.parse("M3E4b8,chunk=none")}
    model, _ = convert(model_of(nodes), specs)
    written = json.loads(metadata(model)["lba_onnx.spec"])
    assert {name: AccumulatorSpec.parse(text) for name, text in written.items()} == specs


def test_converting_twice_leaves_converted_nodes():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="first"),
        helper.make_node("Gemm", ["a", "a"], ["y"], name="second"),
    ]
    once, _ = convert(model_of(nodes), SPEC, selection=Selection(op_types_to_convert=["MatMul"]))
    other = AccumulatorSpec.parse("M3E4b8")
    twice, report = convert(once, other)
    assert [entry.reason for entry in report.left] == ["already converted"]
    assert report.specs == {"first": SPEC, "second": other}
    assert report.entries[1].element_type == "float32"  # inference sees through converted nodes
    assert len([o for o in twice.opset_import if o.domain == "lba_onnx"]) == 1
    assert len({entry.key for entry in twice.metadata_props}) == len(twice.metadata_props)
    onnx.checker.check_model(twice)


def test_converted_nodes_are_the_models_own():
    model, report = convert(nested_model(), SPEC)
    found = dict(converted_nodes(model))
    assert list(found) == [entry.node for entry in report.converted]
    found["plain"].attribute.append(helper.make_attribute("statistics", "key"))
    branches = {a.name: a.g for a in model.graph.node[0].attribute}
    assert attributes_of(branches["else_branch"].node[0])["statistics"] == b"key"


def test_nothing_converted_adds_no_operator_set():
    model, report = convert(matmul_model(), {})
    assert not report.converted
    assert all(o.domain != "lba_onnx" for o in model.opset_import)


def test_converted_node_with_broken_attributes_is_an_error():
    model, _ = convert(matmul_model(), SPEC)
    model.graph.node[0].attribute[0].s = b"M99E4b1"
    with pytest.raises(ModelError, match="node 'product' in main: attribute accumulator: expected mantissa_bits"):
        list_candidates(model)


def test_portable_model_carries_one_function_per_operator():
    model, _ = convert(matmul_model(ir_version=7), SPEC, portable=True)
    (function,) = model.functions
    assert (function.domain, function.name, operators(function)) == ("lba_onnx", "LbaMatMul", ["MatMul"])
    assert model.ir_version == 8
    onnx.checker.check_model(model)
    again, _ = convert(model, SPEC, portable=True)
    assert len(again.functions) == 1


def test_portable_model_keeps_initializers_constant():
    source = matmul_model(ir_version=3, opset=9)
    source.graph.input.append(value("w", shape=[4, 4]))
    model, _ = convert(source, SPEC, portable=True)
    assert [graph_input.name for graph_input in model.graph.input] == ["x"]
    plain, _ = convert(source, SPEC)
    assert (plain.ir_version, len(plain.graph.input)) == (3, 2)


def test_portable_model_of_an_old_opset_is_an_error():
    with pytest.raises(ModelError, match="opset 7 or newer, got 6"):
        convert(matmul_model(opset=6), SPEC, portable=True)


def test_report_is_json_and_a_table():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="[bold]first"),
        helper.make_node("Einsum", ["a"], ["y"], name="second", equation="ij->ij"),
    ]
    _, report = convert(model_of(nodes), SPEC)
    ledger = json.loads(json.dumps(report.to_json()))
    assert (ledger["converted"], ledger["left"]) == (1, 1)
    assert ledger["counts"] == {"MatMul": {"converted": 1, "left": 0}, "Einsum": {"converted": 0, "left": 1}}
    assert from_json(ledger["nodes"][0]["spec"]) == SPEC
    assert ledger["nodes"][1]["spec"] is None and ledger["nodes"][1]["reason"]
    assert report.summary() == "1 of 2 nodes converted (MatMul 1), 1 left (Einsum 1)"
    console = Console(width=200)
    with console.capture() as capture:
        console.print(report.table())
    assert "[bold]first" in capture.get() and report.summary() in capture.get()


def test_listing_says_what_is_convertible():
    report = list_candidates(nested_model())
    assert report.summary() == "3 of 3 nodes convertible (MatMul 3)"
    assert len(report.convertible) == 3


def test_condition_type_is_untouched():
    model, _ = convert(nested_model(), SPEC)
    assert model.graph.input[1].type.tensor_type.elem_type == BOOL
