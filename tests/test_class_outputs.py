"""Which outputs count as scores of classes.

A user compared a sentence encoder whose first output is its input, token ids passed through: "same top-1 in both" was
taken of these, 100 % whatever the model did. Embeddings and hidden states have the shape of scores, too.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from small_models import model, network, tensor

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.data.batches import Batch
from lba_onnx.evaluation import Proportion, compare, evaluate
from lba_onnx.evaluation.class_agreement import ClassAgreement
from lba_onnx.evaluation.class_outputs import ClassOutputs, by_shape, find_class_outputs
from lba_onnx.rewrite import convert

RANDOM = np.random.default_rng(0)
W = RANDOM.standard_normal((4, 3)).astype(np.float32)


def with_tail(*tail: onnx.NodeProto, columns: int = 3, weights: dict | None = None) -> onnx.ModelProto:
    """h = MatMul(x, w), then the nodes given, the last of which yields y."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mm"), *tail]
    values = {"w": W[:, :columns], **(weights or {})}
    return model(nodes, [tensor("x", "batch", 4)], [tensor("y", "batch", None)], values)


def node(op_type: str, *inputs: str, output: str = "y", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op_type, list(inputs), [output], **attributes)


TWO = {"c": np.array([1, 2, 3], np.float32)}

SCORES = {
    "bias": with_tail(node("Add", "h", "c"), weights=TWO),
    "constant factor": with_tail(node("Mul", "h", "c"), weights=TWO),
    "sum of two products": with_tail(node("MatMul", "x", "w", output="g"), node("Add", "g", "h")),
    "reshape and cast": with_tail(node("Identity", "h", output="i"), node("Flatten", "i")),
    "network": network(),
}
PROBABILITIES = {
    "softmax": with_tail(node("Softmax", "h")),
    "log of softmax": with_tail(node("LogSoftmax", "h")),
    "sigmoid": with_tail(node("Sigmoid", "h")),
}
NO_SCORES = {
    "norm": with_tail(node("ReduceL2", "h", output="n", axes=[1]), node("Div", "h", "n")),
    "pooler": with_tail(node("Tanh", "h")),
    "layer normalisation": with_tail(node("LayerNormalization", "h", "c"), weights=TWO),
    "weighted by a mask": with_tail(node("Mul", "h", "x"), columns=1),
}


@pytest.mark.parametrize("name", SCORES)
def test_product_with_steps_that_keep_the_order_gives_scores(name):
    assert find_class_outputs(SCORES[name]) == ClassOutputs(scores=("y",))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_softmax_and_sigmoid_give_probabilities(name):
    assert find_class_outputs(PROBABILITIES[name]).probabilities == ("y",)


@pytest.mark.parametrize("name", NO_SCORES)
def test_other_ends_give_no_scores(name):
    assert find_class_outputs(NO_SCORES[name]) == ClassOutputs()


def test_converted_models_have_the_scores_that_they_had():
    converted, _ = convert(network(), AccumulatorSpec.parse("M7E4b10"))
    assert find_class_outputs(converted) == find_class_outputs(network())


def test_token_ids_that_are_passed_through_are_no_scores():
    nodes = [
        node("Identity", "ids", output="same_ids"),
        node("Cast", "ids", output="f", to=1),
        node("MatMul", "f", "w"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 4])
    same = helper.make_tensor_value_info("same_ids", TensorProto.INT64, ["batch", 4])
    reference = model(nodes, [ids], [same, tensor("y", "batch", 3)], {"w": W})
    other = model(nodes, [ids], [same, tensor("y", "batch", 3)], {"w": -W})
    data = {"ids": RANDOM.integers(0, 9, (20, 4))}
    assert compare(reference, reference, data).agreement == Proportion(20, 20)
    result = compare(reference, other, data)
    assert result.agreement.hits < 20
    assert [output.agreement is None for output in result.outputs] == [True, False]


def test_with_probabilities_products_alone_do_not_count():
    """A face detector's landmarks end in a product, too."""
    nodes = [node("MatMul", "x", "w", output="boxes"), node("Softmax", "boxes", output="p")]
    made = model(nodes, [tensor("x", "batch", 4)], [tensor("boxes", "batch", 3), tensor("p", "batch", 3)], {"w": W})
    data = {"x": RANDOM.standard_normal((9, 4)).astype(np.float32)}
    assert [output.name for output in compare(made, made, data).outputs if output.agreement] == ["p"]


def test_one_sigmoid_decides_between_two_classes():
    made = with_tail(node("Sigmoid", "h"), columns=1)
    x = RANDOM.standard_normal((40, 4)).astype(np.float32)
    labels = (x @ W[:, :1] > 0).astype(np.int64)
    assert evaluate(made, {"x": x, "label": labels}).top1 == Proportion(40, 40)
    assert evaluate(made, {"x": x, "label": 1 - labels}).top1 == Proportion(0, 40)


def test_labels_make_scores_of_what_has_the_shape():
    made = with_tail(node("Tanh", "h"))
    x = RANDOM.standard_normal((40, 4)).astype(np.float32)
    assert evaluate(made, {"x": x, "label": (x @ W).argmax(axis=1)}).top1 == Proportion(40, 40)
    assert compare(made, made, {"x": x}).agreement is None


def test_several_outputs_agree_where_all_do():
    nodes = [node("MatMul", "x", "w", output="y"), node("MatMul", "x", "v", output="z")]
    outputs = [tensor("y", "batch", 3), tensor("z", "batch", 3)]
    v, x = -W[:, ::-1], RANDOM.standard_normal((50, 4)).astype(np.float32)
    reference = model(nodes, [tensor("x", "batch", 4)], outputs, {"w": W, "v": v})
    candidate = model(nodes, [tensor("x", "batch", 4)], outputs, {"w": W + 0.5 * v, "v": v + 0.5})
    result = compare(reference, candidate, {"x": x})
    same = [(x @ a).argmax(axis=1) == (x @ b).argmax(axis=1) for a, b in ((W, W + 0.5 * v), (v, v + 0.5))]
    assert [output.agreement.hits for output in result.outputs] == [part.sum() for part in same]
    assert result.agreement == Proportion(int((same[0] & same[1]).sum()), 50)


def test_shape_decides_where_there_is_no_graph():
    batch = Batch({}, 2, 2, None, "here")
    outputs = {"a": np.zeros((2, 1)), "b": np.zeros((2, 3, 4)), "c": np.zeros((2, 4), np.int64), "d": np.eye(2)}
    assert list(by_shape(outputs).find(outputs, batch)) == ["d"]


def test_kappa_is_that_of_the_textbook():
    """Cohen (1960): 45 and 25 agree of 100; by chance 54 would: kappa is .16 / .46."""
    reference = np.repeat([0, 0, 1, 1], [45, 15, 15, 25])
    candidate = np.repeat([0, 1, 0, 1], [45, 15, 15, 25])
    counted = ClassAgreement()
    counted.update(np.eye(2)[reference], np.eye(2)[candidate])
    by_chance = 0.6 * 0.6 + 0.4 * 0.4
    assert counted.kappa == pytest.approx((0.7 - by_chance) / (1 - by_chance))
    assert counted.proportion == Proportion(70, 100)


def test_kappa_of_one_class_is_none():
    counted = ClassAgreement()
    counted.update(np.eye(2)[[0, 0]], np.eye(2)[[0, 1]])
    assert counted.kappa is None
