import importlib.metadata
import subprocess
import sys

import pytest

import lba_onnx


def test_import_loads_neither_torch_nor_the_native_library() -> None:
    code = (
        "import sys, lba_onnx; "
        "maps = open('/proc/self/maps').read() if sys.platform == 'linux' else ''; "
        "assert 'torch' not in sys.modules, 'torch is loaded'; "
        "assert 'liblba_ops' not in maps, 'the native library is loaded'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", lba_onnx.__all__)
def test_public_name_exists_and_is_documented(name: str) -> None:
    value = getattr(lba_onnx, name)
    assert name == "__version__" or value.__doc__


def test_all_is_complete() -> None:
    assert set(lba_onnx._HOMES) | lba_onnx._MODULES | {"__version__"} == set(lba_onnx.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        lba_onnx.nonsense  # noqa: B018


def test_the_version_is_that_of_the_build() -> None:
    assert importlib.metadata.version("lba-onnx") == lba_onnx.__version__
