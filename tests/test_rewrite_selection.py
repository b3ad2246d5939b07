"""Which nodes are converted: names, regular expressions, operator types, specs; and the refusals."""

from typing import Any

import pytest
from onnx import helper
from rewrite_models import BOOL, SPEC, branch, model_of, nested_model, value, weights

from lba_onnx import Selection
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.errors import SelectionError
from lba_onnx.rewrite import ConversionReport, convert

OTHER_SPEC = AccumulatorSpec.parse("M3E4b8,chunk=4")


def chain_report(spec: Any = SPEC, **selection: Any) -> ConversionReport:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="/layer.0/query"),
        helper.make_node("MatMul", ["a", "w"], ["b"], name="/layer.1/query"),
        helper.make_node("Gemm", ["b", "w"], ["c"], name="/head/gemm"),
        helper.make_node("Einsum", ["c"], ["y"], name="einsum", equation="ij->ij"),
    ]
    return convert(model_of(nodes, initializers=[weights("w")]), spec, selection=Selection(**selection))[1]


def converted(report: ConversionReport) -> list[str]:
    return [entry.node for entry in report.converted]


def reasons(report: ConversionReport) -> dict[str, str]:
    return {entry.node: entry.reason for entry in report.left}


def test_everything_convertible_is_converted_by_default():
    report = chain_report()
    assert converted(report) == ["/layer.0/query", "/layer.1/query", "/head/gemm"]
    assert set(reasons(report)) == {"einsum"}


def test_excluded_name_is_left_with_its_reason():
    report = chain_report(nodes_to_exclude=["/head/gemm"])
    assert reasons(report)["/head/gemm"] == "excluded by '/head/gemm'"
    assert converted(report) == ["/layer.0/query", "/layer.1/query"]


def test_excluded_expression_matches_whole_names_only():
    assert converted(chain_report(nodes_to_exclude=[r"/layer\.\d/.*"])) == ["/head/gemm"]
    with pytest.raises(SelectionError, match="nothing matches"):
        chain_report(nodes_to_exclude=["layer"])


def test_exact_name_is_not_read_as_an_expression():
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="a.c"),
        helper.make_node("MatMul", ["a", "a"], ["y"], name="abc"),
    ]
    assert converted(convert(model_of(nodes), SPEC, selection=Selection(nodes_to_exclude=["a.c"]))[1]) == ["abc"]


def test_nodes_to_convert_leaves_the_others():
    report = chain_report(nodes_to_convert=[".*query"])
    assert converted(report) == ["/layer.0/query", "/layer.1/query"]
    assert reasons(report)["/head/gemm"] == "not in nodes_to_convert"


def test_exclusion_wins_over_inclusion():
    report = chain_report(nodes_to_convert=[".*query"], nodes_to_exclude=["/layer.1/query"])
    assert converted(report) == ["/layer.0/query"]


def test_operator_types_not_asked_for_are_left():
    report = chain_report(op_types_to_convert=["Gemm"])
    assert converted(report) == ["/head/gemm"]
    assert reasons(report)["/layer.0/query"] == "operator type not in op_types_to_convert (Gemm)"


@pytest.mark.parametrize("argument", ["nodes_to_exclude", "nodes_to_convert"])
def test_unmatched_pattern_names_the_nearest(argument: str):
    with pytest.raises(SelectionError, match=f"{argument}: nothing matches '/layer.2/query'.*'/layer.[01]/query'"):
        chain_report(**{argument: ["/layer.2/query"]})


@pytest.mark.parametrize("argument", ["nodes_to_exclude", "nodes_to_convert"])
def test_broken_expression_is_an_error(argument: str):
    with pytest.raises(SelectionError, match=f"{argument}: .*no regular expression"):
        chain_report(**{argument: ["(unclosed"]})


@pytest.mark.parametrize("argument", ["nodes_to_exclude", "nodes_to_convert", "op_types_to_convert"])
@pytest.mark.parametrize("values", ["/head/gemm", [3]])
def test_selection_that_is_no_list_of_strings_is_an_error(argument: str, values: Any):
    with pytest.raises(TypeError, match=argument):
        chain_report(**{argument: values})


