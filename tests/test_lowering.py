"""Nodes that are taken apart, wherever they stand: names, the ledger, selections, and the way back."""

import numpy as np
import onnx
import pytest
from lowered_models import MICROSOFT, lowered, one_node, run
from onnx import TensorProto, helper

import lba_onnx
from lba_onnx import operators
from lba_onnx.rewrite import Selection, convert, list_candidates
from lba_onnx.rewrite.lowering.registry import RULES

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
W = RNG.standard_normal((5, 4)).astype(np.float32)


def fused(name: str = "fused", output: str = "y", **attributes: float) -> onnx.NodeProto:
    attributes = {"transB": 1, "alpha": 0.5, **attributes}
    return helper.make_node("FusedMatMul", ["x", "w"], [output], name=name, domain=MICROSOFT, **attributes)


def model_of_fused(name: str = "fused") -> onnx.ModelProto:
    """Return a model whose weights two nodes read."""
    model = one_node(fused(name), {"x": X}, {"w": W})
    model.graph.node.add(op_type="Relu", input=["w"], output=["r"], name="relu")
    return model


def names(model: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(node.name, node.op_type) for node in model.graph.node]


def test_table_of_operators_names_what_has_a_rule():
    on_request = {key for group in operators.LOWERED_ON_REQUEST.values() for key in group}
    assert set(operators.LOWERED) | on_request == set(RULES) and not on_request.intersection(operators.LOWERED)


def test_ledger_tells_the_operator_of_the_model():
    (entry,) = list_candidates(model_of_fused())
    assert (entry.node, entry.op_type, entry.reason) == ("fused", "com.microsoft.FusedMatMul", "")


def test_model_converted_holds_the_product_under_the_name_of_the_node():
    converted, report = convert(model_of_fused(), "M7E4b10")
    assert names(converted) == [
        ("fused_transpose", "Transpose"),
        ("fused", "LbaMatMul"),
        ("fused_mul", "Mul"),
        ("relu", "Relu"),
    ]
    assert [entry.op_type for entry in report.converted] == ["com.microsoft.FusedMatMul"]
    assert converted.graph.node[2].output == ["y"]


def test_model_converted_twice_is_the_same():
    converted, _ = convert(model_of_fused(), "M7E4b10")
    again, _ = convert(converted, "M7E4b10")
    assert again.graph == converted.graph


def test_node_without_a_name_gets_that_of_its_type():
    (entry,) = list_candidates(model_of_fused(""))
    assert entry.node == "FusedMatMul_0"


def test_node_left_is_what_it_was():
    model = one_node(fused(), {"x": X}, {"w": W})
    model.graph.node.append(helper.make_node("MatMul", ["y", "v"], ["z"], name="plain"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((5, 2), np.float32), "v"))
    before = model.graph.node[0].SerializeToString()
    converted, report = convert(model, "M7E4b10", selection=Selection(nodes_to_exclude=["fused"]))
    assert names(converted) == [("fused", "FusedMatMul"), ("plain", "LbaMatMul")]
    assert converted.graph.node[0].SerializeToString() == before
    assert [tensor.name for tensor in converted.graph.initializer] == ["w", "v"]
    (left,) = report.left
    assert (left.op_type, left.reason) == ("com.microsoft.FusedMatMul", "excluded by 'fused'")


@pytest.mark.parametrize("op_types", [["FusedMatMul"], ["MatMul"]])
def test_operator_types_are_those_of_the_model(op_types: list[str]):
    converted, report = convert(model_of_fused(), "M7E4b10", selection=Selection(op_types_to_convert=op_types))
    assert len(report.converted) == (op_types == ["FusedMatMul"])
    assert (converted.graph.node[0].op_type == "FusedMatMul") == (op_types == ["MatMul"])


def test_all_put_back_is_the_model_byte_by_byte():
    model = model_of_fused()
    apart, lowering = lowered(model)
    assert apart != model
    lowering.restore(lowering.origins)
    assert apart.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def in_branch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose node stands in both branches of an If, its weights outside."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branches = [helper.make_graph([fused(output="y")], name, [], [y]) for name in ("then", "else")]
    switch = helper.make_node("If", ["c"], ["z"], name="switch", then_branch=branches[0], else_branch=branches[1])
    del model.graph.node[:]
    model.graph.node.append(switch)
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    model.graph.output[0].name = "z"
    return model


def test_nodes_in_subgraphs_are_taken_apart_where_they_stand():
    model = in_branch(model_of_fused())
    feeds = {"x": X, "c": np.asarray(True)}
    apart, lowering = lowered(model)
    assert len(lowering.origins) == 2
    np.testing.assert_array_equal(run(apart, feeds)[0], run(model, feeds)[0])
    assert [entry.node for entry in list_candidates(model)] == [
        "main/switch:else_branch/fused",
        "main/switch:then_branch/fused",
    ]
    lowering.restore(lowering.origins)
    assert apart == model


