"""The pass of Olive, run and evaluated for real by the example."""

import json
import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import onnx
import pytest
from consumer_models import ROOT, run
from small_models import images, network

import lba_onnx

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("olive") is None, reason="no olive (package olive-ai)"),
]

QUIET = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
SESSION = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from lba_onnx.olive import LbaOnnxModelHandler
model = LbaOnnxModelHandler(sys.argv[1], inference_settings={"session_options": {
    "intra_op_num_threads": 1, "execution_mode": 0, "graph_optimization_level": 99,
    "extra_session_config": {"session.intra_op.allow_spinning": "0"},
}})
x = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(-1, 1, 8, 8)
sys.stdout.buffer.write(model.run_session(model.prepare_session(), {"x": x})[0].tobytes())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example with a small model, after the run."""
    folder = shutil.copytree(ROOT / "examples/olive", tmp_path_factory.mktemp("olive") / "run")
    onnx.save(network(), folder / "model.onnx")
    x = images(64)
    [scores] = lba_onnx.make_session(folder / "model.onnx").run(None, {"x": x})
    np.savez(folder / "test.npz", x=x, label=scores.argmax(axis=1))
    config = run(sys.executable, "-W", "ignore", "-m", "lba_onnx.olive", env=QUIET).stdout
    (folder / "olive_config.json").write_bytes(config)
    command = "import sys; from olive.cli.launcher import main; sys.exit(main())"
    arguments = ("run", "--config", "run.json", "--package-config", "olive_config.json")
    run(sys.executable, "-W", "ignore", "-c", command, *arguments, cwd=folder, env=QUIET)
    return folder


def test_the_pass_writes_what_convert_does(folder):
    lba_onnx.convert(folder / "model.onnx", "M7E4b10", model_output=folder / "ours.onnx")
    assert (folder / "output/model/model.onnx").read_bytes() == (folder / "ours.onnx").read_bytes()
    assert json.loads((folder / "output/model_config.json").read_text())["type"].lower() == "lbaonnxmodel"


def test_olive_evaluates_both_models(folder):
    def accuracy(name):
        return json.loads((folder / "output" / name).read_text())["accuracy-accuracy_score"]["value"]

    with np.load(folder / "test.npz") as samples:
        [scores] = lba_onnx.make_session(folder / "ours.onnx").run(None, {"x": samples["x"]})
        expected = float((scores.argmax(axis=1) == samples["label"]).mean())
    assert accuracy("input_model_metrics.json") == 1.0
    assert accuracy("metrics.json") == pytest.approx(expected, abs=1e-6)


def test_olives_sessions_give_pythons_bits(folder):
    x = images(8)
    [y] = lba_onnx.make_session(folder / "ours.onnx").run(None, {"x": x})
    assert run(sys.executable, "-c", SESSION, folder / "ours.onnx", input=x.tobytes(), env=QUIET).stdout == y.tobytes()


def test_olives_own_passes_stay_in_the_configuration(folder):
    passes = json.loads((folder / "olive_config.json").read_text())["passes"]
    assert {"LbaConversion", "OnnxQuantization"} <= set(passes)
