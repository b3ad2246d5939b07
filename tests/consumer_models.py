"""What consumers run, and what Python's onnxruntime gives for it: their outputs have to be equal, byte for byte."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from small_models import images, network

import lba_onnx

ROOT = Path(__file__).parent.parent
BATCHES = (1, 8, 256)


def write_model(folder: Path) -> Path:
    """Writes the converted network of small_models, x [batch, 1, 8, 8] -> y [batch, 10]."""
    path = folder / "model_lba.onnx"
    lba_onnx.convert(network(), "M7E4b10", model_output=path)
    return path


def expected(model_path: Path, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns an input and Python's output."""
    x = images(batch)
    return x, lba_onnx.make_session(model_path).run(None, {"x": x})[0]


def run(*command, **options) -> subprocess.CompletedProcess:
    """Runs a program; its output is in the message where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]!r} {done.stderr[-3000:]!r}"
    return done


def onnxruntime_headers() -> Path:
    """Returns the folder of onnxruntime's C++ headers, or skips."""
    named = os.environ.get("ONNXRUNTIME_INCLUDE", "/usr/include/onnxruntime")
    if not Path(named, "onnxruntime_cxx_api.h").is_file():
        pytest.skip("no onnxruntime_cxx_api.h where ONNXRUNTIME_INCLUDE says (tools/fetch_onnxruntime_headers)")
    return Path(named)


def onnxruntime_library() -> Path:
    """Returns the library in onnxruntime's wheel, or skips."""
    import onnxruntime

    found = sorted(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))
    return found[0] if found else pytest.skip("this onnxruntime has no libonnxruntime.so")
