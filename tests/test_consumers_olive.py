"""The pass of Olive, run and evaluated for real by the example."""

import json
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

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
SESSIONS = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from olive.hardware import DEFAULT_CPU_ACCELERATOR
from olive.model import ONNXModelHandler
from olive.passes.olive_pass import create_pass_from_dict
from lba_onnx.olive import LbaConversion, LbaOnnxModelHandler
settings = {"session_options": {
    "intra_op_num_threads": 1, "execution_mode": 0, "graph_optimization_level": 99,
    "extra_session_config": {"session.intra_op.allow_spinning": "0"},
}}
plain, converted, output = sys.argv[1:]
x = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(-1, 1, 8, 8)
given = {"spec": "M7E4b10", "use_external_data_format": True}
made = create_pass_from_dict(LbaConversion, given, True, DEFAULT_CPU_ACCELERATOR).run(ONNXModelHandler(plain), output)
models = LbaOnnxModelHandler(converted, inference_settings=settings), made
outputs = [model.run_session(model.prepare_session(), {"x": x})[0].tobytes() for model in models]
sys.stdout.flush()
sys.stdout.buffer.write(b"".join(outputs))
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
    written = json.loads((folder / "output/model_config.json").read_text())
    assert written["type"].lower() == "lbaonnxmodel"
    assert Path(written["config"]["model_path"]).read_bytes() == (folder / "ours.onnx").read_bytes()


def test_olive_evaluates_both_models(folder):
    def accuracy(name):
        return json.loads((folder / "output" / name).read_text())["accuracy-accuracy_score"]["value"]

    with np.load(folder / "test.npz") as samples:
        [scores] = lba_onnx.make_session(folder / "ours.onnx").run(None, {"x": samples["x"]})
        expected = float((scores.argmax(axis=1) == samples["label"]).mean())
    assert accuracy("input_model_metrics.json") == 1.0
    assert accuracy("metrics.json") == pytest.approx(expected, abs=1e-6)


def test_olives_sessions_give_pythons_bits_with_weights_in_the_model_and_beside_it(folder):
    x = images(8)
    [y] = lba_onnx.make_session(folder / "ours.onnx").run(None, {"x": x})
    paths = (folder / "model.onnx", folder / "ours.onnx", folder / "beside")
    output = run(sys.executable, "-c", SESSIONS, *paths, input=x.tobytes(), env=QUIET, cwd=folder).stdout
    assert output.endswith(2 * y.tobytes())  # behind what Olive logs
    assert list((folder / "beside").glob("*.data"))


def test_olives_own_passes_stay_in_the_configuration(folder):
    passes = json.loads((folder / "olive_config.json").read_text())["passes"]
    assert {"LbaConversion", "OnnxQuantization"} <= set(passes)
