"""What the tests of the onnxruntime glue for CUDA share: how it runs, and is watched, without a device."""

import atexit
import ctypes
import functools
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from cuda_emulation import emulated_cuda_library

from lba_onnx.session import get_library_path

CUSTOM_OPS = Path(__file__).parents[1] / "custom_ops"


class Spy:
    """The emulated CUDA library behind one that counts calls.

    Attributes:
        environment: The variables that make the glue open it.
    """

    def __init__(self) -> None:
        path = _build("cuda_spy")
        self.environment = {"LBA_ONNX_CUDA_LIBRARY": str(path), "LBA_CUDA_SPY_TARGET": str(emulated_cuda_library())}
        self._spy = ctypes.CDLL(str(path))
        self._spy.lba_cuda_spy_calls.restype = ctypes.c_int64
        self._emulated = ctypes.CDLL(str(emulated_cuda_library()))
        self._emulated.lba_cuda_emulation_waits.restype = ctypes.c_int64

    def calls(self, name: str) -> int:
        """How often lba_cuda_<name> was called; "<product> with weights" counts those that came with packed ones."""
        return int(self._spy.lba_cuda_spy_calls(f"lba_cuda_{name}".encode()))

    def waits(self) -> int:
        """How often the host has waited for the emulated device."""
        return int(self._emulated.lba_cuda_emulation_waits())


@functools.cache
def _spy() -> Spy:
    return Spy()


def use_spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Let the glue find the emulated library, and count its calls."""
    for name, value in _spy().environment.items():
        monkeypatch.setenv(name, value)
    return _spy()


def use_cuda_operators(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a library that registers the kernels of the CUDA provider for the CPU provider."""
    monkeypatch.setenv("LBA_OPS_LIBRARY", get_library_path())
    return str(_build("cuda_provider_on_cpu"))


def make_session(model: bytes, library: str | None = None, **config: str) -> onnxruntime.InferenceSession:
    """Return a session with these config entries, without the defaults of lba_onnx.make_session."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for key, value in config.items():
        options.add_session_config_entry(f"lba_onnx.{key}", value)
    options.register_custom_ops_library(library or get_library_path())
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(session: onnxruntime.InferenceSession, operands: Mapping[str, np.ndarray]) -> np.ndarray:
    return session.run(None, {each.name: operands[each.name] for each in session.get_inputs()})[0]


def draw(dtype: Any = np.float32, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([len(shapes), *itertools.chain(*shapes.values())])
    return {key: rng.standard_normal(shape).astype(dtype) for key, shape in shapes.items()}


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got)[~np.isnan(got)], np.signbit(expected)[~np.isnan(expected)])


@functools.cache
def _build(name: str) -> Path:
    if shutil.which("g++") is None:
        pytest.skip("no g++ to compile the library with")
    built = Path(tempfile.mkdtemp(prefix="lba_onnx-")) / f"lib{name}.so"
    atexit.register(shutil.rmtree, built.parent)
    folders = [f"-I{CUSTOM_OPS / 'include'}", f"-I{CUSTOM_OPS}"]
    source = CUSTOM_OPS / "tests" / f"{name}.cc"
    command = ["g++", "-std=c++17", "-shared", "-fPIC", *folders, source, "-ldl", "-o", built]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built
