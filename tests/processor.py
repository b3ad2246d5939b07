"""What the operating system says of the processor: which paths the library must have here."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from lba_onnx import native

Paths = Callable[[], Iterator[str]]
"""What the fixture each_path is."""

_NEEDS = {
    "avx512": {"avx2", "fma", "f16c", "avx512f", "avx512dq", "avx512bw", "avx512vl"},
    "avx2": {"avx2", "fma", "f16c"},
    "portable": set(),
    "exact": set(),
}


@cache
def flags() -> frozenset[str]:
    """Return the flags of the first processor in /proc/cpuinfo; none where it tells of none."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    return frozenset(next((line.split(":")[1].split() for line in lines if line.startswith("flags")), ()))


def has_vnni() -> bool:
    """Return whether onnxruntime multiplies uint8 by int8 exactly here; without VNNI its sums of pairs saturate."""
    return bool(flags() & {"avx512_vnni", "avx_vnni"})


def paths() -> list[str]:
    """Return the paths that this machine has, fastest first, whatever the library thinks."""
    return [path for path in native.CPU_PATHS if _NEEDS[path] <= flags()]


def force_path(monkeypatch: pytest.MonkeyPatch, path: str) -> str:
    """Make the library take a path; skip where this machine has none, fail where the library alone has none."""
    if path not in paths():
        pytest.skip(f"this CPU has no {path}")
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", path)
    assert native.cpu_path() == path
    return path
