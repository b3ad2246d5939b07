"""The operators read the accumulator's text, or the four attributes of before; models of before keep their bits."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from operator_models import node_model, old_attributes

from lba_onnx import AccumulatorSpec, make_session
from lba_onnx.errors import ModelError

MODELS = sorted((Path(__file__).parent / "models_of_before").glob("*.onnx"))
SPECS = ["M7E4b12/M7E4b10", "M5E4b9/M6E4b8,chunk=none,underflow=off", "M4E3b5,chunk=3"]
rng = np.random.default_rng(11)
A, B = (rng.standard_normal(shape).astype(np.float32) * 4 for shape in ((5, 40), (40, 7)))


def session_of(**attributes):
    return make_session(node_model("LbaMatMul", {"A": (A.dtype, A.shape)}, {"B": B}, attributes))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_of_before_has_the_bits_of_before(path):
    stored = dict(np.load(path.with_suffix(".npz")))
    y = stored.pop("y")
    nodes = onnx.load(path).graph.node
    assert any(a.name == "product_format" for node in nodes for a in node.attribute), "not a model of before"
    np.testing.assert_array_equal(make_session(path).run(None, stored)[0], y)


def test_there_are_models_of_before():
    assert len(MODELS) == 3


@pytest.mark.parametrize("text", SPECS)
def test_both_forms_compute_the_same_in_one_process(text):
    before = session_of(**old_attributes(AccumulatorSpec.parse(text)))
    now = session_of(accumulator=text)
    np.testing.assert_array_equal(now.run(None, {"A": A})[0], before.run(None, {"A": A})[0])


@pytest.mark.parametrize("name", ["product_format", "accumulator_format", "chunk_size", "underflow"])
def test_both_forms_in_one_node_are_an_error(name):
    before = old_attributes(AccumulatorSpec.parse(SPECS[0]))
    with pytest.raises(ModelError, match=f"(?s)LbaMatMul.*attributes accumulator and {name}: expected one of them"):
        session_of(accumulator=SPECS[0], **{name: before[name]})


def test_a_text_that_is_none_is_an_error_with_the_place():
    with pytest.raises(ModelError, match="attribute accumulator: expected chunk once, got it twice, at character 17"):
        session_of(accumulator="M7E4b10,chunk=8,chunk=9")
    with pytest.raises(ModelError, match="attribute accumulator: expected a string, got an int"):
        session_of(accumulator=7)
