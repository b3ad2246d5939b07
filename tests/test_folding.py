"""Scales and offsets per channel go into weights and biases wherever a node lives, and change nothing else.

The specs are M22E7b63 and all values small integers, so that every result is exact.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import OPSET, branching_model, constant, function_model, loop_model, model, tensor

import lba_onnx
from lba_onnx.rewrite.folding import FUNCTION_WEIGHTS, NO_CONSTANT, ChannelAffine, find_scalable, fold

SPEC = lba_onnx.AccumulatorSpec.parse("M22E7b63/M22E7b63")


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def affine(channels: int) -> ChannelAffine:
    index = np.arange(channels, dtype=np.float32)
    return ChannelAffine(2.0 ** (index % 3 - 1), 3 * index - 4)


def converted(proto: onnx.ModelProto) -> onnx.ModelProto:
    return lba_onnx.convert(proto, SPEC)[0]


def run(proto: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    return lba_onnx.make_session(proto).run(None, feeds)[0]


def folded(proto: onnx.ModelProto, **corrections: ChannelAffine) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    fold(changed, corrections)
    onnx.checker.check_model(changed)
    return changed


def single(node: onnx.NodeProto, inputs, output, weights) -> onnx.ModelProto:
    return converted(model([node], inputs, [output], weights))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("has_bias", [False, True])
def test_conv_with_and_without_bias(rank: int, has_bias: bool):
    names = ["x", "w", *(["b"] if has_bias else [])]
    node = helper.make_node("Conv", names, ["y"], "conv", group=2)
    weights = {"w": integers(6, 2, *[2] * rank), **({"b": integers(6)} if has_bias else {})}
    proto = single(node, [tensor("x", 1, 4, *[5] * rank)], tensor("y", 1, 6, *[4] * rank), weights)
    x, bias = integers(1, 4, *[5] * rank, seed=1), weights.get("b", np.zeros(6, np.float32))
    by_channel = [1, 6, *[1] * rank]
    a = affine(6)
    plain = run(proto, x=x) - bias.reshape(by_channel)
    expected = plain * a.scale.reshape(by_channel) + (a.offset + bias).reshape(by_channel)
    changed = folded(proto, conv=a)
    np.testing.assert_array_equal(run(changed, x=x), expected)
    inserted = [] if has_bias else ["Constant"]  # all else happens in place
    assert [node.op_type for node in changed.graph.node] == [*inserted, "LbaConv"]


@pytest.mark.parametrize("transposes", [0, 1])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 0.5), (2.0, 0.0)])
@pytest.mark.parametrize("addend", [None, (5,), (1, 5), (3, 1), (3, 5), ()])
def test_gemm_with_alpha_beta_and_any_addend(transposes: int, alpha: float, beta: float, addend):
    names = ["x", "w", *(["c"] if addend is not None else [])]
    node = helper.make_node("Gemm", names, ["y"], "gemm", transB=transposes, alpha=alpha, beta=beta)
    weights = {"w": integers(*((5, 4) if transposes else (4, 5)))}
    if addend is not None:
        weights["c"] = integers(*addend, seed=2)
    proto = single(node, [tensor("x", 3, 4)], tensor("y", 3, 5), weights)
    x, a = integers(3, 4, seed=1), affine(5)
    b = weights["w"].T if transposes else weights["w"]
    expected = alpha * ((x @ b) * a.scale + a.offset) + beta * weights.get("c", np.float32(0))
    np.testing.assert_array_equal(run(folded(proto, gemm=a), x=x), np.broadcast_to(expected, (3, 5)))


@pytest.mark.parametrize("transposes", [0, 1])
def test_gemm_with_constant_on_the_left(transposes: int):
    node = helper.make_node("Gemm", ["w", "x"], ["y"], "gemm", transA=transposes)
    w = integers(*((4, 5) if transposes else (5, 4)))
    proto = single(node, [tensor("x", 4, 3)], tensor("y", 5, 3), {"w": w})
    x, a = integers(4, 3, seed=1), affine(5)
    expected = ((w.T if transposes else w) @ x) * a.scale[:, None] + a.offset[:, None]
    np.testing.assert_array_equal(run(folded(proto, gemm=a), x=x), expected)


@pytest.mark.parametrize(
    ("x", "w", "constant_is_left"),
    [
        ((3, 4), (4, 5), False),
        ((2, 3, 4), (2, 4, 5), False),
        ((3, 4), (4,), False),
        ((4,), (4, 5), False),
        ((4, 3), (5, 4), True),
        ((2, 4, 3), (5, 4), True),
        ((4, 3), (4,), True),
    ],
)
def test_matmul_of_any_rank(x, w, constant_is_left: bool):
    values, weights = integers(*x, seed=1), integers(*w)
    y = np.matmul(weights, values) if constant_is_left else np.matmul(values, weights)
    node = helper.make_node("MatMul", ["w", "x"] if constant_is_left else ["x", "w"], ["y"], "matmul")
    proto = single(node, [tensor("x", *x)], tensor("y", *y.shape), {"w": weights})
    channels = 1 if len(w) == 1 else w[0] if constant_is_left else w[-1]
    a = affine(channels)
    shape = (-1, 1) if constant_is_left and len(w) == 2 else (-1,)
    expected = y * a.scale.reshape(shape) + a.offset.reshape(shape)
    np.testing.assert_array_equal(run(folded(proto, matmul=a), x=values), expected)


def test_weights_that_others_read_are_scaled_in_a_copy():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w"], ["y"], "second"),
    ]
    w = integers(4, 4)
    proto = converted(model(nodes, [tensor("x", 2, 4)], [tensor("y", 2, 4)], {"w": w}))
    x, a = integers(2, 4, seed=1), affine(4)
    changed = folded(proto, first=a)
    np.testing.assert_array_equal(run(changed, x=x), ((x @ w) * a.scale + a.offset) @ w)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(changed.graph.initializer[0]), w)


def test_weights_that_follow_from_constants_are_scaled_behind_them():
    nodes = [
        helper.make_node("Cast", ["w8"], ["w"], "cast", to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"], "matmul"),
    ]
    w = integers(4, 5)
    proto = converted(model(nodes, [tensor("x", 2, 4)], [tensor("y", 2, 5)], {"w8": w.astype(np.int8)}))
    x, a = integers(2, 4, seed=1), affine(5)
    np.testing.assert_array_equal(run(folded(proto, matmul=a), x=x), (x @ w) * a.scale + a.offset)


def test_constant_nodes_are_scaled_in_place():
    w = integers(4, 5)
    nodes = [
        helper.make_node("Constant", [], ["w"], "weights", value=constant("", w)),
        helper.make_node("MatMul", ["x", "w"], ["y"], "matmul"),
    ]
    proto = converted(model(nodes, [tensor("x", 2, 4)], [tensor("y", 2, 5)]))
    x, a = integers(2, 4, seed=1), ChannelAffine(affine(5).scale, np.zeros(5, np.float32))
    changed = folded(proto, matmul=a)
    np.testing.assert_array_equal(run(changed, x=x), (x @ w) * a.scale)
    assert [node.op_type for node in changed.graph.node] == ["Constant", "LbaMatMul"]


def test_float16_weights_stay_float16():
    w = integers(4, 5).astype(np.float16)
    kind = TensorProto.FLOAT16
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "matmul")
    proto = single(node, [tensor("x", 2, 4, kind=kind)], tensor("y", 2, 5, kind=kind), {"w": w})
    x, a = integers(2, 4, seed=1).astype(np.float16), affine(5)
    y = run(folded(proto, matmul=a), x=x)
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y, ((x @ w) * a.scale + a.offset).astype(np.float16))


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.BFLOAT16])
def test_types_behind_casts_are_scaled_behind_the_cast(kind: int):
    w = integers(4, 5)
    tensor_w = helper.make_tensor("w", kind, [4, 5], w.ravel().tolist())
    nodes = [helper.make_node("MatMul", ["x16", "w"], ["y16"], "matmul")]
    casts = [
        helper.make_node("Cast", ["x"], ["x16"], "cast_in", to=kind),
        *nodes,
        helper.make_node("Cast", ["y16"], ["y"], "cast_out", to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(casts, "typed", [tensor("x", 2, 4)], [tensor("y", 2, 5)], [tensor_w])
    proto = converted(helper.make_model(graph, opset_imports=OPSET, ir_version=8))
    x = integers(2, 4, seed=1)
    a = ChannelAffine(np.full(5, 2, np.float32), np.full(5, 4, np.float32))
    np.testing.assert_array_equal(run(folded(proto, matmul=a), x=x), (x @ w) * 2 + 4)


def test_branches_and_loops_are_reached():
    x, a = np.array([[1, 2]], np.float32), affine(2)
    proto = converted(branching_model())
    changed = folded(proto, then_matmul=a)
    np.testing.assert_array_equal(run(changed, x=x), x * a.scale + a.offset)
    np.testing.assert_array_equal(run(changed, x=-x), -x)
    loop = folded(converted(loop_model(2)), loop_matmul=a)
    once = 2 * x * a.scale + a.offset
    np.testing.assert_array_equal(run(loop, x=x), 2 * once * a.scale + a.offset)


def test_matmuls_in_functions_take_scales_but_no_offsets():
    proto = converted(function_model())
    nodes = find_scalable(proto).nodes
    assert not nodes["inner_matmul"].takes_offset
    a = ChannelAffine(affine(2).scale, np.zeros(2, np.float32))
    x = np.array([[1, 2]], np.float32)
    np.testing.assert_array_equal(run(folded(proto, inner_matmul=a), x=x), x * (2 * a.scale) ** 2)


def test_nodes_without_a_constant_are_left_with_the_reason():
    node = helper.make_node("Gemm", ["a", "b"], ["y"], "gemm")
    proto = single(node, [tensor("a", 2, 3), tensor("b", 3, 2)], tensor("y", 2, 2), {})
    scalable = find_scalable(proto)
    assert (scalable.nodes, scalable.reasons) == ({}, {"gemm": NO_CONSTANT})


def test_weights_passed_to_a_function_are_left_with_the_reason():
    matmul = helper.make_node("MatMul", ["a", "w"], ["b"], "inner")
    function = helper.make_function("mine", "Project", ["a", "w"], ["b"], [matmul], OPSET)
    call = helper.make_node("Project", ["x", "weights"], ["y"], "call", domain="mine")
    proto = model(
        [call], [tensor("x", 2, 4)], [tensor("y", 2, 4)], {"weights": integers(4, 4)}, [function],
        [*OPSET, helper.make_opsetid("mine", 1)],
    )  # fmt: skip
    scalable = find_scalable(converted(proto))
    assert (scalable.nodes, scalable.reasons) == ({}, {"inner": FUNCTION_WEIGHTS})


@pytest.mark.parametrize(
    ("inputs", "weights", "x", "y"),
    [
        (["w", "x"], (3, 4), (4,), (3,)),
        (["w", "x"], (4,), (4, 5), (5,)),
        (["x", "w"], (4,), (4,), ()),
        (["x", "w"], (4,), (2, 3, 4), (2, 3)),
        (["x", "w"], (4, 3), (4,), (3,)),
    ],
)
def test_vectors_keep_the_shape_of_the_product(inputs, weights, x, y):
    node = helper.make_node("MatMul", inputs, ["y"], "matmul")
    proto = single(node, [tensor("x", *x)], tensor("y", *y), {"w": integers(*weights)})
    values = integers(*x, seed=1)
    a = affine(3 if 3 in weights else 1)
    scale, offset = (a.scale, a.offset) if 3 in weights else (a.scale[0], a.offset[0])
    expected = np.asarray(run(proto, x=values) * scale + offset)
    found = run(folded(proto, matmul=a), x=values)
    assert found.shape == y
    np.testing.assert_array_equal(found, expected)


def test_matrices_on_the_left_take_no_offset_where_the_shape_of_the_product_is_not_known():
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["r"]), helper.make_node("MatMul", ["w", "r"], ["y"], "left")]
    inputs = [tensor("x", 4), tensor("shape", "rank", kind=TensorProto.INT64)]
    proto = converted(model(nodes, inputs, [tensor("y", 3)], {"w": integers(3, 4)}))
    assert not find_scalable(proto).nodes["left"].takes_offset


def test_weights_that_the_calls_of_a_function_give_are_scaled_in_the_function():
    weights = helper.make_node("Constant", [], ["w"], "weight")
    weights.attribute.add(name="value", ref_attr_name="of_call", type=onnx.AttributeProto.TENSOR)
    nodes = [weights, helper.make_node("MatMul", ["a", "w"], ["b"], "inner")]
    function = helper.make_function("mine", "Scale", ["a"], ["b"], nodes, OPSET, attributes=["of_call"])
    first, second = integers(3, 3), integers(3, 3, seed=2)
    calls = [
        helper.make_node("Scale", ["x"], ["h"], "first", domain="mine", of_call=constant("", first)),
        helper.make_node("Scale", ["h"], ["y"], "second", domain="mine", of_call=constant("", second)),
    ]
    opsets = [*OPSET, helper.make_opsetid("mine", 1)]
    proto = converted(model(calls, [tensor("x", 2, 3)], [tensor("y", 2, 3)], {}, [function], opsets))
    a = ChannelAffine(affine(3).scale, np.zeros(3, np.float32))
    x = integers(2, 3, seed=1)
    np.testing.assert_array_equal(run(folded(proto, inner=a), x=x), (x @ (first * a.scale)) @ (second * a.scale))