@pytest.mark.parametrize("op_type", ["DeformConv", "matmul", "LbaConv"])
def test_unknown_operator_type_is_an_error(op_type: str):
    with pytest.raises(SelectionError, match=f"expected some of MatMul, Gemm, Conv, .*, got '{op_type}'"):
        chain_report(op_types_to_convert=[op_type])


def test_asking_for_a_node_that_cannot_be_converted_is_an_error():
    with pytest.raises(SelectionError, match="'einsum' cannot be converted: has one operand"):
        chain_report(nodes_to_convert=["einsum"])


def test_excluding_a_node_that_cannot_be_converted_is_no_error():
    assert len(chain_report(nodes_to_exclude=["einsum"]).converted) == 3


def test_model_without_candidates_says_so():
    model = model_of([helper.make_node("Relu", ["x"], ["y"], name="relu")])
    assert len(convert(model, SPEC)[1]) == 0
    with pytest.raises(SelectionError, match="no node that multiplies"):
        convert(model, SPEC, selection=Selection(nodes_to_exclude=["relu"]))


def test_specs_by_name_leave_the_other_nodes():
    report = chain_report({"/head/gemm": SPEC, "/layer.0/query": OTHER_SPEC})
    assert report.specs == {"/head/gemm": SPEC, "/layer.0/query": OTHER_SPEC}
    assert reasons(report)["/layer.1/query"] == "no spec given"


def test_no_specs_leave_everything():
    assert chain_report({}).specs == {}


def test_spec_for_an_unknown_name_names_the_nearest():
    with pytest.raises(SelectionError, match="no node is called '/head/gem'.*'/head/gemm'"):
        chain_report({"/head/gem": SPEC})


def test_spec_for_a_node_that_cannot_be_converted_is_an_error():
    with pytest.raises(SelectionError, match="'einsum' cannot take M7E4b12"):
        chain_report({"einsum": SPEC})


@pytest.mark.parametrize("spec", [None, {"/head/gemm": 7}, [SPEC]])
def test_spec_of_another_type_is_an_error(spec: Any):
    with pytest.raises(TypeError, match="expected an AccumulatorSpec"):
        chain_report(spec)


def test_shared_name_means_all_nodes_of_it_and_a_located_name_one():
    inner = branch("inner", [helper.make_node("MatMul", ["x", "x"], ["inner_y"], name="same")], "inner_y")
    other = branch("other", [helper.make_node("Identity", ["x"], ["other_y"])], "other_y")
    nodes = [
        helper.make_node("MatMul", ["x", "x"], ["a"], name="same"),
        helper.make_node("If", ["c"], ["y"], name="choice", then_branch=inner, else_branch=other),
    ]
    model = model_of(nodes, [value("x"), value("c", BOOL, [])])
    located = "main/choice:then_branch/same"
    assert convert(model, {"same": SPEC})[1].specs == {"main/same": SPEC, located: SPEC}
    assert convert(model, {located: OTHER_SPEC, "same": SPEC})[1].specs == {"main/same": SPEC, located: OTHER_SPEC}
    assert converted(convert(model, SPEC, selection=Selection(nodes_to_exclude=["main/same"]))[1]) == [located]
    assert converted(convert(model, SPEC, selection=Selection(nodes_to_exclude=["main/.*"]))[1]) == []


def test_unnamed_node_is_addressed_by_the_name_of_the_ledger():
    model = model_of([helper.make_node("MatMul", ["x", "x"], ["y"])])
    converted_model, report = convert(model, {"MatMul_0": SPEC})
    assert report.specs == {"MatMul_0": SPEC}
    assert converted_model.graph.node[0].name == "MatMul_0"


def test_nodes_in_subgraphs_are_selected_by_name():
    assert converted(convert(nested_model(), SPEC, selection=Selection(nodes_to_convert=["by_.*"]))[1]) == [
        "by_outer",
        "by_own",
    ]
