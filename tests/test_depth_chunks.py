"""Families whose chunks follow the depth of each product."""

import numpy as np
import pytest
from onnx import helper
from small_models import images, model, network, tensor

import lba_onnx
from lba_onnx.arithmetic import as_spec, parse_family
from lba_onnx.arithmetic.family import Exponents


@pytest.mark.parametrize(
    ("text", "depth", "expected"),
    [
        ("M4E4,chunk=root2", 576, "M4E4,chunk=24"),
        ("M4E4,chunk=root2", 27, "M4E4,chunk=5"),
        ("M4E4,chunk=root3", 576, "M4E4,chunk=8x8"),
        ("M4E4,chunk=root3,round=nearest", 1536, "M4E4,chunk=12x12,round=nearest"),
        ("M4E4,chunk=root4", 960, "M4E4,chunk=6x6x6"),
        ("M4E4,chunk=root3", 1, "M4E4,chunk=2x2"),
        ("M4E4,chunk=root3", 0, "M4E4"),
        ("M4E4,chunk=root2of8/16/32", 576, "M4E4,chunk=32"),
        ("M4E4,chunk=root2of8/16/32", 500, "M4E4"),
        ("M4E4,chunk=root2of8/16/32", 27, "M4E4,chunk=8"),
        ("M4E4,chunk=root3of12/16", 576, "M4E4,chunk=12x12"),
        ("M4E4,chunk=root3of12", 0, "M4E4"),
        ("M4E4,chunk=32", 576, "M4E4,chunk=32"),
        ("splitk4(M4E4,chunk=root2)", 2304, "splitk4(M4E4,chunk=24)"),
    ],
)
def test_chunks_are_about_as_long_as_a_root_of_the_depth(text, depth, expected):
    assert str(parse_family(text).at_depth(depth)) == expected


@pytest.mark.parametrize(
    "text",
    ["M4E4,chunk=root3", "M4E4,chunk=root2,round=nearest", "M5E3,chunk=root4,product=exact", "M5E4,chunk=root2of8/24"],
)
def test_the_text_reads_back(text):
    family = parse_family(text)
    assert str(family) == text
    assert parse_family(str(family)) == family
    assert str(family.widened(1, 1)).partition(",")[2] == text.partition(",")[2]
    assert as_spec(family.at_depth(100).with_exponents(Exponents(4, 6)))
    assert as_spec(family.wide())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("M4E4,chunk=root1", "expected chunk=root2 to chunk=root8, got chunk=root1, at character 6 "),
        ("M4E4,chunk=root9", "expected chunk=root2 to chunk=root8, got chunk=root9, at character 6 "),
        ("M4E4,chunk=root1of8", "expected chunk=root2 to chunk=root8, got chunk=root1, at character 6 "),
        ("M4E4,chunk=root2of0/8", "expected a chunk_size of at least 1.*got 0, at character 6 "),
        ("M4E4,chunk=root8of99999", "expected groups of at most .* products, got 99999x.*, at character 6 "),
        ("M4E4,chunk=root2of", "expected sizes of chunks such as chunk=16x8, got 'chunk=root2of'.* at character 6 "),
        ("M4E4,chunk=root2of8x16", "expected sizes of chunks such as chunk=16x8, got 'chunk=root2of8x16'"),
        ("M4E4,chunk=root3,tree=4", "expected no tree beside chunk=root3, got tree=4, at character 6 "),
    ],
)
def test_what_is_no_family_is_told(text, message):
    with pytest.raises(ValueError, match=message):
        parse_family(text)


def test_sums_of_no_known_depth_have_no_such_chunks():
    for make in (lambda f: f.with_bias(10), lambda f: f.with_exponents(Exponents(4, 6))):
        with pytest.raises(ValueError, match="M4E4,chunk=root3: expected sizes of chunks where no data tell"):
            make(parse_family("M4E4,chunk=root3"))


def test_a_sweep_over_biases_refuses_them():
    with pytest.raises(ValueError, match="expected sizes of chunks where no data tell how deep products are"):
        lba_onnx.sweep(network(), images(8), families=["M4E4,chunk=root2"], biases=[10])


def test_an_accumulator_has_chunks_of_a_size():
    with pytest.raises(ValueError, match="sizes of chunks such as chunk=16x8, got 'chunk=root3'.*character 9"):
        as_spec("M4E4b10,chunk=root3")


@pytest.mark.parametrize("method", ["max", "percentile", "mse", "zero_shot"])
def test_calibration_gives_each_node_the_chunks_of_its_depth(method, tmp_path):
    calibration = lba_onnx.calibrate(network(), images(16), "M4E4,chunk=root2", method)
    chunks = {name: str(spec).partition(",")[2] for name, spec in calibration.specs.items()}
    assert chunks == {"conv1": "chunk=3", "depthwise": "chunk=3", "classifier": "chunk=11"}  # depths 9, 9, 128
    calibration.save(tmp_path / "biases.json")
    assert lba_onnx.Calibration.load(tmp_path / "biases.json") == calibration
    converted, _ = lba_onnx.convert(network(), calibration)
    assert lba_onnx.make_session(converted).run(None, {"x": images(2)})[0].shape == (2, 10)


def test_a_node_that_did_not_run_has_the_default_chunks():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "runs"),
        helper.make_node("MatMul", ["none", "w"], ["z"], "empty"),
    ]
    weights = {"w": np.ones((25, 2), np.float32), "none": np.ones((0, 25), np.float32)}
    proto = model(nodes, [tensor("x", "n", 25)], [tensor("y", "n", 2), tensor("z", 0, 2)], weights)
    calibration = lba_onnx.calibrate(proto, np.ones((4, 25), np.float32), "M4E4,chunk=root2")
    assert str(calibration.specs["runs"]).endswith("chunk=5")
    assert "chunk" not in str(calibration.specs["empty"])
