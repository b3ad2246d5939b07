"""The doctor looks into CUDA where it is there, and finds a machine without it healthy.

The CUDA library is the emulated one, whose device memory is the host's.
"""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from cuda_emulation import emulated_cuda_library

from lba_onnx import doctor
from lba_onnx.cli import main
from lba_onnx.native import cuda
from lba_onnx.native.cuda import library

NAMES = ("CUDA library", "CUDA driver and devices", "bits on CUDA")


def run():
    result = CliRunner().invoke(main, ["doctor", "--json"])
    value = json.loads(result.stdout)
    assert result.exit_code == (0 if value["is_healthy"] else 1)
    return {check["name"]: check for check in value["checks"] if check["name"] in NAMES}


@pytest.fixture
def emulated(monkeypatch):
    path = emulated_cuda_library()
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(path))
    return path


def test_library_device_and_bits_are_looked_into(emulated):
    checks = run()
    assert all(check["is_right"] for check in checks.values()), checks
    assert str(emulated) in checks["CUDA library"]["finding"]
    device = cuda.devices()[0]
    assert device.name in checks["CUDA driver and devices"]["finding"]
    assert ".".join(map(str, device.compute_capability)) in checks["CUDA driver and devices"]["finding"]
    assert "GiB" in checks["CUDA driver and devices"]["finding"]
    assert checks["bits on CUDA"]["finding"] == "the reference's, for 5 specs"


def test_a_machine_without_the_library_is_healthy(monkeypatch, tmp_path):
    monkeypatch.delenv(cuda.CUDA_LIBRARY_VARIABLE, raising=False)
    monkeypatch.setattr(library, "CUDA_LIBRARY_NAME", "absent.so")
    checks = run()
    assert [check["is_right"] for check in checks.values()] == [True] * 3
    assert checks["CUDA library"]["finding"] == "not there: the CPU library is all there is"


def test_a_machine_without_a_device_is_healthy(emulated, monkeypatch):
    monkeypatch.setattr(cuda, "devices", lambda: ())
    checks = run()
    assert [check["is_right"] for check in checks.values()] == [True] * 3
    assert checks["CUDA driver and devices"]["finding"] == "no device, no driver, or one older than the library's CUDA"
    assert checks["bits on CUDA"]["finding"] == "not computed without a device"


def test_a_library_that_does_not_load_is_found_with_advice(monkeypatch, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("no library")
    monkeypatch.setenv(cuda.CUDA_LIBRARY_VARIABLE, str(path))
    checks = run()
    assert [check["is_right"] for check in checks.values()] == [False, True, True]
    assert "does not load" in checks["CUDA library"]["finding"]
    assert "pip install" in checks["CUDA library"]["advice"]


@pytest.mark.parametrize("name", ["matmul_host", "conv_host"])
def test_wrong_bits_are_found(emulated, monkeypatch, name):
    compute = getattr(cuda, name)
    monkeypatch.setattr(cuda, name, lambda *operands: np.nextafter(compute(*operands), np.float32(0)))
    checks = run()
    assert [check["is_right"] for check in checks.values()] == [True, True, False]
    assert "differ from the reference" in checks["bits on CUDA"]["finding"]
    assert "report it" in checks["bits on CUDA"]["advice"]


def test_a_failing_driver_is_found(emulated, monkeypatch):
    def fail():
        raise RuntimeError("cudaErrorUnknown")

    monkeypatch.setattr(cuda, "devices", fail)
    checks = run()
    assert [check["is_right"] for check in checks.values()] == [True, False, False]
    assert "nvidia-smi" in checks["CUDA driver and devices"]["advice"]


@pytest.mark.parametrize(
    ("installed", "finding"),
    [
        ({"onnxruntime": "1.31.0"}, "1.31.0"),
        ({"onnxruntime-gpu": "1.30.0"}, "1.30.0 (onnxruntime-gpu)"),
        ({"onnxruntime-gpu": "1.30.0", "onnxruntime": "1.31.0"}, "1.31.0"),
    ],
)
def test_onnxruntime_is_found_under_either_name(monkeypatch, installed, finding):
    def version(name):
        if name not in installed:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    assert doctor._version("onnxruntime") == finding
    with pytest.raises(doctor.importlib.metadata.PackageNotFoundError):
        doctor._version("numpy")
