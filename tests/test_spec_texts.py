"""Everywhere that a spec is wanted, its text serves; what people have in hand for `convert` is taken as it is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rewrite_models import SPEC, matmul_model
from small_models import images, network

import lba_onnx
from lba_onnx import reference
from lba_onnx.arithmetic import AccumulatorSpec, as_spec
from lba_onnx.arithmetic.arguments import option_texts, with_options
from lba_onnx.arithmetic.registry import kinds
from lba_onnx.errors import DataError, ModelError, SelectionError
from lba_onnx.reference import gradients
from lba_onnx.rewrite.provenance import PROVENANCE_KEY, read_json_entry
from lba_onnx.rewrite.specs import change_specs, read_specs
from lba_onnx.session import make_session

TEXT = "M7E4b12/M7E4b10,chunk=8,underflow=off"


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("M7E4", 1, "expected an exponent bias, as in 'M7E4b10'"),
        ("M7E4b12 / M7E4", 11, "expected an exponent bias"),
        ("M7E4b12/M7E4x", 9, "expected a format such as 'M7E4b10', got 'M7E4x'"),
        ("M7E4b10, foo=1", 10, "start=carry or zero, got 'foo=1' (the nearest is 'seed=1')"),
        ("M7E4b10,chunk=8,chunk=9", 17, "expected chunk once"),
        ("M7E4b10,chunk=0", 9, "expected a chunk_size of at least 1"),
        ("M7E4b10,chunk=" + "9" * 5000, 9, "expected chunk=<size>"),
        ("M99E4b10", 1, "expected mantissa_bits from 0 to 22"),
    ],
)
def test_an_error_tells_the_position_and_what_was_expected(text: str, position: int, expected: str):
    with pytest.raises(ValueError) as caught:
        AccumulatorSpec.parse(text)
    assert expected in str(caught.value)
    assert f"at character {position} of the spec" in str(caught.value)


@pytest.mark.parametrize("text", ["M7E4b10,chunk=8,underflow=off", " M7E4b10 , underflow=off, chunk=8 "])
def test_options_come_in_any_order_and_what_is_printed_is_read_again(text: str):
    spec = AccumulatorSpec.parse(text)
    assert str(spec) == "M7E4b11/M7E4b10,chunk=8,underflow=off"
    assert AccumulatorSpec.parse(str(spec)) == spec
    assert str(AccumulatorSpec.parse("M7E4b10,chunk=16,underflow=on")) == "M7E4b12/M7E4b10"


def test_options_given_beside_a_text_must_agree_with_it():
    """`--spec M7E4b10,chunk=8 --chunk_size 32` says two things; neither may win without a word."""
    assert with_options("M7E4b10", option_texts(chunk_size=8)) == "M7E4b10,chunk=8"
    assert with_options("M7E4b10", option_texts(chunk_size=16)) == "M7E4b10"
    assert with_options("M7E4b10,chunk=8", option_texts(chunk_size=8)) == "M7E4b10,chunk=8"
    with pytest.raises(ValueError, match="agrees with chunk=32, got 'M7E4b10,chunk=8', which says chunk=8"):
        with_options("M7E4b10,chunk=8", option_texts(chunk_size=32))
    with pytest.raises(ValueError, match="agrees with underflow=off"):
        with_options("M7E4b10,underflow=on", option_texts(underflow=False))


def test_arithmetic_takes_texts():
    a, b, grad = random(3, 20), random(20, 4), random(3, 4)
    x, w = random(1, 2, 6, 6), random(3, 2, 3, 3)
    spec = AccumulatorSpec.parse(TEXT)
    np.testing.assert_array_equal(lba_onnx.matmul(a, b, TEXT), lba_onnx.matmul(a, b, spec))
    np.testing.assert_array_equal(lba_onnx.conv(x, w, TEXT), lba_onnx.conv(x, w, spec))
    np.testing.assert_array_equal(reference.matmul(a, b, TEXT), reference.matmul(a, b, spec))
    np.testing.assert_array_equal(reference.conv(x, w, TEXT), reference.conv(x, w, spec))
    assert reference.dot(a[0], b[:, 0], TEXT) == reference.dot(a[0], b[:, 0], spec)
    assert reference.fmaq(1.25, 3.0, 0.5, TEXT) == reference.fmaq(1.25, 3.0, 0.5, spec)
    rule = "immediate_difference"
    texts, specs = (gradients.matmul_gradients(grad, a, b, s, rule) for s in (TEXT, spec))
    np.testing.assert_array_equal(texts[0], specs[0])
    masks = (gradients.conv_masks(x, w, s, rule) for s in (TEXT, spec))
    np.testing.assert_array_equal(*masks)


@pytest.mark.parametrize("value", [7, None, b"M7E4b10", ["M7E4b10"]])
def test_one_error_names_the_argument_and_what_was_expected(value):
    expected = f"AccumulatorSpec or its text such as 'M7E4b10', got {type(value).__name__}"
    with pytest.raises(TypeError, match=f"^where: expected an {expected}"):
        as_spec(value, "where")
    with pytest.raises(TypeError, match=f"^spec: expected an {expected}"):
        lba_onnx.matmul(random(2, 2), random(2, 2), value)
    with pytest.raises(TypeError, match=f"^spec of node 'product': expected an {expected}"):
        lba_onnx.convert(matmul_model(), {"product": value})
    converted = lba_onnx.convert(matmul_model(), SPEC)[0]
    with pytest.raises(TypeError, match=f"^spec of node 'product': expected an {expected}"):
        change_specs(converted, lambda name, spec: value)


def test_change_specs_takes_texts():
    converted = lba_onnx.convert(matmul_model(), SPEC)[0]
    assert read_specs(change_specs(converted, lambda name, spec: TEXT)) == {"product": AccumulatorSpec.parse(TEXT)}


@pytest.fixture(scope="module")
def calibration() -> lba_onnx.Calibration:
    return lba_onnx.calibrate(network(), {"x": images(16)}, family="M7E4")


def test_convert_takes_what_people_have_in_hand(calibration: lba_onnx.Calibration, tmp_path: Path):
    """A calibration had to be taken apart: `convert(model, biases)` failed, `convert(model, "biases.json")` too."""
    path = tmp_path / "biases.json"
    calibration.save(path)
    expected, _ = lba_onnx.convert(network(), calibration.specs, provenance=calibration.provenance)
    assert read_json_entry(expected, PROVENANCE_KEY)["data_sha256"] == calibration.data_sha256
    for given in (calibration, path, str(path)):
        assert lba_onnx.convert(network(), given)[0].SerializeToString() == expected.SerializeToString()
    texts = {name: str(spec) for name, spec in calibration.specs.items()}
    assert read_specs(lba_onnx.convert(network(), texts)[0]) == calibration.specs
    one = lba_onnx.convert(network(), AccumulatorSpec.parse(TEXT))[0]
    assert lba_onnx.convert(network(), TEXT)[0].SerializeToString() == one.SerializeToString()


def test_provenance_that_is_given_prevails(calibration: lba_onnx.Calibration):
    converted, _ = lba_onnx.convert(network(), calibration, provenance={"seed": 3})
    assert read_json_entry(converted, PROVENANCE_KEY) == {"seed": 3}


def test_text_that_is_a_spec_is_taken_as_one_even_where_a_file_has_its_name(tmp_path: Path, monkeypatch):
    (tmp_path / "M7E4b10").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert read_specs(lba_onnx.convert(matmul_model(), "M7E4b10")[0]) == {"product": SPEC}


def test_text_that_is_neither_spec_nor_file_is_refused_with_both_readings():
    with pytest.raises(ValueError, match=r"'M7E4' is neither a spec such as M7E4b10 \(expected an exponent bias.*file"):
        lba_onnx.convert(matmul_model(), "M7E4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a calibration"),
        ("not JSON", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"kind": "lba_onnx.calibration", "schema": 2, "nodes": 3}', "expected 'nodes' as an object, got int"),
        ('{"kind": "lba_onnx.calibration", "schema": 2, "nodes": {"a": 3}}', "node a: expected an object"),
        ('{"kind": "lba_onnx.calibration", "schema": 2, "nodes": {"a": {"spec": {}}}}', "node a: expected the entries"),
        ('{"kind": ' + "9" * 5000 + "}", "cannot be read as JSON"),
    ],
)
def test_a_file_that_holds_no_biases_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "biases.json"
    path.write_text(text)
    for read in (lambda: lba_onnx.convert(matmul_model(), str(path)), lambda: lba_onnx.Calibration.load(path)):
        with pytest.raises(DataError) as caught:
            read()
        assert str(path) in str(caught.value)
    with pytest.raises(DataError, match=message):
        lba_onnx.convert(matmul_model(), path)


def test_a_missing_biases_file_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="absent.json"):
        lba_onnx.convert(matmul_model(), tmp_path / "absent.json")


def test_biases_of_another_model_name_the_node(calibration: lba_onnx.Calibration):
    with pytest.raises(SelectionError, match="no node is called 'conv1'; the nearest names are 'product'"):
        lba_onnx.convert(matmul_model(), calibration.specs)


def test_nested_metadata_of_others_is_left_alone():
    """A hundred thousand brackets under the key of the correction ended `correct` with Python's RecursionError."""
    converted = lba_onnx.convert(matmul_model(), SPEC)[0]
    converted.metadata_props.add(key="lba_onnx.correction", value="[" * 100_000)
    assert read_json_entry(converted, "lba_onnx.correction") == {}
    corrected, _ = lba_onnx.correct(converted, {"x": random(8, 4)})
    assert read_json_entry(corrected, "lba_onnx.correction")["samples"] > 0
    converted.metadata_props[-1].value = json.dumps([1])
    assert read_json_entry(converted, "lba_onnx.correction") == {}


@pytest.mark.parametrize("spec", [text for kind in kinds() for text in (kind.example, *kind.further_examples)])
def test_the_library_names_the_same_options_as_python(spec: str):
    """The library is asked by a model whose text nobody in Python has looked at."""
    model, _ = lba_onnx.convert(matmul_model(), "kulisch")
    (attribute,) = (a for a in model.graph.node[0].attribute if a.name == "accumulator")
    text = f"{spec},unknown=1"
    attribute.s = text.encode()
    with pytest.raises(ModelError) as by_library:
        make_session(model)
    with pytest.raises(ValueError, match=r"expected .*, got 'unknown=1'") as by_python:
        as_spec(text)
    expected, _, _ = re.sub(r" \(the nearest is [^)]*\)", "", str(by_python.value)).partition(", at character")
    assert f": {expected.removeprefix('spec: ')}, at character" in str(by_library.value)
