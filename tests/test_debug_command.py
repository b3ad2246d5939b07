"""lba-onnx debug: tables, JSON, promoted files, and one line for what is wrong."""

import json
import re

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from test_debug import BAD, FINE, chain, samples, with_bad

from lba_onnx.cli import main
from lba_onnx.rewrite.specs import read_specs


@pytest.fixture
def folder(tmp_path):
    onnx.save(chain(), tmp_path / "model.onnx")
    onnx.save(with_bad(BAD["product_overflow"]), tmp_path / "lba.onnx")
    np.savez(tmp_path / "data.npz", **samples())
    return tmp_path


def invoke(folder, *arguments):
    files = ["-i", folder / "lba.onnx", "--data_path", folder / "data.npz", "--reference_path", folder / "model.onnx"]
    return CliRunner().invoke(main, ["debug", *map(str, [*files, *arguments])])


def run(folder, *arguments):
    result = invoke(folder, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_tables_name_the_layer_and_the_cause(folder):
    text = run(folder)
    assert "6 samples (6 for the model's output)" in text
    for word in ("matmul0", "matmul1", "matmul2", "exact inputs", "cross-model", "overflow", "swamping"):
        assert word in text
    first = next(line for line in text.splitlines() if re.match(r"matmul\d \(", line))
    assert first.startswith("matmul1 (") and "overflow of products" in first


def test_json_is_the_diagnosis(folder):
    value = json.loads(run(folder, "--json", "--max-samples", "4", "--samples-alone", "0"))
    assert (value["samples"], value["samples_alone"]) == (4, 0)
    assert value["layers"][0]["node"] == "matmul1"
    assert "promotion" not in value


@pytest.mark.parametrize("alone", ["0", "16"])
def test_promotion_writes_the_model(folder, alone):
    target = folder / "promoted.onnx"
    arguments = ["--promote-until", "sqnr>=40", "-o", target, "--samples_alone", alone]
    value = json.loads(run(folder, *arguments, "--json"))
    assert value["promotion"]["promoted"] == ["matmul1"]
    assert read_specs(onnx.load(target)) == {"matmul0": FINE, "matmul2": FINE}
    text = run(folder, *arguments)
    assert "sqnr>=40 holds with these layers in float32: matmul1" in text
    assert f"wrote {target}" in text


def test_promotion_to_a_family_and_promotion_in_vain_are_told(folder):
    target = folder / "promoted.onnx"
    arguments = ["--wider", "M16E6", "-o", target]
    assert "in M16E6: matmul1" in run(folder, "--promote_until", "sqnr>=40", *arguments)
    target.unlink()
    text = run(folder, "--promote_until", "sqnr>=150", *arguments)
    assert "sqnr>=150 does not hold even with all layers in M16E6" in text
    assert f"wrote nothing to {target}" in text
    assert not target.exists()
    assert "sqnr>=1 holds as it is" in run(folder, "--promote_until", "sqnr>=1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--wider", "M16E6"], "--wider plays no part without --promote_until"),
        (["--output_path", "promoted.onnx"], "--output_path plays no part without --promote_until"),
        (["--labels_path", "labels.npy"], "--labels_path plays no part without --promote_until"),
        (["--promote_until", "sqnr>>40"], "expected a condition such as 'sqnr>=20'"),
        (["--promote_until", "sqnr>=40", "--wider", "M10"], "expected a family of formats such as 'M7E4'"),
        (["--promote_until", "sqnr>=40", "-o", "missing/promoted.onnx"], "the folder missing does not exist"),
        (["--promote_until", "top1>=40"], "top1>=40: expected labels"),
    ],
)
def test_mistakes_end_in_one_line(folder, arguments, message):
    result = invoke(folder, *arguments)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr


@pytest.mark.parametrize("arguments", [["sqnr>>40"], ["sqnr>=40", "--wider", "M10"]])
def test_conditions_and_families_are_read_before_any_work_is_done(folder, arguments):
    (folder / "data.npz").unlink()
    message = invoke(folder, "--promote_until", *arguments).stderr
    assert "expected a condition" in message or "expected a family" in message
