"""A node of a calibration as a figure, and lba-onnx plot."""

import json
import re
import sys

import pytest
from click.testing import CliRunner
from small_models import images, network

from lba_onnx import Samples, calibrate
from lba_onnx.calibration.plot import plot_node
from lba_onnx.cli import main
from lba_onnx.errors import DataError, LbaError, SelectionError


@pytest.fixture(scope="module")
def calibration():
    return calibrate(network(), Samples({"x": images(8)}, batch_size=4), "M4E3")


def texts(path):
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_figure_tells_ranges_and_what_lies_outside(calibration, tmp_path):
    plot_node(calibration, "conv1", tmp_path / "plot.svg")
    found = texts(tmp_path / "plot.svg")
    node = calibration.nodes["conv1"]
    assert f"conv1: {node.spec}, method max" in found
    assert {"share of the values", "log2 of the magnitude"} <= set(found)
    for number_format in (node.spec.product_format, node.spec.accumulator_format):
        assert f"range of {number_format}" in found
    assert node.rates["product_underflow"] > 0.01
    assert f"products: 0 % above, {100 * node.rates['product_underflow']:.2g} % below" in found
    assert f"totals: 0 % above, {100 * node.rates['total_underflow']:.2g} % below" in found
    assert f"largest of all: {node.range.max_abs_sum:.4g}" in found


def test_same_figure_has_the_same_bytes(calibration, tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_node(calibration, "conv1", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    plot_node(calibration, "conv1", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg", "plot.png"]


def test_without_matplotlib_the_extra_is_named(calibration, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LbaError, match=re.escape("pip install 'lba-onnx[report]'")):
        plot_node(calibration, "conv1", tmp_path / "plot.svg")


def test_what_cannot_be_drawn_is_an_error(calibration, tmp_path):
    with pytest.raises(SelectionError, match="no node is called 'conv'; the nearest names are 'conv1', "):
        plot_node(calibration, "conv", tmp_path / "plot.svg")
    with pytest.raises(ValueError, match="expected a file .png or .svg"):
        plot_node(calibration, "conv1", tmp_path / "plot.pdf")
    of_zeros = calibrate(network(), {"x": 0 * images(4)}, "M4E3")
    with pytest.raises(DataError, match="'conv1': expected values to draw, got none; it met only zeros"):
        plot_node(of_zeros, "conv1", tmp_path / "plot.svg")
    assert list(tmp_path.iterdir()) == []


def test_command_draws_a_saved_calibration(calibration, tmp_path):
    calibration.save(tmp_path / "c.json")
    arguments = ["plot", "--calibration", tmp_path / "c.json", "--node", "classifier", "-o", tmp_path / "plot.svg"]
    plain = CliRunner().invoke(main, list(map(str, arguments)))
    assert (plain.exit_code, plain.stdout.split()[0]) == (0, "wrote"), plain.output
    assert any(text.startswith("classifier: ") for text in texts(tmp_path / "plot.svg"))
    value = json.loads(CliRunner().invoke(main, [*map(str, arguments), "--json"]).stdout)
    assert value["rates"] == calibration.nodes["classifier"].rates.to_json()