def in_function(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose node stands in a function."""
    imported = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    function = helper.make_function("my", "Block", ["x", "w"], ["y"], [fused(transB=0)], imported)
    del model.graph.node[:]
    model.graph.node.append(helper.make_node("Block", ["x", "w"], ["y"], domain="my"))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("my", 1))
    return model


def test_nodes_in_functions_are_taken_apart_where_they_stand():
    model = in_function(one_node(fused(), {"x": X}, {"w": W.T}))
    apart, lowering = lowered(model)
    assert [node.op_type for node in apart.functions[0].node] == ["Constant", "MatMul", "Mul"]
    np.testing.assert_array_equal(run(apart, {"x": X})[0], run(model, {"x": X})[0])
    lowering.restore(lowering.origins)
    assert apart == model


def test_constants_that_nothing_reads_any_more_go_wherever_they_stand():
    model = one_node(fused(), {"x": X}, {"w": W})
    (tensor,) = model.graph.initializer
    del model.graph.initializer[:]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], "weights", value=tensor))
    model.graph.value_info.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape))
    converted, _ = convert(model, "M7E4b10")
    assert names(converted) == [("fused", "LbaMatMul"), ("fused_mul", "Mul")]
    assert not converted.graph.value_info
    left, _ = convert(model, "M7E4b10", selection=Selection(nodes_to_exclude=["fused"]))
    assert left.graph == model.graph


def test_einsum_in_a_function_is_taken_apart_for_each_of_its_calls():
    einsum = helper.make_node("Einsum", ["x", "w"], ["y"], "einsum")
    einsum.attribute.add(name="equation", ref_attr_name="equation", type=onnx.AttributeProto.STRING)
    imported = [helper.make_opsetid("", 17)]
    function = helper.make_function("my", "Block", ["x", "w"], ["y"], [einsum], imported, ["equation"])
    model = one_node(
        helper.make_node("Block", ["x", "w"], ["y"], domain="my", equation="abc,dc->abd"), {"x": X}, {"w": W}
    )
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("my", 1))
    apart, _ = lowered(model)
    assert [node.op_type for node in apart.functions[0].node] == ["Transpose", "MatMul"]
    np.testing.assert_allclose(run(apart, {"x": X})[0], run(model, {"x": X})[0], rtol=1e-6)
    model.graph.node.append(helper.make_node("Block", ["x", "w"], ["z"], domain="my", equation="abc,dc->ab"))
    (entry,) = list_candidates(model)
    assert entry.reason == "its attribute equation differs between the calls of its function"


def test_initializers_that_are_inputs_too_stay():
    model = one_node(fused(), {"x": X}, {"w": W})
    model.ir_version = 3
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, W.shape))
    converted, _ = convert(model, "M7E4b10")
    assert [node.op_type for node in converted.graph.node] == ["Constant", "Constant", "LbaMatMul", "Mul"]
    assert [tensor.name for tensor in converted.graph.initializer] == ["w"]
    lba_onnx.make_session(converted).run(None, {"x": X})


def test_products_of_integers_are_left_whole():
    feeds = {"x": np.ones((2, 3), np.int32), "w": np.ones((3, 4), np.int32)}
    model = one_node(helper.make_node("Einsum", ["x", "w"], ["y"], "e", equation="ij,jk->ik"), feeds)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT32
    converted, report = convert(model, "M7E4b10")
    assert converted.graph == model.graph
    (entry,) = report
    assert entry.op_type == "Einsum" and entry.reason.startswith("element type int32")


def test_function_of_the_same_name_is_no_operator_to_take_apart():
    model = in_function(model_of_fused())
    model.functions[0].domain, model.functions[0].name = MICROSOFT, "FusedMatMul"
    model.functions[0].node[0].CopyFrom(helper.make_node("MatMul", ["x", "w"], ["y"], name="inside"))
    model.graph.node[0].CopyFrom(fused())
    _, lowering = lowered(model)
    assert not lowering.origins
    assert [entry.node for entry in list_candidates(model)] == ["inside"]


def test_names_taken_by_other_nodes_and_values_are_not_taken_again():
    model = model_of_fused()
    model.graph.node.append(helper.make_node("Relu", ["y"], ["fused_transpose"], name="fused_mul"))
    apart, _ = lowered(model)
    assert names(apart)[:3] == [("fused_transpose_", "Transpose"), ("fused", "MatMul"), ("fused_mul_", "Mul")]


def test_operators_newer_than_the_opset_are_a_reason_to_stay():
    model = model_of_fused()
    model.opset_import[0].version = 6
    (entry,) = list_candidates(model)
    assert entry.reason == "is taken apart from opset 7 on, got opset 6"
