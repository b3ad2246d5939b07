"""Model repositories for Triton: what stands in them, and a real server that loads one."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from consumer_models import BATCHES, expected, write_model
from language_models import decoder
from open_inference import free_port, infer, post, serving
from small_models import network, tensor

import lba_onnx
from lba_onnx.cli import main
from lba_onnx.errors import DataError, ModelError, OutputError
from lba_onnx.shipping import TritonSettings, export_triton

ORT_CONFIG = """\
name: "net"
backend: "onnxruntime"
max_batch_size: 256
input [
  { name: "x"  data_type: TYPE_FP32  dims: [1, 8, 8] }
]
output [
  { name: "y"  data_type: TYPE_FP32  dims: [10] }
]
instance_group [ { kind: KIND_CPU } ]
model_operations { op_library_filename: "/models/net/1/liblba_ops.so" }
model_warmup [ {
  name: "zeros"
  batch_size: 1
  inputs { key: "x"  value { data_type: TYPE_FP32  dims: [1, 8, 8]  zero_data: true } }
} ]
"""


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def config_of(model, folder, **settings):
    """Exports a model, or the path of one, and returns its config.pbtxt."""
    path = model
    if isinstance(model, onnx.ModelProto):
        path = folder / "m.onnx"
        lba_onnx.convert(model, "M7E4b10", model_output=path)
    return (export_triton(path, folder / "repository", TritonSettings(**settings)) / "config.pbtxt").read_text()


def with_scalar():
    """The network with a factor, an input without axes, and a fixed batch."""
    model = network()
    model.graph.node.append(onnx.helper.make_node("Mul", ["y", "factor"], ["z"], "scale"))
    model.graph.input.append(tensor("factor"))
    model.graph.output[0].CopyFrom(tensor("z", "batch", 10))
    return model


def test_the_config_names_inputs_outputs_and_the_library_where_the_server_sees_it(model_path, tmp_path):
    assert config_of(model_path, tmp_path, name="net", server_path="/models") == ORT_CONFIG


def test_the_library_is_named_where_it_lies(model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = export_triton(model_path, "repository")
    assert folder == Path("repository/model_lba")
    library = tmp_path / "repository/model_lba/1/liblba_ops.so"
    assert f'op_library_filename: "{library}"' in (folder / "config.pbtxt").read_text()
    assert library.read_bytes() == Path(lba_onnx.get_library_path()).read_bytes()
    assert (folder / "1/model.onnx").read_bytes() == model_path.read_bytes()
    assert str(library) in (folder / "README.md").read_text()
    assert (folder / "LICENSE").is_file() and not (folder / "1/model.py").exists()


def test_external_data_keeps_its_name_beside_the_model(tmp_path):
    path = lba_onnx.ModelFile(tmp_path / "big.onnx", use_external_data_format=True)
    lba_onnx.convert(network(), "M7E4b10", model_output=path)
    version = export_triton(tmp_path / "big.onnx", tmp_path / "repository") / "1"
    assert len(list(version.glob("big.onnx.lba-*.data"))) == 1
    lba_onnx.make_session(version / "model.onnx")


def test_a_scalar_is_reshaped_and_keeps_triton_from_batching(tmp_path):
    config = config_of(with_scalar(), tmp_path)
    assert '{ name: "factor"  data_type: TYPE_FP32  dims: [1]  reshape { shape: [] } }' in config
    assert "max_batch_size: 0" in config and "dims: [-1, 1, 8, 8]" in config
    assert "model_warmup" not in config  # the batch is open


def test_no_batching_when_asked_and_warm_up_by_given_shapes(model_path, tmp_path):
    config = config_of(model_path, tmp_path, max_batch_size=0, input_shapes={"x": (3, 1, 8, 8)})
    assert "max_batch_size: 0" in config
    assert "dims: [-1, 1, 8, 8] }" in config and "dims: [3, 1, 8, 8]  zero_data" in config
    assert "batch_size: 1" not in config


def test_a_decoder_has_open_sizes_and_its_own_types(tmp_path):
    shapes = {
        "input_ids": (1, 2),
        "attention_mask": (1, 2),
        "position_ids": (1, 2),
        "past_key_values.0.key": (1, 1, 0, 4),
    }
    config = config_of(decoder(), tmp_path, max_batch_size=4, input_shapes=shapes)
    assert '{ name: "input_ids"  data_type: TYPE_INT64  dims: [-1] }' in config
    assert '{ name: "past_key_values.0.key"  data_type: TYPE_FP32  dims: [1, -1, 4] }' in config
    assert "dims: [1, 0, 4]  zero_data" in config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "tensorrt"}, "expected a backend out of onnxruntime, python, got 'tensorrt'"),
        ({"name": "../x"}, "expected a name of letters, digits and"),
        ({"server_path": "models"}, "expected an absolute path where the server sees the models, got 'models'"),
        ({"max_batch_size": -1}, "expected a batch size of at least 0, got -1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        TritonSettings(**settings)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [({"z": (1,)}, "expected shapes of the inputs 'x', got one of 'z'"), ({"x": (1, 2, 8, 8)}, "x: expected a shape")],
)
def test_shapes_have_to_fit(model_path, tmp_path, shapes, message):
    with pytest.raises(DataError, match=message):
        export_triton(model_path, tmp_path, TritonSettings(input_shapes=shapes))
    assert not list(tmp_path.iterdir())


def test_what_triton_has_no_type_for_is_refused(tmp_path):
    model = network()
    model.graph.node.append(onnx.helper.make_node("SequenceConstruct", ["y"], ["ys"], "sequence"))
    element = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(onnx.helper.make_value_info("ys", onnx.helper.make_sequence_type_proto(element)))
    lba_onnx.convert(model, "M7E4b10", model_output=tmp_path / "m.onnx")
    with pytest.raises(
        ModelError, match=r"ys: expected a tensor of a type that Triton has, got seq\(tensor\(float\)\)"
    ):
        export_triton(tmp_path / "m.onnx", tmp_path / "repository")


def test_models_share_a_repository_and_none_is_overwritten(model_path, tmp_path):
    arguments = ["export-triton", "-i", str(model_path), "-o", str(tmp_path), "--json"]
    first = CliRunner().invoke(main, arguments)
    assert json.loads(first.stdout) == {"model_path": str(tmp_path / "model_lba"), "name": "model_lba"}
    assert CliRunner().invoke(main, [*arguments, "--name", "other", "--backend", "python"]).exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"model_lba", "other"}
    with pytest.raises(OutputError, match="model_lba: expected a folder to make, got something that exists"):
        export_triton(model_path, tmp_path)


@pytest.fixture(scope="module")
def packages():
    """The packages of a virtual environment with nvidia-pytriton, whose tritonserver this is, and onnxruntime."""
    named = os.environ.get("LBA_ONNX_TRITON_VENV", "")
    found = list(Path(named).glob("lib/python3.*/site-packages/pytriton"))
    if not named or not found:
        pytest.skip("no tritonserver: LBA_ONNX_TRITON_VENV names no environment with nvidia-pytriton (deployment.md)")
    return found[0].parent


@pytest.fixture(scope="module")
def tritonserver(packages, tmp_path_factory):
    """The command of the server, with the stub of the environment's Python beside its backend."""
    server = packages / "pytriton/tritonserver"
    backends = tmp_path_factory.mktemp("server") / "backends"
    shutil.copytree(server / "backends", backends)
    version = packages.parent.name.removeprefix("python")
    shutil.copy(server / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    (backends / "python/triton_python_backend_stub").chmod(0o755)
    return [str(server / "bin/tritonserver"), f"--backend-directory={backends}"]


def environment(packages, prefix=None):
    """What the backend's Python needs: the server's libraries and Python's; its environment is that first in PATH."""
    libraries = f"{packages / 'nvidia_pytriton.libs'}:{sysconfig.get_config_var('LIBDIR')}"
    path = f"{prefix or packages.parents[2]}/bin:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "LD_LIBRARY_PATH": libraries}


def command_of(tritonserver, repository, port):
    return [
        *tritonserver,
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        "--load-model=net",
        f"--http-port={port}",
        "--http-address=127.0.0.1",
        "--allow-grpc=false",
        "--allow-metrics=false",
    ]


@pytest.fixture(scope="module")
def served(model_path, packages, tritonserver, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    export_triton(model_path, folder / "repository", TritonSettings(backend="python", name="net"))
    command = command_of(tritonserver, folder / "repository", port)
    with serving(command, port, folder / "log", env=environment(packages)) as address:
        yield address


@pytest.mark.consumer
@pytest.mark.slow
@pytest.mark.parametrize("batch", BATCHES)
def test_a_real_server_gives_pythons_bits(served, model_path, batch):
    x, y = expected(model_path, batch)
    assert infer(served, "net", x).tobytes() == y.tobytes()


@pytest.mark.consumer
@pytest.mark.slow
def test_a_real_server_answers_errors_and_goes_on_after_unloading(served, model_path):
    x, y = expected(model_path, 2)
    with pytest.raises(AssertionError, match=r"unexpected shape for input 'x'"):
        infer(served, "net", x[:, :, :4])
    for _ in range(2):
        post(f"{served}/repository/models/net/unload")
        post(f"{served}/repository/models/net/load")
        assert np.array_equal(infer(served, "net", x), y)


@pytest.mark.consumer
@pytest.mark.slow
def test_a_real_server_takes_the_config_for_its_onnxruntime_backend(model_path, packages, tritonserver, tmp_path):
    """This server lacks the backend; that it looks for it tells that all else in the config is right."""
    export_triton(model_path, tmp_path / "repository", TritonSettings(name="net"))
    command = [*tritonserver, f"--model-repository={tmp_path / 'repository'}", "--exit-on-error=true"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(packages), timeout=120)
    assert done.returncode != 0
    assert "unable to find backend library for backend 'onnxruntime'" in done.stdout + done.stderr


@pytest.mark.consumer
@pytest.mark.slow
def test_arrays_that_the_server_reads_wrongly_are_an_error(model_path, packages, tritonserver, tmp_path):
    if int(np.__version__.split(".")[0]) < 2:
        pytest.skip("numpy is older than 2")
    export_triton(model_path, tmp_path / "repository", TritonSettings(backend="python", name="net"))
    port, own = free_port(), environment(packages, sys.prefix)
    command = command_of(tritonserver, tmp_path / "repository", port)
    with (
        serving(command, port, tmp_path / "log", env=own) as address,
        pytest.raises(AssertionError, match="needs numpy < 2"),
    ):
        infer(address, "net", expected(model_path, 2)[0])
