"""The example of MLServer, served for real."""

import os
import shutil
import sys
from importlib.util import find_spec

import pytest
from consumer_models import BATCHES, ROOT, expected, write_model
from open_inference import free_port, infer_as_json, serving

pytestmark = [
    pytest.mark.consumer,
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("mlserver") is None, reason="no mlserver"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = shutil.copytree(ROOT / "examples/mlserver", tmp_path_factory.mktemp("mlserver") / "models")
    write_model(folder)
    return folder


@pytest.fixture(scope="module")
def served(folder):
    port = free_port()
    settings = {"HTTP_PORT": port, "GRPC_PORT": free_port(), "METRICS_PORT": free_port(), "PARALLEL_WORKERS": 0}
    own = {f"MLSERVER_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, "-c", "from mlserver.cli import main; main()", "start", str(folder)]
    environment = {**os.environ, "MLSERVER_HOST": "127.0.0.1", **own}
    with serving(command, port, folder.parent / "log", env=environment) as address:
        yield address


@pytest.mark.parametrize("batch", BATCHES)
def test_a_real_server_gives_pythons_bits(served, folder, batch):
    x, y = expected(folder / "model_lba.onnx", batch)
    assert infer_as_json(served, "net", x).tobytes() == y.tobytes()
