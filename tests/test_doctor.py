"""The doctor finds what is broken and says what to do."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from lba_onnx import doctor, kernels
from lba_onnx.cli import main


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


def test_hostile_operands_hold_every_kind_of_value():
    a, b = doctor.hostile_operands()
    assert (a.shape, b.shape, a.dtype, b.dtype) == ((7, 37), (37, 11), np.float32, np.float32)
    assert np.isnan(a).any() and np.isinf(a).any() and (b == 0).any()
    assert ((np.abs(a) > 0) & (np.abs(a) < np.finfo(np.float32).tiny)).any()


def test_differing_values_are_counted():
    with pytest.raises(AssertionError, match="1 of 2 values differ"):
        doctor._compare(np.array([1, np.nan], np.float32), np.array([2, np.nan], np.float32), "M7E4b10")
