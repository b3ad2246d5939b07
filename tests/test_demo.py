"""The demo: from the float32 network to a converted one, with the figures it prints."""

import json
import time

import onnx
import pytest
from click.testing import CliRunner

from lba_onnx import demo
from lba_onnx.calibration import Calibration
from lba_onnx.cli import main
from lba_onnx.errors import ModelError


def test_demo_stays_within_two_points_of_float32(tmp_path):
    start = time.perf_counter()
    result = CliRunner().invoke(main, ["demo", "--output_path", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert time.perf_counter() - start < 60
    value = json.loads(result.stdout)
    assert value["samples"] == 1000
    assert value["float32_top1"] > 85
    assert value["lba_top1"] > value["float32_top1"] - 2.0
    calibration = Calibration.load(tmp_path / "out" / "calibration.json")
    assert {name: str(spec) for name, spec in calibration.specs.items()} == value["specs"]
    assert sorted(map(str, (tmp_path / "out").iterdir())) == sorted(value["files"])
    converted = onnx.load(tmp_path / "out" / "fashion_cnn_M7E4.onnx")
    assert sum(node.domain == "lba_onnx" for node in converted.graph.node) == len(calibration.nodes)


def test_demo_prints_figures_and_files(tmp_path):
    text = CliRunner().invoke(main, ["demo", "-o", str(tmp_path)]).stdout
    for word in ("float32 top-1", "LBA top-1", "fashion_cnn_M7E4.onnx", "result.json"):
        assert word in text


def test_missing_demo_files_are_named(monkeypatch):
    monkeypatch.setattr(demo, "_MODEL", "missing.onnx")
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        demo.demo_data_path()
