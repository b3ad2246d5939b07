"""The doctor finds what is broken and says what to do."""

import json
import platform
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from lba_onnx import doctor, kernels, native
from lba_onnx.cli import main
from lba_onnx.errors import LibraryError
from lba_onnx.native.library import LIBRARY_VARIABLE
from lba_onnx.packages import check_recorded


def run(*arguments):
    return CliRunner().invoke(main, ["doctor", *arguments])


def test_doctor_finds_a_working_installation_healthy():
    result = run("--json")
    value = json.loads(result.stdout)
    assert result.exit_code == 0, value
    assert value["is_healthy"]
    names = {check["name"] for check in value["checks"]}
    assert names >= {"onnxruntime", "native library", "CPU path", "bits of the kernels", "bits in onnxruntime"}
    assert "ok" in run().stdout


def test_wrong_bits_are_found(monkeypatch):
    matmul = kernels.matmul
    monkeypatch.setattr(kernels, "matmul", lambda a, b, spec: np.nextafter(matmul(a, b, spec), np.float32(0)))
    result = run("--json")
    assert result.exit_code == 1
    broken = [check for check in json.loads(result.stdout)["checks"] if not check["is_right"]]
    assert [check["name"] for check in broken] == ["bits of the kernels"]
    assert "differ from the reference" in broken[0]["finding"]
    assert broken[0]["advice"]


def test_missing_library_is_found_with_advice(monkeypatch, tmp_path):
    from lba_onnx.native import library

    monkeypatch.setattr(library, "LIBRARY_NAME", "missing.so")
    check = next(c for c in doctor.diagnose().checks if c.name == "native library")
    assert not check.is_right
    assert "install" in check.advice


def findings():
    return {check.name: check for check in doctor.diagnose().checks}


def test_what_runs_is_told(monkeypatch):
    monkeypatch.setenv("LBA_ONNX_CPU_PATH", "portable")
    checks = findings()
    assert checks["wheel"].finding.startswith("py3-none-")
    assert checks["library of this package"].finding == "as installed with lba-onnx"
    assert checks["CPU path"].finding == ("portable; integer codes: portable (forced by LBA_ONNX_CPU_PATH=portable)")
    name, version = platform.libc_ver()
    assert f"{name} {version}".strip() in checks["platform"].finding


def test_another_library_than_the_installed_one_is_found(monkeypatch, tmp_path):
    installed = native.library_path()
    other = tmp_path / "lba_onnx" / installed.name
    other.parent.mkdir()
    shutil.copy(installed, other)
    monkeypatch.setenv(LIBRARY_VARIABLE, str(other))
    assert findings()["library of this package"].finding == "not one that was installed with lba-onnx"


def test_a_library_that_changed_since_it_was_installed_is_refused(monkeypatch, tmp_path):
    (tmp_path / "some-1.0.dist-info").mkdir()
    (tmp_path / "some-1.0.dist-info" / "RECORD").write_text(
        "lib.so,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
    )
    (tmp_path / "some-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: some\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    library = tmp_path / "lib.so"
    library.touch()
    assert check_recorded(library, "some")
    library.write_text("changed")
    with pytest.raises(LibraryError, match=r"lib.so as some was installed, with sha256 47DEQ.*, got .*reinstall"):
        check_recorded(library, "some")
    assert not check_recorded(tmp_path / "none.so", "some")


def test_hostile_operands_hold_every_kind_of_value():
    a, b = doctor.hostile_operands()
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((7, 37), (37, 11), np.float32, np.float32)
    assert np.isnan(a).any() and np.isinf(a).any() and (b == 0).any()
    assert ((np.abs(a) > 0) & (np.abs(a) < np.finfo(np.float32).tiny)).any()


def test_differing_values_are_counted():
    with pytest.raises(AssertionError, match="1 of 2 values differ"):
        doctor._compare(np.array([1, np.nan], np.float32), np.array([2, np.nan], np.float32), "M7E4b10")
