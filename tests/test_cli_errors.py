"""Exit codes and messages: 0 done, 1 the user's mistake, 2 our fault, 130 interrupted."""

import json
import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from small_models import images, network

import lba_onnx.calibration
from lba_onnx.cli import main
from lba_onnx.cli.group import INTERNAL_ERROR, INTERRUPTED, USER_ERROR
from lba_onnx.errors import ModelError
from lba_onnx.files.json_file import write_json
from lba_onnx.rewrite import save_model


@pytest.fixture
def folder(tmp_path):
    onnx.save(network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=images(8), label=np.zeros(8, np.int64))
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def listing(folder):
    return sorted(path.name for path in folder.rglob("*"))


def assert_one_error_line(result, code, *words):
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for word in words:
        assert word in line


OPTIONS = {
    "inspect": [],
    "transform": ["-o", "out", "--calibration_data_path", "data.npz"],
    "calibrate": ["-o", "out", "--calibration_data_path", "data.npz"],
    "convert": ["-o", "out", "--spec", "M7E4b10"],
    "evaluate": ["--data_path", "data.npz"],
    "compare": ["-r", "model.onnx", "--data_path", "data.npz"],
    "cost": [],
    "debug": ["--reference_path", "model.onnx", "--data_path", "data.npz"],
    "report": ["-o", "out"],
    "bundle": ["-o", "out"],
    "export-triton": ["-o", "out", "--name", "model"],
    "search": ["-o", "out", "--data_path", "data.npz", "--choices", "M7E4"],
    "sweep": ["-o", "out", "--data_path", "data.npz", "--biases", "10"],
}
"""What each command that takes a model needs beside it."""


def test_every_command_that_takes_a_model_is_listed():
    with_model = {name for name, c in main.commands.items() if any("-i" in p.opts for p in c.params)}
    assert with_model == OPTIONS.keys()


@pytest.mark.parametrize("command", OPTIONS)
def test_missing_model_is_one_line(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    before = listing(folder)
    result = run(command, "-i", "missing.onnx", *OPTIONS[command])
    assert_one_error_line(result, USER_ERROR, "missing.onnx")
    assert listing(folder) == before


def test_missing_or_wrong_calibration_is_one_line(folder):
    arguments = ["plot", "--node", "conv1", "-o", folder / "plot.svg", "--calibration"]
    assert_one_error_line(run(*arguments, folder / "missing.json"), USER_ERROR, "missing.json")
    (folder / "wrong.json").write_text("{}")
    assert_one_error_line(run(*arguments, folder / "wrong.json"), USER_ERROR, "expected a calibration")


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_truncated_model_is_one_line(folder, kept):
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[:kept])
    before = listing(folder)
    result = run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10")
    assert_one_error_line(result, USER_ERROR, "model.onnx")
    assert listing(folder) == before


def test_wrong_data_key_is_one_line(folder):
    np.savez(folder / "data.npz", image=images(8))
    before = listing(folder)
    model, data = folder / "model.onnx", folder / "data.npz"
    for command in (
        ["transform", "-o", folder / "t.onnx", "--calibration_data_path", data],
        ["calibrate", "-o", folder / "c.json", "--calibration_data_path", data],
        ["convert", "-o", folder / "c.onnx", "--calibration_data_path", data],
        ["evaluate", "--data_path", data],
        ["compare", "-r", model, "--data_path", data],
        ["search", "-o", folder / "f.json", "--data_path", data, "--choices", "M7E4"],
        ["sweep", "-o", folder / "s.json", "--data_path", data, "--biases", "10"],
    ):
        result = run(command[0], "-i", model, *command[1:])
        assert_one_error_line(result, USER_ERROR, "data.npz", "'x'", "'image'")
    assert listing(folder) == before


