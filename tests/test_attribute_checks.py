"""Attributes with values that no runtime takes: one error that names the node, before anything is written."""

import numpy as np
import onnx
import pytest
from lowered_models import MICROSOFT, one_node, refusal
from nbits_models import draw
from onnx import helper

import lba_onnx
from lba_onnx.errors import ModelError
from lba_onnx.rewrite.attributes import set_attributes

SPEC = "M7E4b10"
ROWS = {name: np.ones((1, 2, size), np.float32) for name, size in (("q", 32), ("k", 16), ("v", 16))}
IMAGE, FILTER = {"x": np.ones((1, 2, 6, 6), np.float32)}, {"w": np.ones((3, 2, 3, 3), np.float32)}


def nbits(**attributes) -> onnx.ModelProto:
    model = draw(1).model()
    set_attributes(model.graph.node[0], attributes)
    return model


def conv(op_type: str = "Conv", domain: str = "", **attributes) -> onnx.ModelProto:
    return one_node(helper.make_node(op_type, ["x", "w"], ["y"], "node", domain=domain, **attributes), IMAGE, FILTER)


def grouped(**attributes) -> onnx.ModelProto:
    given = {"num_heads": 4, "kv_num_heads": 2, **attributes}
    names = ["q", "k", "v", "", "", "lengths", "total"]
    node = helper.make_node("GroupQueryAttention", names, ["y", "pk", "pv"], "node", domain=MICROSOFT, **given)
    return one_node(node, ROWS, {"lengths": np.int32([1]), "total": np.int32(2)})


def multi_head(**attributes) -> onnx.ModelProto:
    rows = {name: np.ones((1, 2, 32), np.float32) for name in "qkv"}
    return one_node(
        helper.make_node("MultiHeadAttention", list("qkv"), ["y"], "node", domain=MICROSOFT, **attributes), rows
    )


def standard(**attributes) -> onnx.ModelProto:
    given = {"q_num_heads": 4, "kv_num_heads": 2, **attributes}
    return one_node(helper.make_node("Attention", list("qkv"), ["y"], "node", **given), ROWS, opset=23)


def lstm(**attributes) -> onnx.ModelProto:
    weights = {"w": np.ones((1, 12, 2), np.float32), "r": np.ones((1, 12, 3), np.float32)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], "node", **attributes)
    return one_node(node, {"x": np.ones((3, 1, 2), np.float32)}, weights)


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (nbits(block_size=0), "expected block_size to be a power of two from 16 on, got 0"),
        (nbits(block_size=24), "expected block_size to be a power of two from 16 on, got 24"),
        (nbits(bits=3), "expected bits to be one of 2, 4, 8, got 3"),
        (nbits(K=0), "expected K to be at least 1, got 0"),
        (nbits(N=-1), "expected N to be at least 1, got -1"),
        (grouped(kv_num_heads=0), "expected kv_num_heads to be at least 1, got 0"),
        (grouped(kv_num_heads=3), "expected kv_num_heads to divide num_heads, got 3 and 4"),
        (grouped(num_heads=-2), "expected num_heads to be at least 1, got -2"),
        (multi_head(num_heads=0), "expected num_heads to be at least 1, got 0"),
        (standard(q_num_heads=0), "expected q_num_heads to be at least 1, got 0"),
        (standard(kv_num_heads=3), "expected kv_num_heads to divide q_num_heads, got 3 and 4"),
        (standard(qk_matmul_output_mode=7), "expected qk_matmul_output_mode to be one of 0, 1, 2, 3, got 7"),
        (grouped(qk_output=3), "expected qk_output to be one of 0, 1, 2, got 3"),
        (lstm(hidden_size=0), "expected hidden_size to be at least 1, got 0"),
        (conv(strides=[0, 1]), "expected strides to be at least 1, got [0, 1]"),
        (conv(dilations=[1, -1]), "expected dilations to be at least 1, got [1, -1]"),
        (conv(kernel_shape=[3, 0]), "expected kernel_shape to be at least 1, got [3, 0]"),
        (conv(pads=[-1, 0, 0, 0]), "expected pads to be at least 0, got [-1, 0, 0, 0]"),
        (conv(group=0), "expected group to be at least 1, got 0"),
        (conv("ConvTranspose", group=0), "expected group to be at least 1, got 0"),
        (conv("ConvTranspose", output_padding=[-1, 0]), "expected output_padding to be at least 0, got [-1, 0]"),
        (
            lstm(hidden_size=3, direction="back"),
            "expected direction to be one of forward, reverse, bidirectional, got back",
        ),
        (conv(auto_pad="SAME"), "expected auto_pad to be one of NOTSET, SAME_UPPER, SAME_LOWER, VALID, got SAME"),
        (conv("FusedConv", MICROSOFT, strides=[1, 0]), "expected strides to be at least 1, got [1, 0]"),
    ],
)
def test_values_that_no_runtime_takes_are_refused_with_the_name_of_the_node(model, problem, tmp_path):
    node = model.graph.node[0]
    with pytest.raises(ModelError) as refused:
        lba_onnx.convert(model, SPEC, model_output=tmp_path / "low.onnx")
    assert str(refused.value) == f"{node.op_type} '{node.name}' in main: {problem}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (conv(strides=2), "expected strides to be a list of ints, got an int"),
        (conv("ConvTranspose", group="one"), "expected group to be an int, got a string"),
        (conv("FusedConv", MICROSOFT, activation=1), "expected activation to be a string, got an int"),
        (nbits(N=35.0), "expected N to be an int, got a float"),
        (grouped(num_heads=[4]), "expected num_heads to be an int, got a list of ints"),
        (multi_head(num_heads=4, scale="half"), "expected scale to be a float, got a string"),
        (standard(is_causal=1.0), "expected is_causal to be an int, got a float"),
        (lstm(hidden_size=3, activations="Tanh"), "expected activations to be a list of strings, got a string"),
        (lstm(hidden_size=3, activation_alpha=0.5), "expected activation_alpha to be a list of floats, got a float"),
    ],
)
def test_types_that_no_operator_has_are_refused_when_a_model_is_read(model, problem):
    node = model.graph.node[0]
    for use in (lba_onnx.rewrite.list_candidates, lambda read: lba_onnx.convert(read, SPEC)):
        with pytest.raises(ModelError) as refused:
            use(model)
        assert str(refused.value) == f"model: {node.op_type} '{node.name}': {problem}"


