"""The CUDA library compiled as C++, on the emulation of custom_ops/tests/cuda_emulation: no GPU, the same bits."""

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import lba_onnx

_ROOT = Path(__file__).parents[1]
_CUSTOM_OPS = _ROOT / "custom_ops"
_EMULATION = _CUSTOM_OPS / "tests" / "cuda_emulation"
_CACHE = _ROOT / ".pytest_cache" / "cuda_emulation"
_FLAGS = [
    *("-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-frounding-math"),
    *("-fno-strict-aliasing", "-pthread", f'-DLBA_VERSION="{lba_onnx.__version__}"'),
    *(f"-I{folder}" for folder in (_EMULATION, _CUSTOM_OPS / "include", _CUSTOM_OPS)),
]


@functools.cache
def emulated_cuda_library() -> Path:
    """A library with the entry points of liblba_ops_cuda.so whose kernels run on the CPU.

    Built at first use, and again only when a source changes. Skips the calling test where it cannot be built.

    Raises:
        subprocess.CalledProcessError: The sources do not compile.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"the emulation of CUDA needs an x86-64 processor, this is {platform.machine()}")
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("the emulation of CUDA needs a C++ compiler: neither c++ nor g++ is on PATH")
    library = _CACHE / _key(compiler) / "liblba_ops_cuda.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # it takes minutes: other processes of the same run wait for the first
        if not library.exists():
            with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
                os.replace(_build(compiler, Path(folder)), library)
    return library


def _sources() -> list[Path]:
    return sorted(
        [
            *_CUSTOM_OPS.glob("kernels/cuda/*.cu"),
            *_CUSTOM_OPS.glob("arithmetic/*/cuda_*.cu"),
            *(path for path in _CUSTOM_OPS.glob("arithmetic/**/*.cc") if not path.name.startswith("cpu_")),
            *_CUSTOM_OPS.glob("common/*.cc"),
            *_EMULATION.glob("*.cc"),
        ],
    )


def _key(compiler: str) -> str:
    headers = _CUSTOM_OPS.glob("**/*.h")
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True).stdout
    digest = hashlib.sha256(version + repr(_FLAGS).encode())
    for path in [*_sources(), *sorted(headers)]:
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(compiler: str, folder: Path) -> Path:
    def compiled(source: Path) -> Path:
        target = folder / f"{source.parent.name}_{source.name}.o"
        subprocess.run([compiler, *_FLAGS, "-x", "c++", "-c", str(source), "-o", str(target)], check=True)
        return target

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, _sources()))
    library = folder / "built.so"
    subprocess.run([compiler, "-shared", "-pthread", *map(str, objects), "-o", str(library)], check=True)
    return library
