"""The ledger of a model: what is found, where, with which weights and element types, and what is refused and why."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewrite_models import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT64,
    block_function,
    branch,
    matmul_model,
    model_of,
    nested_model,
    value,
    weights,
)

from lba_onnx.errors import ModelError
from lba_onnx.rewrite import LedgerEntry, list_candidates


def only_entry(model: onnx.ModelProto) -> LedgerEntry:
    (entry,) = list_candidates(model)
    return entry


def weights_of(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto], **kwargs: object) -> str:
    model = model_of([*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])], initializers=initializers, **kwargs)
    return only_entry(model).weights


def test_main_graph_node_has_its_name_location_and_initializer():
    entry = only_entry(matmul_model())
    assert (entry.node, entry.op_type, entry.location) == ("product", "MatMul", "main")
    assert (entry.weights, entry.element_type, entry.reason) == ("initializer 'w'", "float32", "")
    assert not entry.converted and entry.spec is None


def test_subgraphs_are_searched_at_any_depth():
    located = {
        entry.node: (entry.location, entry.weights, entry.element_type) for entry in list_candidates(nested_model())
    }
    then = "main/If_0:then_branch/inner_if:then_branch"
    assert located == {
        "by_outer": (then, "outer-scope initializer 'w'", "float32"),
        "by_own": (then, "initializer 'v'", "float32"),
        "plain": ("main/If_0:else_branch", "dynamic", "float32"),
    }


def test_loop_and_scan_bodies_are_searched():
    loop_body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"], name="in_loop"),
            helper.make_node("Identity", ["keep"], ["go_on"]),
        ],
        "loop_body",
        [value("i", INT64, []), value("keep", BOOL, []), value("state")],
        [value("go_on", BOOL, []), value("next")],
    )
    scan_body = helper.make_graph(
        [
            helper.make_node("Gemm", ["element", "w"], ["product"], name="in_scan"),
            helper.make_node("Add", ["product", "sum_in"], ["sum_out"]),
        ],
        "scan_body",
        [value("sum_in", shape=[4, 4]), value("element", shape=[4, 4])],
        [value("sum_out", shape=[4, 4])],
    )
    model = model_of(
        [
            helper.make_node("Loop", ["count", "", "x"], ["looped"], name="loop", body=loop_body),
            helper.make_node("Scan", ["zero", "many"], ["y"], name="scan", body=scan_body, num_scan_inputs=1),
        ],
        [value("x"), value("count", INT64, []), value("many", shape=[3, 4, 4])],
        initializers=[weights("w"), weights("zero")],
    )
    found = {entry.node: (entry.location, entry.weights, entry.element_type) for entry in list_candidates(model)}
    assert found == {
        "in_loop": ("main/loop:body", "outer-scope initializer 'w'", "float32"),
        "in_scan": ("main/scan:body", "outer-scope initializer 'w'", "float32"),
    }


def test_function_body_is_found_once_with_the_types_of_its_calls():
    calls = [
        helper.make_node("Block", ["x", "w"], ["h"], domain="my"),
        helper.make_node("Block", ["h", "w"], ["y"], domain="my"),
    ]
    entry = only_entry(model_of(calls, initializers=[weights("w")], functions=[block_function()]))
    assert (entry.node, entry.location) == ("function_product", "function my:Block")
    assert (entry.weights, entry.element_type) == ("dynamic", "float32")


def test_function_called_from_a_function_has_its_types():
    outer = helper.make_function(
        "my", "Outer", ["p"], ["q"], [helper.make_node("Block", ["p", "p"], ["q"], domain="my")],
        [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)],
    )  # fmt: skip
    call = helper.make_node("Outer", ["x"], ["y"], domain="my")
    model = model_of([call], [value("x", TensorProto.FLOAT16)], functions=[outer, block_function()])
    assert only_entry(model).element_type == "float16"


def test_function_called_with_float32_and_float16_is_taken():
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
        helper.make_node("Block", ["x", "x"], ["y"], domain="my"),
        helper.make_node("Block", ["h", "h"], ["z"], domain="my"),
    ]
    entry = only_entry(model_of(nodes, functions=[block_function()]))
    assert (entry.element_type, entry.reason) == ("float32 and float16", "")


def test_function_called_with_float32_and_float64_is_left():
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=DOUBLE),
        helper.make_node("Block", ["x", "x"], ["y"], domain="my"),
        helper.make_node("Block", ["h", "h"], ["z"], domain="my"),
    ]
    assert "no single Cast" in only_entry(model_of(nodes, functions=[block_function()])).reason


def test_function_attribute_reference_decides_the_type():
    cast = helper.make_node("Cast", ["a"], ["b"])
    cast.attribute.add(name="to", ref_attr_name="kind", type=onnx.AttributeProto.INT)
    function = helper.make_function(
        "my", "Typed", ["a"], ["c"], [cast, helper.make_node("MatMul", ["b", "b"], ["c"])],
        [helper.make_opsetid("", 17)], attributes=["kind"],
    )  # fmt: skip
    call = helper.make_node("Typed", ["x"], ["y"], domain="my", kind=DOUBLE)
    assert only_entry(model_of([call], functions=[function])).element_type == "float64"


def test_function_that_nobody_calls_is_taken_with_unknown_types():
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    entry = only_entry(model_of(nodes, functions=[block_function()]))
    assert (entry.element_type, entry.reason) == ("unknown", "")


def test_weights_from_constant_node_are_told():
    constant = helper.make_node("Constant", [], ["w"], value=weights("value"))
    assert weights_of([constant], []) == "Constant node 'w'"


def test_weights_derived_from_constants_are_told():
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["d"]),
        helper.make_node("Transpose", ["d"], ["t"]),
        helper.make_node("Mul", ["t", "factor"], ["w"]),
        helper.make_node("Constant", [], ["factor"], value_float=2.0),
    ]
    quantized = numpy_helper.from_array(np.ones((4, 4), np.int8), "q")
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    assert weights_of([nodes[3], *nodes[:3]], [quantized, scale]) == "derived from constants"


def test_weights_from_random_generator_are_dynamic():
    generator = helper.make_node("RandomNormal", [], ["w"], shape=[4, 4])
    assert weights_of([generator], []) == "dynamic"


def test_constant_first_operand_counts_as_weights():
    model = model_of([helper.make_node("MatMul", ["w", "x"], ["y"])], initializers=[weights("w")])
    assert only_entry(model).weights == "initializer 'w'"


def test_sparse_initializer_is_an_initializer():
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])])
    sparse = model.graph.sparse_initializer.add(dims=[4, 4])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "w"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.array([0, 5])))
    assert only_entry(model).weights == "initializer 'w'"


@pytest.mark.parametrize(
    ("element_type", "name"),
    [(FLOAT, "float32"), (TensorProto.FLOAT16, "float16"), (TensorProto.BFLOAT16, "bfloat16"), (DOUBLE, "float64")],
)
def test_floating_point_types_are_taken(element_type: int, name: str):
    model = model_of([helper.make_node("MatMul", ["x", "x"], ["y"])], [value("x", element_type)])
    model.graph.output[0].ClearField("type")
    entry = only_entry(model)
    assert (entry.element_type, entry.reason) == (name, "")


@pytest.mark.parametrize("element_type", [INT64, TensorProto.INT32, TensorProto.UINT64, TensorProto.FLOAT8E4M3FN])
def test_other_types_are_left(element_type: int):
    model = model_of([helper.make_node("MatMul", ["x", "x"], ["y"])], [value("x", element_type)])
    model.graph.output[0].ClearField("type")
    name = TensorProto.DataType.Name(element_type).lower()
    assert only_entry(model).reason.startswith(f"element type {name}; expected float32")


def test_operands_of_different_types_are_left():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    entry = only_entry(model_of(nodes, initializers=[weights("w", dtype=np.float64)]))
    assert entry.reason == "its operands differ in element type: float32 and float64"


def test_type_behind_an_unknown_operator_is_unknown():
    nodes = [
        helper.make_node("Mystery", ["x"], ["m"], domain="my"),
        helper.make_node("MatMul", ["m", "m"], ["n"]),
        helper.make_node("Mystery", ["n"], ["y"], domain="my"),
    ]
    assert only_entry(model_of(nodes)).element_type == "unknown"


def test_convolution_over_four_axes_is_left():
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="conv")
    shape = [1, 1, 4, 4, 4, 4]
    model = model_of([node], [value("x", shape=shape)], [value("y", shape=shape)], [weights("w", [1] * 6)])
    assert only_entry(model).reason == "a convolution over 4 spatial axes; expected 1 to 3"


@pytest.mark.parametrize(
    ("domain", "op_type"),
    [
        ("", "ConvTranspose"),
        ("", "LSTM"),
        ("", "GRU"),
        ("", "RNN"),
        ("", "Einsum"),
        ("com.microsoft", "FusedConv"),
        ("com.microsoft", "Attention"),
        ("com.microsoft", "NhwcConv"),
        ("my", "MatMul"),
    ],
)
def test_other_accumulating_operators_are_listed_with_a_reason(domain: str, op_type: str):
    entry = only_entry(model_of([helper.make_node(op_type, ["x", "x"], ["y"], domain=domain)]))
    assert entry.op_type == (f"{domain}.{op_type}" if domain else op_type)
    assert entry.node == f"{op_type}_0"
    assert entry.reason


@pytest.mark.parametrize(
    ("op_type", "expected"),
    [
        ("MoE", "multiplies by the weights of the experts that the data choose"),
        ("MatMulFpQ4", "its weights are packed"),
        ("SparseAttention", "which of its products are computed follows from"),
        ("PagedAttention", "attention over a cache in a layout of its own"),
        ("GemmFastGelu", "onnxruntime makes it for devices other than the CPU"),
    ],
)
def test_operators_of_onnxruntime_say_why_they_are_left(op_type: str, expected: str):
    node = helper.make_node(op_type, ["x", "x"], ["y"], domain="com.microsoft")
    assert only_entry(model_of([node])).reason.startswith(expected)


@pytest.mark.parametrize(
    ("domain", "op_type"), [("", "Relu"), ("", "ReduceSum"), ("com.microsoft", "Gelu"), ("my", "Conversion")]
)
def test_operators_that_do_not_accumulate_products_are_not_listed(domain: str, op_type: str):
    assert len(list_candidates(model_of([helper.make_node(op_type, ["x"], ["y"], domain=domain)]))) == 0


def test_unnamed_nodes_get_names_that_nothing_else_has():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"]),
        helper.make_node("MatMul", ["a", "x"], ["b"], name="kept"),
        helper.make_node("MatMul", ["b", "x"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"], name="MatMul_2"),
    ]
    assert [entry.node for entry in list_candidates(model_of(nodes))] == ["MatMul_0", "kept", "MatMul_2_"]


def test_nodes_that_share_a_name_are_told_apart_by_location():
    inner = branch("inner", [helper.make_node("MatMul", ["x", "x"], ["inner_y"], name="same")], "inner_y")
    other = branch("other", [helper.make_node("Identity", ["x"], ["other_y"])], "other_y")
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="same"),
        helper.make_node("MatMul", ["a", "x"], ["b"], name="same"),
        helper.make_node("If", ["c"], ["y"], name="choice", then_branch=inner, else_branch=other),
    ]
    model = model_of(nodes, [value("x"), value("c", BOOL, [])])
    names = [entry.node for entry in list_candidates(model)]
    assert names == ["main/same#1", "main/same#2", "main/choice:then_branch/same"]


@pytest.mark.parametrize(
    ("op_type", "inputs", "outputs"),
    [
        ("MatMul", ["x"], ["y"]),
        ("MatMul", ["x", "x", "x"], ["y"]),
        ("MatMul", ["", "x"], ["y"]),
        ("Gemm", ["x"], ["y"]),
        ("Conv", ["x", "", "x"], ["y"]),
        ("Conv", ["x", "x"], ["y", "z"]),
        ("MatMul", ["x", "x"], []),
    ],
)
def test_node_with_impossible_operands_is_an_error(op_type: str, inputs: list[str], outputs: list[str]):
    model = model_of([helper.make_node(op_type, inputs, outputs, name="broken")])
    with pytest.raises(ModelError, match=f"{op_type} 'broken' in main: expected 2"):
        list_candidates(model)


def test_graph_that_graphsurgeon_cannot_import_is_listed_all_the_same(monkeypatch: pytest.MonkeyPatch):
    def refuse(model: onnx.ModelProto) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("onnx_graphsurgeon.import_onnx", refuse)
    entry = only_entry(matmul_model())
    assert (entry.node, entry.weights, entry.element_type, entry.reason) == ("product", "unknown", "unknown", "")


def test_element_types_that_graphsurgeon_does_not_know_do_not_disturb(capsys: pytest.CaptureFixture[str]):
    nodes = [
        helper.make_node("Cast", ["x"], ["f8"], to=TensorProto.FLOAT8E5M2),
        helper.make_node("Identity", ["b16"], ["copy"]),
        helper.make_node("MatMul", ["x", "x"], ["y"]),
    ]
    odd = [
        helper.make_tensor("b16", TensorProto.BFLOAT16, [2], [1.0, 2.0]),
        helper.make_tensor("i4", TensorProto.INT4, [2], [1, 2]),
        helper.make_tensor("text", TensorProto.STRING, [1], [b"\xff"]),
    ]
    model = model_of(nodes, initializers=odd, opset=21, ir_version=10)
    model.graph.node[2].attribute.add(name="blob", type=onnx.AttributeProto.STRING, s=b"\xff\xfe")
    assert only_entry(model).element_type == "float32"
    assert capsys.readouterr().out == ""
