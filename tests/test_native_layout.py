"""lba_onnx.native: its structures are those of the C header, and it takes only the library of its version."""

import numpy as np
import pytest
from c_headers import INCLUDE, compile_with, fields_in_header, fields_in_python, layout_in_c, layout_in_python

from lba_onnx import native
from lba_onnx.errors import LibraryError
from lba_onnx.native import library
from lba_onnx.native.accumulators import accumulator_handle

HEADER = INCLUDE / "lba" / "c_api.h"
STRUCTURES = {
    "LbaLevel": library.LevelStruct,
    "LbaStatistics": library.StatisticsStruct,
    "LbaMatMulArgs": library.MatMulArgs,
    "LbaConvArgs": library.ConvArgs,
    "LbaObservation": library.Observation,
    "LbaRunProgress": library.RunProgressStruct,
}


def test_structures_have_the_layout_of_the_header(tmp_path):
    assert layout_in_c(HEADER, STRUCTURES, tmp_path) == layout_in_python(STRUCTURES)


def test_structures_hold_every_field_of_the_header():
    assert fields_in_header(HEADER) == fields_in_python(STRUCTURES)


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
