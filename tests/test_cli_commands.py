"""The commands, from a model and data to files and figures."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import images, network

from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.arithmetic.registry import from_attributes
from lba_onnx.calibration import Calibration
from lba_onnx.cli import main
from lba_onnx.correction import EFFORTS
from lba_onnx.correction.recipes import recipes_of


@pytest.fixture
def folder(tmp_path):
    onnx.save(network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=images(8), label=np.zeros(8, np.int64))
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def run_json(*arguments):
    result = run(*arguments, "--json")
    return json.loads(result.stdout)


def converted_specs(path):
    nodes = onnx.load(path).graph.node
    attributes = {n.name: {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute} for n in nodes if n.domain}
    return {name: from_attributes(values) for name, values in attributes.items()}


def test_inspect_lists_candidates_and_converted_nodes(folder):
    value = run_json("inspect", "-i", folder / "model.onnx")
    assert [node["node"] for node in value["ledger"]["nodes"]] == ["conv1", "depthwise", "classifier"]
    assert value["metadata"] == {}
    run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10")
    value = run_json("inspect", "-i", folder / "out.onnx")
    assert {node["spec"]["accumulator_format"] for node in value["ledger"]["nodes"]} == {"M7E4b10"}
    assert "lba_onnx.version" in value["metadata"]
    assert "lba_onnx.spec" in run("inspect", "-i", folder / "out.onnx").stdout


@pytest.mark.parametrize("name", ["--calibration_data_path", "--calibration-data-path"])
def test_calibrate_writes_what_it_prints(folder, name):
    value = run_json("calibrate", "-i", folder / "model.onnx", "-o", folder / "c.json", name, folder / "data.npz")
    assert value.pop("output_path") == str(folder / "c.json")
    assert value == json.loads((folder / "c.json").read_text())
    assert list(Calibration.load(folder / "c.json").specs) == ["conv1", "depthwise", "classifier"]


def test_calibrate_passes_its_options_on(folder):
    value = run_json(
        "calibrate", "--onnx-path", folder / "model.onnx", "--output-path", folder / "c.json",
        "--calibration-data-path", folder / "data.npz", "--format", "M6E3", "--chunk-size", "none", "--no-underflow",
        "--max-samples", "5", "--batch-size", "2", "--nodes-to-exclude", "conv.*",
    )  # fmt: skip
    assert value["family"] == "M6E3,chunk=none,underflow=off"
    assert value["samples"] == 5
    assert list(value["nodes"]) == ["depthwise", "classifier"]


def test_convert_with_one_spec_writes_model_and_report(folder):
    run(
        "convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10", "--chunk_size", "32",
        "--report_path", folder / "r.json", "--op_types_to_convert", "Conv",
    )  # fmt: skip
    expected = AccumulatorSpec.parse("M7E4b10", chunk_size=32)
    assert converted_specs(folder / "out.onnx") == {"conv1": expected, "depthwise": expected}
    assert json.loads((folder / "r.json").read_text())["converted"] == 2


def test_convert_with_data_equals_calibrate_then_convert(folder):
    model, data, result = folder / "model.onnx", folder / "data.npz", folder / "c.json"
    run("calibrate", "-i", model, "-o", result, "--calibration_data_path", data, "--family", "M6E3")
    run("convert", "-i", model, "-o", folder / "a.onnx", "--calibration_path", result)
    run("convert", "-i", model, "-o", folder / "b.onnx", "--calibration_data_path", data, "--family", "M6E3")
    specs = converted_specs(folder / "a.onnx")
    assert specs == converted_specs(folder / "b.onnx") == Calibration.load(result).specs


def test_convert_portable_carries_function_bodies(folder):
    run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10", "--portable")
    assert {f.name for f in onnx.load(folder / "out.onnx").functions} == {"LbaConv", "LbaGemm"}


def test_convert_to_external_data(folder):
    run(
        "convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10",
        "--use_external_data_format",
    )  # fmt: skip
    assert any(path.name not in ("model.onnx", "data.npz", "out.onnx") for path in folder.iterdir())
    assert run_json("evaluate", "-i", folder / "out.onnx", "--data_path", folder / "data.npz")["samples"] == 8


def test_evaluate_prints_accuracy(folder):
    arguments = ["evaluate", "-i", folder / "model.onnx", "--data_path", folder / "data.npz"]
    value = run_json(*arguments)
    assert value["samples"] == value["top1"]["samples"] == 8
    low, high = value["top1"]["interval"]
    assert low <= value["top1"]["percent"] <= high and low < high
    assert "top-1" in run(*arguments).stdout


def test_compare_prints_likeness(folder):
    run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M22E7b63/M22E7b63")
    arguments = ["compare", "-r", folder / "model.onnx", "-i", folder / "out.onnx", "--data_path", folder / "data.npz"]
    value = run_json(*arguments)
    assert value["candidate"]["top1"] == value["reference"]["top1"]
    assert value["agreement"]["percent"] == 100.0
    assert value["outputs"][0]["sqnr_db"] > 100


def test_tables_show_the_nodes(folder):
    text = run(
        "calibrate",
        "-i",
        folder / "model.onnx",
        "-o",
        folder / "c.json",
        "--calibration_data_path",
        folder / "data.npz",
    ).stdout
    for word in ("conv1", "depthwise", "classifier", "c.json"):
        assert word in text


def test_help_is_quick_to_import():
    code = "import sys; from lba_onnx.cli import main; print([m for m in sys.modules if m in sys.argv[1:]])"
    heavy = ["onnx", "onnxruntime", "onnx_graphsurgeon", "torch", "rich"]
    result = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command):
    assert "--json" in run(command, "--help").stdout


def test_no_progress_bar_where_there_is_no_terminal(folder):
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", "evaluate", "-i", folder / "model.onnx"]
    result = subprocess.run(
        [*map(str, command), "--data_path", str(folder / "data.npz"), "--json"],
        capture_output=True, text=True, check=True, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    assert result.stderr == ""
    assert json.loads(result.stdout)["samples"] == 8


def test_what_a_calibration_did_not_see_is_said_on_standard_error(folder):
    # `convert` with data prints the ledger, which knows nothing of a calibration's notes.
    np.savez(folder / "zeros.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    data = ["--calibration_data_path", folder / "zeros.npz"]
    arguments = ["convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", *data]
    assert "warning: node conv1: met only zeros" in run(*arguments).stderr
    assert run(*arguments, "--log_level", "error").stderr == ""
    assert "info: calibrated 3 nodes on 4 samples" in run(*arguments, "--log_level", "info").stderr


def test_a_conversion_of_nothing_is_a_warning(folder):
    for model, out in (("model", "first"), ("first", "second")):
        result = run("convert", "-i", folder / f"{model}.onnx", "-o", folder / f"{out}.onnx", "--spec", "M7E4b10")
        assert result.stderr.startswith("warning: 0 of 3 nodes converted") == (out == "second")


def test_convert_corrects_where_there_are_data(folder):
    arguments = ["convert", "-i", folder / "model.onnx", "--calibration_data_path", folder / "data.npz"]
    family = ["--family", "M4E4"]
    value = run_json(*arguments, "-o", folder / "corrected.onnx", *family)
    correction = value["correction"]
    scores = {name: score for name, score in correction["scores"].items() if name not in correction["rejected"]}
    assert scores[correction["recipe"]] == max(scores.values()) > scores["none"]
    plain = run_json(*arguments, "-o", folder / "plain.onnx", *family, "--no_correct")
    assert plain["correction"] is None
    assert plain["report"] == value["report"]
    sqnr = {}
    for name in ("plain", "corrected"):
        compared = ["compare", "-r", folder / "model.onnx", "-i", folder / f"{name}.onnx"]
        sqnr[name] = run_json(*compared, "--data_path", folder / "data.npz")["outputs"][0]["sqnr_db"]
    assert sqnr["corrected"] > sqnr["plain"]
    assert "corrected by" in run(*arguments, "-o", folder / "corrected.onnx", *family).stdout
    assert not list(folder.glob(".lba_onnx*"))


def test_an_effort_says_what_the_correction_tries(folder):
    arguments = ["convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--family", "M4E4"]
    data = ["--calibration_data_path", folder / "data.npz"]
    for effort in EFFORTS:
        scores = run_json(*arguments, *data, "--effort", effort)["correction"]["scores"]
        assert list(scores) == ["none", *recipes_of(effort, ["LbaConv", "LbaConv", "LbaGemm"])]


def test_convert_corrects_at_a_given_spec(folder):
    data = ["--calibration_data_path", folder / "data.npz"]
    out = ["convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M4E5b16"]
    assert run_json(*out, *data, "--max_samples", "4")["correction"]["samples"] == 3
    assert run_json(*out)["correction"] is None
