"""Kernels, entry points and operators know accumulators by their planners and texts alone, whatever their kind."""

import re
from pathlib import Path

import pytest

CUSTOM_OPS = Path(__file__).parents[1] / "custom_ops"
KERNELS = [
    path
    for folder in ("kernels/cpu", "kernels/cuda", "c_api", "onnxruntime")
    for path in sorted((CUSTOM_OPS / folder).iterdir())
    if path.suffix in (".h", ".cc", ".cu")
]
OF_A_KIND = re.compile(
    r'#include "arithmetic/(?!(accumulator|attributes|registry)\.h")|AccumulatorSpec|FloatFormat|TileConstants'
    r"|ShortCuts|ChunkedFloat|\bRounding\b|(product|accumulator)_format|\.(chunk_size|underflow)\b"
)


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_kernels_and_entry_points_know_no_kind(path):
    lines = (line.partition("//")[0] for line in path.read_text().splitlines())
    assert not [line for line in lines if OF_A_KIND.search(line)]
