"""lba-onnx calibrate with the options of its methods."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import images, network

from lba_onnx.calibration import Calibration, calibrate
from lba_onnx.calibration.methods import Max, Mse, Percentile, ZeroShot
from lba_onnx.cli import main


@pytest.fixture
def folder(tmp_path):
    onnx.save(network(), tmp_path / "m.onnx")
    np.savez(tmp_path / "data.npz", x=images(24))
    return tmp_path


def run(folder, *options: str):
    paths = ["-i", str(folder / "m.onnx"), "-o", str(folder / "c.json"), "--calibration_data_path"]
    return CliRunner().invoke(main, ["calibrate", *paths, str(folder / "data.npz"), *options])


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--method", "percentile", "--percentile", "99"], {"method": Percentile(99.0)}),
        (["--method", "mse", "--tied"], {"method": Mse(is_tied=True)}),
        (
            ["--method", "zero_shot", "--evaluations", "4", "--layer_evaluations", "2"],
            {"method": ZeroShot(evaluations=4, layer_evaluations=2)},
        ),
        (["--granularity", "model"], {"method": Max(granularity="model")}),
        (["--family", "M6E4,chunk=8", "--chunk_size", "4"], {"family": "M6E4,chunk=8"}),
        (["--chunk_size", "none", "--no_underflow"], {"family": "M7E4,chunk=none,underflow=off"}),
    ],
)
def test_options_reach_the_method(folder, options, settings):
    result = run(folder, *options)
    assert result.exit_code == 0, result.output
    assert Calibration.load(folder / "c.json") == calibrate(network(), {"x": images(24)}, **settings)


def test_table_shows_rates_and_the_verdict(folder):
    output = run(folder, "--method", "mse").stdout
    assert "swamped %" in output and "is best of mse" in output and "depthwise" in output


def test_json_is_the_file(folder):
    value = json.loads(run(folder, "--json", "--log_level", "error").stdout)
    assert {"output_path": str(folder / "c.json"), **json.loads((folder / "c.json").read_text())} == value


def test_resume_path_is_gone_in_the_end(folder):
    assert run(folder, "--resume_path", str(folder / "progress.json")).exit_code == 0
    assert not (folder / "progress.json").exists()


def test_resume_path_in_a_missing_folder_is_refused_before_any_work(folder):
    result = run(folder, "--resume_path", str(folder / "no" / "progress.json"))
    assert result.exit_code != 0 and not (folder / "c.json").exists()


def test_metric_is_loaded_by_name(folder, monkeypatch):
    (folder / "my_calibration_metric.py").write_text(
        "import numpy as np\ndef likes_zero(outputs, labels):\n    return -np.abs(outputs['y']).max(axis=1)\n"
    )
    monkeypatch.chdir(folder)
    result = run(folder, "--method", "zero_shot", "--metric", "my_calibration_metric:likes_zero")
    assert result.exit_code == 0, result.output
    assert Calibration.load(folder / "c.json").verdict.unit == "my_calibration_metric:likes_zero"
