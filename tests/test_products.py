"""A node of two products, each with an accumulator of its own: everything goes by the keys node/first and node/second.

The operator is tests/kinds/two_products. Nothing of the package knows it but the table of operators, in which each test
enters it, and the library that is built for tests.
"""

import json

import numpy as np
import onnx
import pytest
from kinds.two_products.two_products import TWO_PRODUCTS, LbaTwoProducts
from kinds_library import kinds_library
from onnx import helper
from onnx.reference import ReferenceEvaluator
from small_models import model, tensor

import lba_onnx
from lba_onnx import Selection, make_session, native, operators, ops
from lba_onnx.arithmetic import as_spec
from lba_onnx.errors import ModelError, SelectionError
from lba_onnx.native.keys import key_in_run, product_key, run_key
from lba_onnx.native.library import LIBRARY_VARIABLE
from lba_onnx.observation.collection import collecting_session
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite import converted_nodes, list_candidates
from lba_onnx.rewrite.specs import change_specs, read_specs

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("ai.test", 1)]
FIRST, SECOND, HEAD = map(as_spec, ("M7E4b10", "M5E4b9,chunk=4", "M8E4b10"))
WIDE = as_spec("M22E7b63/M22E7b63")
rng = np.random.default_rng(8)
WEIGHTS = {
    name: rng.standard_normal(shape).astype(np.float32)
    for name, shape in (("w1", (12, 9)), ("w2", (9, 7)), ("w3", (7, 5)))
}
X = rng.standard_normal((24, 12)).astype(np.float32)


@pytest.fixture(autouse=True)
def two_products(monkeypatch):
    monkeypatch.setenv(LIBRARY_VARIABLE, str(kinds_library()))
    monkeypatch.setitem(operators.OPERATORS, TWO_PRODUCTS.op_type, TWO_PRODUCTS)


def body():
    """What the operator computes in float32: onnxruntime's way to run the model before it is converted."""
    nodes = [
        helper.make_node("MatMul", ["X", "W1"], ["between"], "inner1"),
        helper.make_node("MatMul", ["between", "W2"], ["Y"], "inner2"),
    ]
    return helper.make_function("ai.test", "TwoProducts", ["X", "W1", "W2"], ["Y"], nodes, OPSETS[:1])


def block(name="block"):
    return helper.make_node("TwoProducts", ["x", "w1", "w2"], ["h"], name, domain="ai.test")


def head(name="head"):
    return helper.make_node("MatMul", ["r", "w3"], ["y"], name)


def two_products_model(block_name="block", head_name="head"):
    """y = relu(x w1 w2) w3."""
    nodes = [block(block_name), helper.make_node("Relu", ["h"], ["r"]), head(head_name)]
    inputs, outputs = [tensor("x", "batch", 12)], [tensor("y", "batch", 5)]
    return model(nodes, inputs, outputs, WEIGHTS, functions=[body()], opsets=OPSETS)


def expected(first, second, third=None):
    hidden = native.matmul(native.matmul(X[None], WEIGHTS["w1"][None], first, 1), WEIGHTS["w2"][None], second, 1)
    hidden = np.maximum(hidden, 0)
    return hidden[0] @ WEIGHTS["w3"] if third is None else native.matmul(hidden, WEIGHTS["w3"][None], third, 1)[0]


def run(converted):
    return make_session(converted).run(None, {"x": X})[0]


def node_named(converted, name):
    return next(node for node in converted.graph.node if node.name == name)


def attributes_of(node):
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def test_each_product_is_listed_with_its_own_weights():
    ledger = list_candidates(two_products_model())
    assert [(entry.node, entry.op_type, entry.weights, entry.reason) for entry in ledger] == [
        ("block/first", "ai.test.TwoProducts", "initializer 'w1'", ""),
        ("block/second", "ai.test.TwoProducts", "initializer 'w2'", ""),
        ("head", "MatMul", "initializer 'w3'", ""),
    ]
    assert {entry.element_type for entry in ledger} == {"float32"}


def test_the_body_of_an_operator_that_is_converted_as_one_is_left_alone():
    source = two_products_model()
    converted, report = lba_onnx.convert(source, FIRST)
    assert [entry.node for entry in report.converted] == ["block/first", "block/second", "head"]
    assert converted.functions[0] == source.functions[0]