def test_a_node_that_is_excluded_may_have_any_values():
    model = conv("ConvTranspose", group=0)
    _, report = lba_onnx.convert(model, SPEC, selection=lba_onnx.Selection(nodes_to_exclude=["node"]))
    assert [entry.node for entry in report.left] == ["node"]


def test_lists_of_nothing_are_as_absent():
    nothing = helper.make_attribute("strides", [], attr_type=onnx.AttributeProto.INTS)
    model = conv("FusedConv", MICROSOFT)
    plain, _ = lba_onnx.convert(model, SPEC)
    model.graph.node[0].attribute.append(nothing)
    assert lba_onnx.convert(model, SPEC)[0] == plain


@pytest.mark.parametrize("level", [-1, 5])
def test_levels_that_onnxruntime_takes_for_its_default_are_the_default(level):
    case = draw(1)
    converted, _ = lba_onnx.convert(nbits(accuracy_level=level), SPEC)
    assert "accuracy_level" not in {attribute.name for attribute in converted.graph.node[0].attribute}
    np.testing.assert_array_equal(case.run(converted), lba_onnx.matmul(case.a, case.weights, SPEC))


@pytest.mark.parametrize("has_mask", [False, True])
def test_an_empty_batch_of_keys_in_heads_beside_a_bias_runs(has_mask):
    feeds = {"q": np.ones((0, 2, 8), np.float32), "k": np.ones((0, 2, 3, 4), np.float32)}
    feeds |= {"v": feeds["k"], "mask": np.ones((0, 3), np.int32), "bias": np.ones((1, 2, 2, 3), np.float32)}
    names = ["q", "k", "v", "", "mask" if has_mask else "", "bias"]
    feeds = {name: value for name, value in feeds.items() if name in names}
    node = helper.make_node("MultiHeadAttention", names, ["y"], "node", domain=MICROSOFT, num_heads=2)
    converted, report = lba_onnx.convert(one_node(node, feeds), SPEC)
    assert len(report.converted) == 2
    assert lba_onnx.make_session(converted).run(None, feeds)[0].shape == (0, 2, 8)


def test_unidirectional_attention_over_more_keys_in_heads_is_left():
    feeds = {"q": np.ones((2, 5, 4), np.float32), "k": np.ones((2, 1, 2, 4), np.float32)}
    feeds["v"] = feeds["k"]
    node = helper.make_node(
        "MultiHeadAttention", list("qkv"), ["y"], "node", domain=MICROSOFT, num_heads=1, unidirectional=1
    )
    assert "unidirectional" in refusal(one_node(node, feeds))