def test_unmatched_exclude_pattern_names_the_nearest(folder):
    result = run(
        "convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10",
        "--nodes_to_exclude", "conv_1",
    )  # fmt: skip
    assert_one_error_line(result, USER_ERROR, "conv_1", "conv1")
    assert not (folder / "out.onnx").exists()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--spec", "M7E4"], "bias"),
        (["--spec", "banana"], "banana"),
        (["--spec", "M7E4b10,chunk=0"], "chunk"),
        ([], "expected one of --spec"),
        (["--spec", "M7E4b10", "--calibration_path", "c.json"], "expected one of --spec"),
        (["--spec", "M7E4b10", "--point", "1"], "--point takes a search"),
        (["--spec", "M7E4b10", "--chunk_size", "0"], "chunk_size"),
        (["--spec", "M7E4b10", "--chunk_size", "many"], "chunk_size"),
        (["--spec", "M7E4b10", "--op_types_to_convert", "DeformConv"], "DeformConv"),
        (["--calibration_path", "missing.json"], "missing.json"),
        (["--calibration_data_path", "missing.npz"], "missing.npz"),
        (["--calibration_data_path", "missing.npz", "--family", "M7E4b10"], "without a bias"),
        (["--spec", "M7E4b10", "--log_level", "loud"], "loud"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_options_of_convert_are_one_line(folder, options, word):
    result = run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", *options)
    assert_one_error_line(result, USER_ERROR, word)
    assert not (folder / "out.onnx").exists()


@pytest.mark.parametrize(
    ("options", "unused"),
    [
        (["--spec", "M7E4b10", "--family", "M4E3"], "--family plays no part with --spec"),
        (["--spec", "M7E4b10", "--max-samples", "3"], "--max_samples plays no part with --spec"),
        (["--spec", "M7E4b10", "--correct"], "--correct takes samples"),
        (["--spec", "M7E4b10", "--effort", "quick"], "--effort takes samples"),
        (["--calibration", "c.json", "--chunk_size", "4"], "--chunk_size plays no part with --calibration_path"),
        (["--calibration", "c.json", "--no-underflow"], "--underflow plays no part with --calibration_path"),
    ],
)
def test_options_that_would_change_nothing_are_refused(folder, options, unused):
    # They used to be ignored: a model with other accumulators than were asked for.
    result = run("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", *options)
    assert_one_error_line(result, USER_ERROR, unused)
    assert not (folder / "out.onnx").exists()


def test_an_effort_without_a_correction_is_refused(folder):
    data = ["--calibration_data_path", folder / "data.npz", "--family", "M7E4"]
    arguments = ["convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", *data, "--effort", "quick"]
    assert_one_error_line(run(*arguments, "--no_correct"), USER_ERROR, "--effort is of no effect with --no_correct")


@pytest.mark.parametrize("output", ["no/such/folder/out", "."])
@pytest.mark.parametrize("command", ["calibrate", "convert"])
def test_unwritable_output_is_found_before_any_work(folder, command, output, monkeypatch):
    monkeypatch.setattr(lba_onnx.calibration, "calibrate", lambda *a, **k: pytest.fail("worked before looking"))
    result = run(
        command, "-i", folder / "model.onnx", "-o", folder / output, "--calibration_data_path", folder / "data.npz"
    )
    assert_one_error_line(result, USER_ERROR, "folder")


@pytest.mark.parametrize("option", ["-o", "--report_path"])
def test_device_as_output_is_refused_and_not_replaced(folder, option):
    # Files take their names in one step, which put a regular file in the place of /dev/null.
    os.mkfifo(folder / "pipe")
    outputs = {"-o": folder / "out.onnx", option: folder / "pipe"}
    arguments = [argument for pair in outputs.items() for argument in pair]
    result = run("convert", "-i", folder / "model.onnx", "--spec", "M7E4b10", *arguments)
    assert_one_error_line(result, USER_ERROR, "pipe: expected a file to write, got a folder or a device")
    assert (folder / "pipe").is_fifo()
    with pytest.raises(ModelError, match="got a folder or a device"):
        save_model(network(), folder / "pipe")
    with pytest.raises(OSError, match="got a folder or a device"):
        write_json(folder / "pipe", {})
    assert (folder / "pipe").is_fifo()


def test_unwritable_report_is_found_before_the_model_is_written(folder):
    result = run(
        "convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10",
        "--report_path", folder / "no" / "report.json",
    )  # fmt: skip
    assert_one_error_line(result, USER_ERROR, "report.json")
    assert not (folder / "out.onnx").exists()


def test_unwritable_demo_folder_is_one_line(folder):
    (folder / "file").write_text("in the way")
    assert_one_error_line(run("demo", "-o", folder / "file" / "sub"), USER_ERROR, "file")


def test_internal_error_asks_for_a_report(folder, monkeypatch):
    def fail(*arguments, **settings):
        raise RuntimeError("a bug\nin two lines")

    monkeypatch.setattr(lba_onnx.calibration, "calibrate", fail)
    arguments = ["calibrate", "-i", folder / "model.onnx", "-o", folder / "c", "--calibration_data_path", folder]
    result = run(*arguments)
    assert_one_error_line(result, INTERNAL_ERROR, "RuntimeError: a bug in two lines", "report")
    assert "Traceback" in run(*arguments, "--log_level", "debug").stderr


def test_interrupt_leaves_nothing_half_written(folder, monkeypatch):
    before = listing(folder)

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    for command, options in (
        ("calibrate", ["--calibration_data_path", folder / "data.npz"]),
        ("convert", ["--spec", "M7E4b10"]),
        ("convert", ["--calibration_data_path", folder / "data.npz", "--report_path", folder / "r.json"]),
    ):
        result = run(command, "-i", folder / "model.onnx", "-o", folder / "out", *options)
        assert_one_error_line(result, INTERRUPTED, "interrupted")
        assert listing(folder) == before


def call(*arguments):
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_exit_codes_of_the_process(folder):
    done = call("convert", "-i", folder / "model.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["report"]["converted"] == 3
    wrong = call("convert", "-i", folder / "missing.onnx", "-o", folder / "out.onnx", "--spec", "M7E4b10")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: ") and wrong.stderr.count("\n") == 1
    usage = call("convert", "--bogus")
    assert (usage.returncode, usage.stdout) == (1, "")
    assert usage.stderr.startswith("error: ")


def test_reader_that_goes_away_is_no_traceback():
    command = f"{sys.executable} -c 'from lba_onnx.cli import main; main()' --help | true"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