def test_specs_are_given_by_key_and_written_as_attributes():
    converted, report = lba_onnx.convert(
        two_products_model(), {"block/first": FIRST, "block/second": str(SECOND), "head": HEAD}
    )
    assert report.specs == read_specs(converted) == {"block/first": FIRST, "block/second": SECOND, "head": HEAD}
    node = node_named(converted, "block")
    assert (node.domain, node.op_type) == ("lba_onnx", "LbaTwoProducts")
    assert attributes_of(node) == {
        "accumulator_first": str(FIRST).encode(),
        "accumulator_second": str(SECOND).encode(),
    }
    assert [name for name, _ in converted_nodes(converted)] == ["block", "head"]
    told = {entry.key: entry.value for entry in converted.metadata_props}
    assert json.loads(told["lba_onnx.spec"]) == {name: str(spec) for name, spec in report.specs.items()}
    np.testing.assert_array_equal(run(converted), expected(FIRST, SECOND, HEAD))


@pytest.mark.parametrize(
    "given, first, second",
    [
        ({"block": FIRST}, FIRST, FIRST),
        ({"block": FIRST, "block/second": SECOND}, FIRST, SECOND),
        ({"block/second": SECOND, "block": FIRST}, FIRST, SECOND),
        ({"block/second": SECOND}, SECOND.wide(), SECOND),
    ],
    ids=["node", "node, then product", "product, then node", "one product"],
)
def test_a_node_means_all_of_its_products(given, first, second):
    converted, report = lba_onnx.convert(two_products_model(), given)
    assert read_specs(converted) == {"block/first": first, "block/second": second}
    assert {entry.node for entry in report.converted} == {"block/second"} | (
        {"block/first"} if "block" in given else set()
    )
    np.testing.assert_allclose(run(converted), expected(first, second), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "selection, taken",
    [
        ({"nodes_to_convert": ["block"]}, {"block/first", "block/second"}),
        ({"nodes_to_convert": ["block/first"]}, {"block/first"}),
        ({"nodes_to_convert": [".*/second"]}, {"block/second"}),
        ({"nodes_to_exclude": ["block"]}, {"head"}),
        ({"nodes_to_exclude": ["block/first"]}, {"block/second", "head"}),
        ({"op_types_to_convert": ["TwoProducts"]}, {"block/first", "block/second"}),
        ({"op_types_to_convert": ["MatMul", "Gemm", "Conv"]}, {"head"}),
    ],
)
def test_selections_take_nodes_and_products(selection, taken):
    converted, report = lba_onnx.convert(two_products_model(), FIRST, selection=Selection(**selection))
    assert {entry.node for entry in report.converted} == taken
    node_stays = not any(name.startswith("block") for name in taken)
    assert (node_named(converted, "block").op_type == "TwoProducts") == node_stays
    make_session(converted)


def test_a_product_that_is_not_selected_stands_for_float32_beside_one_that_is():
    converted, report = lba_onnx.convert(
        two_products_model(), FIRST, selection=Selection(nodes_to_exclude=["block/first", "head"])
    )
    left = {entry.node: (entry.spec, entry.reason) for entry in report.left}
    assert left == {
        "block/first": (WIDE, "excluded by 'block/first'; stands for float32"),
        "head": (None, "excluded by 'head'"),
    }
    assert report.specs == read_specs(converted)


def test_a_text_that_means_nothing_gets_the_nearest_keys():
    with pytest.raises(SelectionError, match="no node is called 'block/third'; the nearest names are 'block/first'"):
        lba_onnx.convert(two_products_model(), {"block/third": FIRST})


def test_a_name_with_slashes_is_no_key():
    named = two_products_model(block_name="/layer/first", head_name="/head/second")
    report = lba_onnx.convert(named, FIRST)[1]
    assert list(report.specs) == ["/layer/first/first", "/layer/first/second", "/head/second"]
    for text, taken in (("/layer/first", 2), ("/layer/first/first", 1), ("/head/second", 1)):
        assert len(lba_onnx.convert(named, {text: FIRST})[1].converted) == taken
    for text in ("/layer", "/head"):
        with pytest.raises(SelectionError, match="no node is called"):
            lba_onnx.convert(named, {text: FIRST})


