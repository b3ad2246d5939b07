"""The native library with the kinds and the operator of tests/kinds, which are installed nowhere."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_BUILD = _ROOT / ".pytest_cache" / "test_kinds"
_BUILT_VARIABLE = "LBA_ONNX_TEST_KINDS"


@functools.cache
def kinds_library() -> Path:
    """Return its path, built at first use, and what changed built again. Skips the test where it cannot be built.

    The environment variable LBA_ONNX_TEST_KINDS names one that has been built with the package, from the same objects.

    Raises:
        subprocess.CalledProcessError: The sources do not compile.
    """
    if os.environ.get(_BUILT_VARIABLE):
        return Path(os.environ[_BUILT_VARIABLE])
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs cmake and a C++ compiler")
    options = ["-DLBA_TEST_KINDS=ON", "-DLBA_CUDA=OFF"]
    subprocess.run(["cmake", "-S", _ROOT, "-B", _BUILD, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", _BUILD, "--target", "lba_ops_test_kinds", "-j2"], check=True)
    return _BUILD / "custom_ops" / "liblba_ops_test_kinds.so"
