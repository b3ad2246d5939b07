"""Accumulators that were chosen for a model are refused by another one, whatever they come from."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import matmul_model

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.errors import DataError
from lba_onnx.rewrite.model_hash import model_hash
from lba_onnx.searching import load_point

WEIGHTS = np.linspace(-1, 1, 512, dtype=np.float32).reshape(64, 8)
OWN, OTHER = matmul_model(WEIGHTS), matmul_model(2 * WEIGHTS)
DATA = {"x": np.ones((8, 64), np.float32)}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    onnx.save(OWN, folder / "own.onnx")
    onnx.save(OTHER, folder / "other.onnx")
    lba_onnx.calibrate(OWN, DATA, "M7E4").save(folder / "calibration.json")
    point = {"specs": {"matmul": "M7E4b10"}}
    search = {"kind": "lba_onnx.search", "schema": 1, "model_sha256": model_hash(OWN), "points": [point]}
    (folder / "search.json").write_text(json.dumps(search))
    return folder


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (lambda folder: folder / "calibration.json", r".*calibration\.json"),
        (lambda folder: str(folder / "calibration.json"), r".*calibration\.json"),
        (lambda folder: lba_onnx.Calibration.load(folder / "calibration.json"), "spec"),
        (lambda folder: load_point(folder / "search.json"), r".*search\.json"),
    ],
    ids=["path", "text of a path", "calibration", "point of a search"],
)
@pytest.mark.parametrize("use", [lba_onnx.convert, lba_onnx.cost], ids=["convert", "cost"])
def test_they_are_refused_by_another_model(files, given, named, use):
    use(OWN, given(files))
    hashes = rf"\(SHA-256 {model_hash(OTHER)[:12]}\.\.\.\), got those of another \({model_hash(OWN)[:12]}\.\.\.\)"
    with pytest.raises(DataError, match=rf"^{named}: expected accumulators .* for this model {hashes}$"):
        use(OTHER, given(files))
    use(OTHER, given(files).specs if hasattr(given(files), "specs") else "M7E4b10")


@pytest.mark.parametrize("option", ["calibration", "search"])
def test_the_command_names_the_file(files, option):
    arguments = ["convert", "-o", str(files / "o.onnx"), f"--{option}_path", str(files / f"{option}.json"), "-i"]
    assert CliRunner().invoke(main, [*arguments, str(files / "own.onnx")]).exit_code == 0
    (files / "o.onnx").unlink()
    refused = CliRunner().invoke(main, [*arguments, str(files / "other.onnx")])
    assert refused.exit_code == 1 and not (files / "o.onnx").exists()
    assert f"{option}.json: expected accumulators that were chosen for {files / 'other.onnx'} (SHA" in refused.stderr


def test_a_model_is_the_same_wherever_its_weights_are_stored(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.save_model(matmul_model(WEIGHTS), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert model_hash(path) == model_hash(onnx.load(path)) == model_hash(OWN) != model_hash(OTHER)
    weights = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(bytes([weights[0] ^ 1]) + weights[1:])
    assert model_hash(path) != model_hash(OWN)