def test_a_key_is_never_that_of_another_node():
    """The node that a key would be taken from keeps its name; its products are found by it all the same."""
    named = two_products_model(head_name="block/second")
    report = lba_onnx.convert(named, FIRST)[1]
    assert list(report.specs) == ["block_/first", "block_/second", "block/second"]
    for text, taken in (
        ("block/second", ["block/second"]),
        ("block_/second", ["block_/second"]),
        ("block", ["block_/first", "block_/second"]),
        ("block/first", ["block_/first"]),
    ):
        assert [e.node for e in lba_onnx.convert(named, {text: FIRST})[1].converted] == taken
    converted = lba_onnx.convert(named, FIRST)[0]
    with collecting_session(converted) as collecting:
        collecting.session.run(None, {"x": X})
        outputs = {name: seen.outputs for name, seen in collecting.read_statistics().items()}
    assert outputs == {"block_/first": 24 * 9, "block_/second": 24 * 7, "block/second": 24 * 5}


def branches_model():
    """The same node in both branches of an If."""

    def branch(name):
        return helper.make_graph([block()], name, [], [tensor("h", "batch", 7)])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["y"], "if", then_branch=branch("a"), else_branch=branch("b")),
    ]
    weights = {"w1": WEIGHTS["w1"], "w2": WEIGHTS["w2"], "zero": np.zeros((), np.float32)}
    return model(nodes, [tensor("x", "batch", 12)], [tensor("y", "batch", 7)], weights, [body()], OPSETS)


def test_nodes_that_share_a_name_are_told_apart_by_their_location():
    source = branches_model()
    then, other = "main/if:then_branch/block", "main/if:else_branch/block"
    given = {"block": FIRST, "block/second": SECOND, f"{then}/second": HEAD}
    found = lba_onnx.convert(source, given)[1].specs
    assert found == {f"{then}/first": FIRST, f"{then}/second": HEAD, f"{other}/first": FIRST, f"{other}/second": SECOND}


def test_converted_models_change_product_by_product():
    converted = lba_onnx.convert(two_products_model(), FIRST)[0]
    changed = change_specs(converted, lambda name, spec: SECOND if name == "block/second" else spec)
    assert read_specs(changed) == {"block/first": FIRST, "block/second": SECOND, "head": FIRST}
    again, report = lba_onnx.convert(converted, SECOND)
    assert not report.converted and read_specs(again) == read_specs(converted)


def test_the_reference_evaluator_gives_the_bits_of_the_library():
    converted = lba_onnx.convert(two_products_model(), {"block/first": FIRST, "block/second": SECOND, "head": HEAD})[0]
    evaluator = ReferenceEvaluator(converted, new_ops=[LbaTwoProducts, ops.LbaMatMul])
    np.testing.assert_array_equal(evaluator.run(None, {"x": X})[0], run(converted))


def test_a_portable_model_runs_without_the_library():
    import onnxruntime

    source = two_products_model()
    converted = lba_onnx.convert(source, FIRST, portable=True)[0]
    plain = onnxruntime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(plain.run(None, {"x": X})[0], run(source))
    np.testing.assert_array_equal(run(converted), expected(FIRST, FIRST, FIRST))


def test_observers_see_each_product_under_its_key():
    converted = lba_onnx.convert(two_products_model(), {"block/first": FIRST, "block/second": SECOND})[0]
    seen = {}
    with observing_session(
        converted, lambda call: seen.setdefault(call.node, (call.spec, call.depth, call.y.copy()))
    ) as s:
        s.session.run(None, {"x": X})
    assert {name: (spec, depth) for name, (spec, depth, _) in seen.items()} == {
        "block/first": (FIRST, 12),
        "block/second": (SECOND, 9),
    }
    first = native.matmul(X[None], WEIGHTS["w1"][None], FIRST, 1)
    np.testing.assert_array_equal(seen["block/first"][2], first)
    np.testing.assert_array_equal(seen["block/second"][2], native.matmul(first, WEIGHTS["w2"][None], SECOND, 1))


def test_calibration_chooses_and_keeps_each_products_biases(tmp_path):
    source = two_products_model()
    found = lba_onnx.calibrate(source, {"x": X}, "M7E4", "mse")
    assert list(found.specs) == ["block/first", "block/second", "head"]
    path = tmp_path / "biases.json"
    found.save(path)
    assert list(json.loads(path.read_text())["nodes"]) == ["block/first", "block/second", "head"]
    converted = lba_onnx.convert(source, path)[0]
    assert read_specs(converted) == found.specs
    np.testing.assert_array_equal(run(converted), expected(*found.specs.values()))
    only = lba_onnx.calibrate(source, {"x": X}, "M7E4", selection=Selection(nodes_to_convert=["block/second"]))
    assert list(only.specs) == ["block/second"]


