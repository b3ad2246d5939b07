"""What is known of values behind operators that onnx's inference does not know."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from rewrite_models import model_of, value, weights

from lba_onnx.rewrite import list_candidates
from lba_onnx.rewrite.typed import type_graphs

MICROSOFT = "com.microsoft"


def skip(x: str, output: str) -> onnx.NodeProto:
    return helper.make_node("SkipLayerNormalization", [x, x, "g"], [output], domain=MICROSOFT)


def chain() -> list[onnx.NodeProto]:
    return [
        skip("x", "a"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("FusedMatMul", ["b", "b"], ["c"], domain=MICROSOFT, transB=1, alpha=0.5),
        helper.make_node("Softmax", ["c"], ["d"]),
        helper.make_node("FusedMatMul", ["d", "b"], ["y"], "last", domain=MICROSOFT),
    ]


def types_of(model: onnx.ModelProto) -> dict[str, tuple[int, tuple[int, ...] | None]]:
    graph = type_graphs(model).main.graph
    return {
        info.name: (info.type.tensor_type.elem_type, tuple(d.dim_value for d in info.type.tensor_type.shape.dim))
        for info in graph.value_info
    }


def chain_model() -> onnx.ModelProto:
    return model_of(chain(), [value("x", shape=(2, 3, 4))], [value("y", shape=None)], [weights("g", (4,))])


def test_types_and_shapes_are_followed_through_operators_of_onnxruntime():
    types = types_of(chain_model())
    assert types == {
        "a": (TensorProto.FLOAT, (2, 3, 4)),
        "b": (TensorProto.FLOAT, (2, 3, 4)),
        "c": (TensorProto.FLOAT, (2, 3, 3)),
        "d": (TensorProto.FLOAT, (2, 3, 3)),
    }


def test_products_behind_them_are_converted_with_their_types():
    entries = list(list_candidates(chain_model()))
    assert [(entry.element_type, entry.reason) for entry in entries] == [("float32", "")] * 2


def test_values_in_branches_are_followed_from_those_around_them():
    branches = [
        helper.make_graph([helper.make_node("MatMul", ["a", "w"], [name], name)], name, [], [value(name, shape=None)])
        for name in ("then", "else")
    ]
    switch = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    inputs = [value("x", shape=(2, 3, 4)), value("c", TensorProto.BOOL, [])]
    model = model_of([skip("x", "a"), switch], inputs, [value("y", shape=None)], [weights("g", (4,)), weights("w")])
    assert {entry.element_type for entry in list_candidates(model)} == {"float32"}


def test_what_nobody_knows_stays_unknown():
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], domain="my"),
        skip("a", "b"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    assert types_of(model_of(nodes, initializers=[weights("g", (4,))])) == {}


def test_declared_types_are_not_overruled():
    model = chain_model()
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT16, [2, 3, 4]))
    assert types_of(model)["a"] == (TensorProto.FLOAT16, (2, 3, 4))


def test_constants_without_values_are_no_obstacle():
    model = model_of(
        [skip("x", "a"), helper.make_node("Reshape", ["a", "shape"], ["b"]), helper.make_node("Relu", ["b"], ["y"])],
        [value("x", shape=(2, 3, 4))],
        initializers=[weights("g", (4,)), onnx.numpy_helper.from_array(np.asarray([6, 4]), "shape")],
    )
    assert types_of(model)["b"] == (TensorProto.FLOAT, (6, 4))
