"""Attributes of a function that its nodes refer to, and functions that are called more often than can be followed.

A function `F(a, b) <scale>: y = Gemm<alpha = @scale>(a, b)` ran in onnxruntime and was converted, but calibration,
correction, debugging, `inspect` and converting again ended with onnx's "Cannot get value of reference attribute".
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import AttributeProto, helper
from rewrite_models import EXACT_SPEC, SPEC
from small_models import OPSET, constant, tensor

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.errors import ModelError
from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.folding import UNDECIDED_LAYOUT, ChannelAffine, find_scalable, fold
from lba_onnx.rewrite.specs import change_specs, read_specs

OPSETS = [*OPSET, helper.make_opsetid("local", 1)]
FLOAT, INT, INTS, STRING = AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.INTS, AttributeProto.STRING
FEED = {"x": np.random.default_rng(0).integers(-8, 9, (8, 4)).astype(np.float32)}


def referring(node: onnx.NodeProto, **references: tuple[str, int]) -> onnx.NodeProto:
    """Add attributes that refer to those of the function."""
    for name, (referred, kind) in references.items():
        node.attribute.add(name=name, ref_attr_name=referred, type=kind)
    return node


def calling(function: onnx.FunctionProto, *calls: dict, functions=(), inputs=None) -> onnx.ModelProto:
    """Call a function once for each set of attributes, one call after the other."""
    names = ["x", *(f"t{i}" for i in range(1, len(calls))), "y"]
    nodes = [
        helper.make_node(function.name, [names[i]], [names[i + 1]], f"call_{i}", domain="local", **call)
        for i, call in enumerate(calls)
    ]
    inputs = inputs or [tensor("x", "n", 4)]
    output = tensor("y", *[None] * len(inputs[0].type.tensor_type.shape.dim))
    graph = helper.make_graph(nodes, "g", inputs, [output])
    return helper.make_model(graph, opset_imports=OPSETS, functions=[function, *functions], ir_version=8)


def gemm_function(bias: bool = True, **references: tuple[str, int]) -> onnx.FunctionProto:
    """y = Gemm(a, w, c) with attributes of the function; w is 4 x 4, so that any layout fits."""
    rng = np.random.default_rng(1)
    weights = [
        helper.make_node("Constant", [], [name], value=constant("", rng.integers(-3, 4, shape).astype(np.float32)))
        for name, shape in (("w", (4, 4)), *([("c", (4,))] if bias else []))
    ]
    node = referring(helper.make_node("Gemm", ["a", "w", *(["c"] if bias else [])], ["b"], "gemm"), **references)
    names = dict.fromkeys(referred for referred, _ in references.values())
    return helper.make_function("local", "F", ["a"], ["b"], [*weights, node], OPSET, attributes=list(names))


def run(model: onnx.ModelProto) -> np.ndarray:
    return lba_onnx.make_session(model).run(None, FEED)[0]


ALL = {"alpha": ("scale", FLOAT), "beta": ("scale", FLOAT), "transB": ("turned", INT)}


@pytest.mark.parametrize("calls", [[{"scale": 2.0, "turned": 1}], [{"scale": 2.0}, {"scale": 0.5, "turned": 1}]])
def test_every_step_goes_on_and_the_model_computes_what_it_did(calls: list[dict], tmp_path: Path):
    source = calling(gemm_function(**ALL), *calls)
    expected = onnxruntime.InferenceSession(source.SerializeToString()).run(None, FEED)[0]
    converted, report = lba_onnx.convert(source, EXACT_SPEC)
    assert [entry.node for entry in report.converted] == ["gemm"]
    np.testing.assert_array_equal(run(converted), expected)
    assert list_candidates(converted).entries[0].spec == EXACT_SPEC
    assert not lba_onnx.convert(converted, SPEC)[1].converted
    portable = lba_onnx.convert(source, EXACT_SPEC, portable=True)[0]
    np.testing.assert_array_equal(run(portable), expected)
    bare = onnxruntime.InferenceSession(portable.SerializeToString()).run(None, FEED)[0]
    np.testing.assert_array_equal(bare, expected)

    narrow = lba_onnx.convert(source, lba_onnx.calibrate(source, FEED, family="M4E4"))[0]
    corrected, correction = lba_onnx.correct(narrow, FEED)
    assert [node.node for node in correction.nodes] == ["gemm"]
    assert run(corrected).shape == expected.shape
    assert [layer.node for layer in lba_onnx.debug(narrow, FEED, reference=source).layers] == ["gemm"]
    changed = change_specs(narrow, lambda name, spec: EXACT_SPEC)
    assert read_specs(changed) == {"gemm": EXACT_SPEC}
    np.testing.assert_array_equal(run(changed), expected)


def test_the_command_line_goes_on(tmp_path: Path):
    onnx.save(calling(gemm_function(**ALL), {"scale": 2.0}), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", **FEED)
    files = {name: str(tmp_path / name) for name in ("m.onnx", "x.npz", "o.onnx")}
    data = ["--calibration_data_path", files["x.npz"]]
    for command in (
        ["convert", "-i", files["m.onnx"], "-o", files["o.onnx"], *data],
        ["inspect", "-i", files["o.onnx"]],
        ["debug", "-i", files["o.onnx"], "--reference_path", files["m.onnx"], "--data_path", files["x.npz"]],
    ):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, (command, result.output)


AFFINE = ChannelAffine(np.array([1, 2, 0.5, 4], np.float32), np.array([3, -1, 2, 0], np.float32))


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    fold(changed, {"gemm": AFFINE})
    onnx.checker.check_model(changed)
    return changed


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("call", [{}, {"scale": 2.0}, {"turned": 1}, {"scale": 0.5, "turned": 1}])
def test_corrections_are_folded_by_the_values_that_the_call_gives(bias: bool, call: dict):
    """A scale for each channel has to know transB, an offset alpha and beta: all three are known from the call only."""
    model = lba_onnx.convert(calling(gemm_function(bias, **ALL), call), EXACT_SPEC)[0]
    plain = lba_onnx.convert(calling(gemm_function(False, **ALL), call), EXACT_SPEC)[0]
    factor = call.get("scale", 1.0)
    dots = run(plain) / factor
    addend = run(model) - run(plain)
    expected = factor * (dots * AFFINE.scale + AFFINE.offset) + addend
    np.testing.assert_array_equal(run(folded(model)), expected)


def test_layout_that_differs_between_calls_is_not_folded():
    model = lba_onnx.convert(calling(gemm_function(**ALL), {"turned": 1}, {}), EXACT_SPEC)[0]
    scalable = find_scalable(model)
    assert (scalable.nodes, scalable.reasons) == ({}, {"gemm": UNDECIDED_LAYOUT})


def test_factor_that_differs_between_calls_leaves_the_offset():
    model = lba_onnx.convert(calling(gemm_function(**ALL), {"scale": 2.0}, {}), EXACT_SPEC)[0]
    assert not find_scalable(model).nodes["gemm"].takes_offset
    assert find_scalable(folded_by_scale(model)).nodes["gemm"].name == "gemm"


def folded_by_scale(model: onnx.ModelProto) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    fold(changed, {"gemm": ChannelAffine(AFFINE.scale, np.zeros(4, np.float32))})
    return changed


def test_scale_is_folded_although_the_factor_differs():
    model = lba_onnx.convert(calling(gemm_function(False, alpha=("scale", FLOAT)), {"scale": 2.0}, {}), EXACT_SPEC)[0]
    first = lba_onnx.convert(calling(gemm_function(False, alpha=("scale", FLOAT)), {}), EXACT_SPEC)[0]

    def once(x: np.ndarray) -> np.ndarray:
        return lba_onnx.make_session(first).run(None, {"x": x})[0] * AFFINE.scale

    np.testing.assert_array_equal(run(folded_by_scale(model)), once(2 * once(FEED["x"])))


def test_references_are_followed_through_nested_calls():
    inner = gemm_function(**ALL)
    call = referring(helper.make_node("F", ["a"], ["b"], domain="local"), scale=("s", FLOAT), turned=("t", INT))
    outer = helper.make_function("local", "G", ["a"], ["b"], [call], OPSETS, attributes=["s", "t"])
    model = lba_onnx.convert(calling(outer, {"s": 2.0, "t": 1}, functions=[inner]), EXACT_SPEC)[0]
    attributes = find_scalable(model).nodes["gemm"].attributes
    assert (attributes["alpha"], attributes["beta"], attributes["transB"]) == (2.0, 2.0, 1)


def test_defaults_of_a_function_count_where_a_call_is_silent():
    function = gemm_function(**{**ALL, "alpha": ("factor", FLOAT)})
    function.attribute_proto.append(helper.make_attribute("factor", 4.0))
    function.attribute.remove("factor")
    model = lba_onnx.convert(calling(function, {}), EXACT_SPEC)[0]
    assert find_scalable(model).nodes["gemm"].attributes["alpha"] == 4.0


def test_geometry_of_a_convolution_may_be_referred_to():
    weight = helper.make_node("Constant", [], ["w"], value=constant("", np.ones((3, 2, 3, 3), np.float32)))
    conv = helper.make_node("Conv", ["a", "w"], ["b"], "conv")
    referring(conv, strides=("strides", INTS), pads=("pads", INTS), auto_pad=("padding", STRING))
    names = ["strides", "pads", "padding"]
    function = helper.make_function("local", "F", ["a"], ["b"], [weight, conv], OPSET, attributes=names)
    call = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    source = calling(function, call, inputs=[tensor("x", 1, 2, 6, 6)])
    x = np.random.default_rng(0).integers(-8, 9, (1, 2, 6, 6)).astype(np.float32)
    expected = onnxruntime.InferenceSession(source.SerializeToString()).run(None, {"x": x})[0]
    converted = lba_onnx.convert(source, lba_onnx.calibrate(source, {"x": x}, family="M22E7"))[0]
    np.testing.assert_array_equal(lba_onnx.make_session(converted).run(None, {"x": x})[0], expected)
    assert lba_onnx.correct(converted, {"x": x})[1].nodes[0].node == "conv"


def formats_function() -> onnx.FunctionProto:
    node = helper.make_node("LbaMatMul", ["a", "a"], ["b"], "product", domain="lba_onnx", accumulator_format="M7E4b10")
    referring(node, product_format=("format", STRING))
    opsets = [*OPSET, helper.make_opsetid("lba_onnx", 1)]
    return helper.make_function("local", "F", ["a"], ["b"], [node], opsets, attributes=["format"])


def test_formats_may_be_referred_to():
    model = calling(formats_function(), {"format": "M7E4b12"}, {"format": "M7E4b12"})
    assert read_specs(model) == {"product": SPEC}


def test_formats_that_differ_between_calls_are_refused_with_the_reason():
    model = calling(formats_function(), {"format": "M7E4b12"}, {"format": "M7E4b11"})
    with pytest.raises(ModelError, match="'product'.*product_format differs between the calls of its function"):
        read_specs(model)


def doubling_model(levels: int, element_type: int = onnx.TensorProto.FLOAT) -> onnx.ModelProto:
    """f_0 calls f_1 twice, f_1 calls f_2 twice, and so on; the last multiplies. 2^levels products in all."""
    last = helper.make_node("MatMul", ["a", "b"], ["y"], "product")
    functions = [helper.make_function("local", f"f_{levels}", ["a", "b"], ["y"], [last], OPSET)]
    for level in range(levels):
        calls = [
            helper.make_node(f"f_{level + 1}", [a, "b"], [y], domain="local") for a, y in (("a", "half"), ("half", "y"))
        ]
        functions.append(helper.make_function("local", f"f_{level}", ["a", "b"], ["y"], calls, OPSETS))
    nodes = [
        helper.make_node("f_0", ["x", "w"], ["middle"], domain="local"),
        helper.make_node("MatMul", ["middle", "middle"], ["y"], "behind"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [tensor("x", 4, 4, kind=element_type), tensor("w", 4, 4, kind=element_type)],
        [tensor("y", 4, 4, kind=element_type)],
    )
    return helper.make_model(graph, opset_imports=OPSETS, functions=functions, ir_version=8)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("element_type", [onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE])
def test_functions_that_double_at_each_level_take_linear_time(element_type: int):
    """`inspect` of 14 levels took half a second, of 30 it would have taken nine hours: inference followed each call."""
    model = doubling_model(30, element_type)
    name = "float32" if element_type == onnx.TensorProto.FLOAT else "float64"
    assert [(entry.node, entry.element_type) for entry in list_candidates(model)] == [
        ("behind", name),
        ("product", name),
    ]
    converted, report = lba_onnx.convert(model, SPEC)
    assert len(report.converted) == 2
    assert read_specs(converted) == {"behind": SPEC, "product": SPEC}


def test_hidden_calls_give_the_types_that_inference_gives(monkeypatch):
    """What the calls of long functions return is found by other means than onnx's inference; both must agree."""
    from lba_onnx.rewrite import typed

    model = doubling_model(5, onnx.TensorProto.FLOAT16)
    expected = [(entry.node, entry.element_type) for entry in list_candidates(model)]
    assert expected == [("behind", "float16"), ("product", "float16")]
    for limit in (0, 1, 2, 10, 40):
        monkeypatch.setattr(typed, "_MAX_EXPANSION", limit)
        assert [(entry.node, entry.element_type) for entry in list_candidates(model)] == expected


@pytest.mark.timeout(120)
def test_more_ways_of_calling_than_can_be_followed_leave_the_values_open():
    """Each level calls the next with its own attribute as 0 and as 1: 2^20 ways to call the last."""
    levels = 20
    names = [f"s_{i}" for i in range(levels)]
    last = gemm_function(False, alpha=(names[0], FLOAT))
    last.name = f"f_{levels}"
    del last.attribute[:]
    last.attribute.extend(names)
    functions = [last]
    for level in range(levels):
        calls = []
        for i, (a, b) in enumerate((("a", "half"), ("half", "b"))):
            call = helper.make_node(f"f_{level + 1}", [a], [b], domain="local", **{names[level]: float(i)})
            calls.append(referring(call, **{name: (name, FLOAT) for name in names[:level]}))
        functions.append(
            helper.make_function("local", f"f_{level}", ["a"], ["b"], calls, OPSETS, attributes=names[:level])
        )
    model = calling(functions[1], {}, functions=[last, *functions[2:]])
    converted, report = lba_onnx.convert(model, SPEC)
    assert report.entries[0].element_type == "unknown"
    assert find_scalable(converted).reasons["gemm"]  # a reason, not a guess