def test_models_are_compared_debugged_and_swept_product_by_product():
    source = two_products_model()
    given = {"block/first": "M10E5b15", "block/second": "M1E4b9", "head": "M10E5b15"}
    converted = lba_onnx.convert(source, given)[0]
    assert lba_onnx.compare(source, converted, {"x": X}).outputs[0].sqnr_db < 20
    for reference in (source, None):
        diagnosis = lba_onnx.debug(converted, {"x": X}, reference)
        layers = {layer.node: layer for layer in diagnosis.ranking}
        assert diagnosis.ranking[0].node == "block/second" and set(layers) == set(given)
        assert {layer.op_type for layer in diagnosis.ranking} == {"TwoProducts", "MatMul"}
        assert layers["block/second"].output_sqnr_alone < 20 < layers["block/first"].output_sqnr_alone
        assert all(layer.events is not None for layer in diagnosis.ranking)
    promotion = lba_onnx.promote_until(converted, {"x": X}, "sqnr>=25", source)
    assert promotion.is_fulfilled and promotion.promoted == ("block/second",)
    swept = lba_onnx.sweep(source, {"x": X}, families="M7E4", biases="max", calibration_data={"x": X})
    calibrated = lba_onnx.convert(source, lba_onnx.calibrate(source, {"x": X}, "M7E4"))[0]
    assert swept.points[0].comparison.outputs == lba_onnx.compare(source, calibrated, {"x": X}).outputs


def test_corrections_name_each_product_and_say_that_none_is_folded():
    converted = lba_onnx.convert(two_products_model(), "M5E4b10")[0]
    report = lba_onnx.correct(converted, {"x": X})[1]
    assert [node.node for node in report.nodes] == ["block/first", "block/second", "head"]
    assert [node.reason for node in report.nodes][:2] == ["its operator computes several products"] * 2


def test_attributes_of_functions_give_each_product_its_spec():
    node = helper.make_node("LbaTwoProducts", ["a", "w1", "w2"], ["y"], "inner", domain="lba_onnx")
    for name in ("first", "second"):
        node.attribute.add(name=f"accumulator_{name}", ref_attr_name=name, type=onnx.AttributeProto.STRING)
    opsets = [*OPSETS, helper.make_opsetid("lba_onnx", 1), helper.make_opsetid("mine", 1)]
    function = helper.make_function("mine", "Block", ["a", "w1", "w2"], ["y"], [node], opsets, ["first", "second"])
    call = helper.make_node("Block", ["x", "w1", "w2"], ["y"], domain="mine", first=str(FIRST), second=str(SECOND))
    weights = {name: WEIGHTS[name] for name in ("w1", "w2")}
    made = model([call], [tensor("x", "batch", 12)], [tensor("y", "batch", 7)], weights, [function], opsets)
    assert read_specs(made) == {"inner/first": FIRST, "inner/second": SECOND}


@pytest.mark.parametrize("text, reason", [(None, "expected an accumulator such as .*, got none"), ("M7", "expected")])
def test_a_product_without_its_accumulator_is_an_error_that_names_the_attribute(text, reason):
    converted = lba_onnx.convert(two_products_model(), FIRST)[0]
    node = node_named(converted, "block")
    node.attribute.remove(next(a for a in node.attribute if a.name == "accumulator_second"))
    if text is not None:
        node.attribute.append(helper.make_attribute("accumulator_second", text))
    with pytest.raises(ModelError, match=f"'block' .*attribute accumulator_second: {reason}"):
        make_session(converted)
    with pytest.raises(ModelError, match=f"'block/second' .*attribute accumulator_second: {reason}"):
        read_specs(converted)
    with pytest.raises(ValueError, match=f"attribute accumulator_second: {reason}"):
        ReferenceEvaluator(converted, new_ops=[LbaTwoProducts, ops.LbaMatMul]).run(None, {"x": X})


@pytest.mark.parametrize("node", ["block", "/layer.0/block", "50%/block%25", "nul\0name", ""])
def test_the_key_in_a_run_is_that_of_the_node_with_the_product_behind_it(node):
    """As the library makes it, which knows the node's key alone."""
    key = product_key(node, "first")
    assert run_key("run", key) == f"{run_key('run', node)}/first"
    assert key_in_run(run_key("run", key)) == key and "\0" not in run_key("run", key)
    assert product_key(node, "") == node
