"""The library finds every path that the processor has: without it the same bits take 25 times as long."""

import processor
import pytest
from integer_models import Draw, code_range
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


@pytest.mark.parametrize(
    ("found", "least", "most"),
    [({"avx2"}, -64, 63), ({"avx2", "avx_vnni"}, -128, 127), ({"avx2", "avx512_vnni"}, -128, 127), (set(), -64, 63)],
)
def test_weights_beside_uint8_have_all_bits_where_onnxruntime_multiplies_them_exactly(monkeypatch, found, least, most):
    monkeypatch.setattr(processor, "flags", lambda: frozenset(found))
    drawn = Draw().codes("int8", 5000, beside="uint8")
    assert (drawn.min(), drawn.max()) == (least, most)
    assert code_range("int8") == code_range("int8", "int8") == (-128, 128)
    assert code_range("uint8", "int8") == (0, 256)
