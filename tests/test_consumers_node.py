"""The addon of Node, built and run."""

import os
import shutil
from pathlib import Path

import pytest
from consumer_models import BATCHES, ROOT, expected, onnxruntime_headers, run, write_model

import lba_onnx

pytestmark = [pytest.mark.consumer, pytest.mark.slow]


@pytest.fixture(scope="module")
def addon(tmp_path_factory):
    modules = Path(os.environ.get("LBA_ONNX_NODE_MODULES", ROOT / "examples/node/node_modules"))
    if shutil.which("node") is None or shutil.which("cmake") is None or not (modules / "onnxruntime-node").is_dir():
        pytest.skip("no node, no cmake, or no onnxruntime-node where LBA_ONNX_NODE_MODULES says (npm install)")
    folder, include = tmp_path_factory.mktemp("addon"), f"-DONNXRUNTIME_INCLUDE={onnxruntime_headers()}"
    flags = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    run("cmake", "-S", ROOT / "examples/node", "-B", folder, f"-DMODULES={modules}", include, flags)
    run("cmake", "--build", folder)
    return folder / "lba_session.node"


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("batch", BATCHES)
def test_the_addon_gives_pythons_bits(addon, model_path, batch):
    x, y = expected(model_path, batch)
    command = ("node", ROOT / "examples/node/infer.js", addon, model_path, lba_onnx.get_library_path(), *x.shape)
    assert run(*command, input=x.tobytes()).stdout == y.tobytes()


def test_errors_are_javascripts(addon, model_path):
    command = ("node", ROOT / "examples/node/infer.js", addon, model_path, "/nowhere.so", 1)
    with pytest.raises(AssertionError, match=r"Error: Failed to load library /nowhere.so"):
        run(*command, input=b"")
