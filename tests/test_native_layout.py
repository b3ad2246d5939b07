"""lba_onnx.native: its structures are those of the C header, and it takes only the library of its version."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lba_onnx import native
from lba_onnx.errors import LibraryError
from lba_onnx.native import library
from lba_onnx.native.accumulators import accumulator_handle

INCLUDE = Path(__file__).parents[1] / "custom_ops" / "include"
HEADER = INCLUDE / "lba" / "c_api.h"
STRUCTURES = {
    "LbaLevel": library.LevelStruct,
    "LbaStatistics": library.StatisticsStruct,
    "LbaMatMulArgs": library.MatMulArgs,
    "LbaConvArgs": library.ConvArgs,
    "LbaObservation": library.Observation,
    "LbaRunProgress": library.RunProgressStruct,
}


def compile_with(source: str, target: Path, *options: str) -> None:
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no c++ on the path")
    command = [compiler, "-std=c++17", "-I", str(INCLUDE), *options, "-x", "c++", "-", "-o", str(target)]
    subprocess.run(command, input=source.encode(), check=True)


def test_structures_have_the_layout_of_the_header(tmp_path):
    lines, expected = [], []
    for name, structure in STRUCTURES.items():
        lines.append(f'std::printf("{name} %zu\\n", sizeof({name}));')
        expected.append(f"{name} {ctypes.sizeof(structure)}")
        for field, *_ in structure._fields_:
            place = f"offsetof({name}, {field}), sizeof({name}::{field})"
            lines.append(f'std::printf("{name}.{field} %zu %zu\\n", {place});')
            expected.append(f"{name}.{field} {getattr(structure, field).offset} {getattr(structure, field).size}")
    body = "\n".join(lines)
    source = f'#include <cstddef>\n#include <cstdio>\n#include "lba/c_api.h"\nint main() {{\n{body}\n}}\n'
    compile_with(source, tmp_path / "layout")
    told = subprocess.run([tmp_path / "layout"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == expected


def test_structures_hold_every_field_of_the_header():
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"typedef struct (\w+) \{", text)) == set(STRUCTURES)
    for name, structure in STRUCTURES.items():
        body = re.search(rf"typedef struct {name} {{(.*?)}} {name};", text, re.DOTALL)[1]
        found = re.findall(r"(\w+)(?:\[\w+\])?(?=[,;])", body)
        assert found == [field for field, *_ in structure._fields_]


def test_a_library_of_another_version_is_refused(monkeypatch, tmp_path):
    source = 'extern "C" __attribute__((visibility("default"))) const char* lba_version() { return "0.0.7"; }\n'
    compile_with(source, tmp_path / "other.so", "-shared", "-fPIC")
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "other.so"))
    with pytest.raises(LibraryError, match=r"expected .*other.so of version .*, the package's, got 0.0.7; .*builds"):
        native.cpu_path()


def test_a_library_without_an_entry_point_is_refused(monkeypatch, tmp_path):
    source = f'extern "C" const char* lba_version() {{ return "{native.version()}"; }}\n'
    compile_with(source, tmp_path / "old.so", "-shared", "-fPIC")
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "old.so"))
    with pytest.raises(LibraryError, match=r"old.so does not load: .*lba_.*builds"):
        native.cpu_path()


def test_a_library_that_is_no_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path / "absent.so"))
    with pytest.raises(LibraryError, match=r"LBA_ONNX_LIBRARY says, but .*absent.so is no file"):
        native.library_path()


def test_a_text_that_names_no_accumulator_is_refused_with_the_place():
    with pytest.raises(ValueError, match=r"got 'chunk=x'.*, at character 9 of the spec 'M7E4b10,chunk=x'"):
        native.matmul(np.ones((1, 2, 3), np.float32), np.ones((1, 3, 2), np.float32), "M7E4b10,chunk=x", 1)


def test_the_same_text_has_the_same_handle():
    assert accumulator_handle("M7E4b10") is accumulator_handle("M7E4b10")


def test_handles_beyond_those_kept_are_made_again():
    a, b = np.ones((1, 2, 3), np.float32), np.ones((1, 3, 2), np.float32)
    kept = accumulator_handle("M7E4b10,chunk=1000")
    for size in range(1, 200):
        np.testing.assert_array_equal(native.matmul(a, b, f"M7E4b10/M7E4b10,chunk={size}", 1), np.full((1, 2, 2), 3))
    assert accumulator_handle("M7E4b10,chunk=1000") is not kept
