"""The library finds every path that the processor has: without it the same bits take 25 times as long."""

import pytest
from processor import flags, force_path, paths

from lba_onnx import native


def integer_path(path: str) -> str:
    if path == "avx512":
        return "avx512_vnni" if "avx512_vnni" in flags() else "avx2"
    return path


def test_the_fastest_path_of_the_processor_is_taken(monkeypatch):
    monkeypatch.delenv("LBA_ONNX_CPU_PATH", raising=False)
    assert native.cpu_path() == paths()[0]
    assert native.integer_path() == integer_path(paths()[0])


@pytest.mark.parametrize("path", native.CPU_PATHS)
def test_a_path_is_there_where_the_processor_has_it(monkeypatch, path):
    if path in paths():
        force_path(monkeypatch, path)
        assert native.integer_path() == integer_path(path)
    else:
        monkeypatch.setenv("LBA_ONNX_CPU_PATH", path)
        with pytest.raises(ValueError, match=f"this CPU has no {path}"):
            native.cpu_path()


def test_an_unknown_path_is_refused(monkeypatch):
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", "mmx")
    for ask in (native.cpu_path, native.integer_path):
        with pytest.raises(ValueError, match='expected avx512, avx2, portable or exact, got "mmx"'):
            ask()
