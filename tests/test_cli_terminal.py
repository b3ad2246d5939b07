"""What commands print to a terminal of 80 or 120 columns, to a pipe, and to nobody."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from small_models import images, matmul_model, network

import lba_onnx.cli.output
import lba_onnx.rewrite
from lba_onnx.cli import main
from lba_onnx.rewrite import ConversionReport, list_candidates
from lba_onnx.text.width import columns_of

LONG = "/model/encoder/layers.0/attention/self/a_rather_long_name/that_goes_on/{}"
HOSTILE = "\x1b[31m{}\n$x^2$[bold]\u202e"
SHOWN = r"\x1b[31m{}\n$x^2$[bold]\u202e"
WIDTHS = [80, 120, None]
PRINTING = re.compile(r"click\.s?echo|(?<!\w)print(?=\()|sys\.std(?:out|err)|Console\(\)")
FORMAT = re.compile(r"M\d+E\d+b-?\d+")
COMMANDS = {
    "kinds": [],
    "explain": ["M7E4b12/M7E4b10,round=nearest"],
    "inspect": ["-i", "converted.onnx"],
    "transform": ["-i", "model.onnx", "-o", "t.onnx", "--calibration_data_path", "data.npz"],
    "calibrate": ["-i", "model.onnx", "-o", "c.json", "--calibration_data_path", "data.npz", "--family", "M3E3"],
    "convert": ["-i", "model.onnx", "-o", "c.onnx", "--spec", "M7E4b12/M7E4b10"],
    "evaluate": ["-i", "model.onnx", "--data_path", "data.npz"],
    "compare": ["-r", "model.onnx", "-i", "converted.onnx", "--data_path", "data.npz"],
    "cost": ["-i", "converted.onnx", "-r", "model.onnx", "--split"],
    "debug": [
        *("-i", "converted.onnx", "--reference_path", "model.onnx", "--data_path", "data.npz"),
        *("--promote_until", "sqnr>=20"),
    ],
    "search": ["-i", "model.onnx", "-o", "f.json", "--data_path", "data.npz", "--choices", "M7E4", "--effort", "quick"],
    "sweep": [
        "-i",
        "model.onnx",
        "-o",
        "s.json",
        "--data_path",
        "data.npz",
        "--families",
        "M7E4,M5E4",
        "--biases",
        "10",
    ],
    "report": ["-i", "converted.onnx", "-r", "model.onnx", "-o", "report.html"],
    "plot": ["-c", "calibration.json", "--node", "NODE", "-o", "plot.svg"],
    "bundle": ["-i", "converted.onnx", "-o", "bundle"],
    "export-triton": ["-i", "converted.onnx", "-o", "repository"],
    "doctor": [],
    "demo": ["-o", "demo"],
}
WITH_NAMES = set(COMMANDS) - {"bundle", "export-triton", "doctor", "demo", "kinds", "explain", "report"}


def test_every_command_is_listed():
    assert COMMANDS.keys() == main.commands.keys()


def renamed(pattern):
    model = network()
    for node in model.graph.node:
        node.name = pattern.format(node.name)
    model.graph.node[-1].output[0] = model.graph.output[0].name = pattern.format("y")
    return model


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders with a model, converted too, data and a calibration: of long names, and of names that act."""
    found = {}
    for kind, pattern in (("long", LONG), ("hostile", HOSTILE)):
        folder = found[kind] = tmp_path_factory.mktemp(kind)
        onnx.save(renamed(pattern), folder / "model.onnx")
        np.savez(folder / "data.npz", x=images(8), label=np.arange(8) % 10)
        model, data = folder / "model.onnx", folder / "data.npz"
        run("convert", "-i", model, "-o", folder / "converted.onnx", "--spec", "M7E4b12/M7E4b10")
        run("calibrate", "-i", model, "-o", folder / "calibration.json", "--calibration_data_path", data)
    return found


def arguments_of(command, pattern):
    return [command, *(argument.replace("NODE", pattern.format("conv1")) for argument in COMMANDS[command])]


def print_at(width, monkeypatch, folder, arguments):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(lba_onnx.cli.output, "terminal_width", lambda: width)
    return run(*arguments)


@pytest.mark.parametrize("command", sorted(WITH_NAMES | {"doctor"}))
def test_figures_are_the_same_in_every_width(folders, monkeypatch, command):
    # At 80 columns the table of calibrate cut what was asked for: "model…", "M7E4b…".
    texts = {w: print_at(w, monkeypatch, folders["long"], arguments_of(command, LONG)) for w in WIDTHS}
    words = {w: [word for word in texts[w].split() if is_figure(word)] for w in WIDTHS}
    assert sorted(words[80]) == sorted(words[120]) == sorted(words[None])
    assert [FORMAT.findall(texts[w]) for w in (80, 120)] == [FORMAT.findall(texts[None])] * 2
    for width in (80, 120):
        lines = [line for line in texts[width].splitlines() if " " in line]  # a path alone may be longer
        assert max(map(columns_of, lines)) <= width
    assert "…" not in texts[None]


def is_figure(word):
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]\d+)?,?", word) is not None


@pytest.mark.parametrize("command", ["inspect", "calibrate", "convert", "debug"])
def test_names_are_shortened_in_the_middle_and_whole_in_a_pipe(folders, monkeypatch, command):
    names = [LONG.format(name) for name in ("conv1", "depthwise", "classifier")]
    piped = print_at(None, monkeypatch, folders["long"], arguments_of(command, LONG))
    assert all(any(line.startswith(name) for line in piped.splitlines()) for name in names)
    narrow = print_at(80, monkeypatch, folders["long"], arguments_of(command, LONG))
    rows = [line.split()[0] for line in narrow.splitlines() if line.startswith("/model/")]
    for name in names:
        assert any("…" in row and row.endswith(name[-4:]) for row in rows)


def test_the_demo_fits_80_columns(folders, monkeypatch):
    text = print_at(80, monkeypatch, folders["long"], ["demo", *COMMANDS["demo"]])
    assert max(map(columns_of, text.splitlines())) <= 80
    assert len(FORMAT.findall(text)) == 10  # of five layers


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", sorted(WITH_NAMES))
def test_names_that_act_upon_a_terminal_are_shown(folders, monkeypatch, command, width):
    # A node's name could clear the screen, write a line of its own, or vanish as markup.
    text = print_at(width, monkeypatch, folders["hostile"], arguments_of(command, HOSTILE))
    assert all(character.isprintable() for character in text.replace("\n", ""))
    if width is None and command in ("inspect", "calibrate", "convert", "debug"):
        assert SHOWN.format("conv1") in text
    if width is None and command == "compare":
        assert SHOWN.format("y") in text


@pytest.mark.parametrize("command", sorted(WITH_NAMES))
def test_json_stays_json(folders, monkeypatch, command):
    text = print_at(None, monkeypatch, folders["hostile"], [*arguments_of(command, HOSTILE), "--json"])
    value = json.loads(text)
    if command == "calibrate":
        assert HOSTILE.format("conv1") in value["nodes"]


def test_names_that_act_are_shown_in_figures(folders, monkeypatch):
    # Control characters are not allowed in XML, and $x^2$ was set as a formula.
    folder = folders["hostile"]
    print_at(None, monkeypatch, folder, arguments_of("plot", HOSTILE))
    texts = "".join(ElementTree.parse(folder / "plot.svg").getroot().itertext())
    assert SHOWN.format("conv1") in texts
    arguments = [*arguments_of("sweep", HOSTILE), "--plot_path", "sweep.svg"]
    print_at(None, monkeypatch, folder, arguments)
    assert SHOWN.format("y") in "".join(ElementTree.parse(folder / "sweep.svg").getroot().itertext())


def test_names_that_act_are_shown_in_errors_and_warnings(folders, monkeypatch):
    monkeypatch.chdir(folders["hostile"])
    missing = CliRunner().invoke(main, ["inspect", "-i", "\x1b[2Jno.onnx"])
    assert missing.exit_code == 1
    assert r"\x1b[2Jno.onnx" in missing.stderr and "\x1b" not in missing.stderr
    np.savez("zeros.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    arguments = ["calibrate", "-i", "model.onnx", "-o", "z.json", "--calibration_data_path", "zeros.npz"]
    warned = CliRunner().invoke(main, arguments)
    assert r"warning: node \x1b[31mconv1" in warned.stderr and "\x1b" not in warned.stderr


def test_metadata_that_acts_is_shown(tmp_path):
    model = matmul_model(np.eye(2, dtype=np.float32))
    helper.set_model_props(model, {"lba_onnx.spec": "\x1b[2J\n\u202etext"})
    onnx.save(model, tmp_path / "model.onnx")
    assert r"lba_onnx.spec: \x1b[2J\n\u202etext" in run("inspect", "-i", tmp_path / "model.onnx")


def call(arguments, **settings):
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, check=False, stdin=subprocess.DEVNULL, **settings)


def print_to_terminal(columns, arguments, folder, **environment):
    """Return what a command prints to a pseudo-terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    call(arguments, stdout=theirs, stderr=subprocess.DEVNULL, cwd=folder, env=kept | environment)
    os.close(theirs)
    parts = []
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    return b"".join(parts).decode()


@pytest.mark.parametrize(("columns", "environment"), [(80, {}), (120, {}), (200, {"COLUMNS": "80"})])
def test_a_terminal_has_the_width_that_it_says(folders, columns, environment):
    text = print_to_terminal(columns, arguments_of("inspect", LONG), folders["long"], **environment)
    width = int(environment.get("COLUMNS", columns))
    lines = text.split("\r\n")
    assert width - 30 < max(map(columns_of, lines)) <= width
    assert sum("M7E4b12/M7E4b10" in line for line in lines) >= 3
    assert "…" in text and "\x1b" not in text


def test_a_pipe_has_no_width(folders):
    for environment in ({}, {"COLUMNS": "40"}):
        result = call(arguments_of("inspect", LONG), cwd=folders["long"], env={**os.environ, **environment},
                      capture_output=True, text=True)  # fmt: skip
        rows = [line for line in result.stdout.splitlines() if LONG.format("") in line]
        assert len(rows) == 3 and all("M7E4b12/M7E4b10" in row for row in rows)


def test_an_output_that_knows_no_unicode_gets_escapes(folders):
    result = call(["inspect", "-i", "model.onnx"], cwd=folders["long"], capture_output=True, text=True,
                  env={**os.environ, "PYTHONIOENCODING": "ascii"})  # fmt: skip
    assert result.returncode == 0 and r"\u2500" in result.stdout


@pytest.mark.parametrize("command", ["explain", "convert", "doctor"])
def test_nobody_reads_it(folders, command):
    # Closed standard output was an internal error, AttributeError: 'NoneType' object has no attribute 'flush'.
    # Three commands stand for all: the next test finds out what prints in another way.
    arguments = " ".join(f"'{argument}'" for argument in arguments_of(command, LONG))
    program = f"{sys.executable} -c 'from lba_onnx.cli import main; main()' {arguments}"
    for redirected, code in (("%s >&-", 0), ("%s | true; exit ${PIPESTATUS[0]}", None), ("%s >/dev/full", 1)):
        result = subprocess.run(
            ["bash", "-c", redirected % program], cwd=folders["long"], capture_output=True, text=True
        )
        assert "Traceback" not in result.stderr and "internal error" not in result.stderr, result.stderr
        assert "Exception ignored" not in result.stderr, result.stderr
        assert code is None or result.returncode == code, result.stderr


def test_commands_print_by_one_module_alone():
    folder = Path(lba_onnx.cli.__file__).parent
    said = {path.stem: set(PRINTING.findall(path.read_text("utf-8"))) for path in folder.glob("*.py")}
    assert {module: found for module, found in said.items() if found} == {
        "group": {"sys.stdout"},
        "output": {"click.echo", "sys.stdout", "sys.stderr"},
        "progress": {"click.echo"},
        "streams": {"sys.stdout", "sys.stderr"},
    }


def test_output_that_is_closed_gets_nothing_of_it_into_a_file(folders):
    # The first file that is opened takes the place of standard output, and would get what is printed.
    folder = folders["long"]
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *arguments_of("convert", LONG)]
    subprocess.run(["bash", "-c", '"$@" >&-', "bash", *command], cwd=folder, check=True)
    assert (folder / "c.onnx").read_bytes() == (folder / "converted.onnx").read_bytes()


def test_a_warning_that_nobody_reads_stops_nothing(folders):
    np.savez(folders["long"] / "zeros.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    arguments = ["calibrate", "-i", "model.onnx", "-o", "unread.json", "--calibration_data_path", "zeros.npz"]
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *arguments]
    subprocess.run(["bash", "-c", '"$@" 2>&1 >/dev/null | true', "bash", *command], cwd=folders["long"], check=True)
    assert (folders["long"] / "unread.json").is_file()


def score_model():
    """y = x @ w, one score per sample: [samples, 1]."""
    return matmul_model(np.ones((3, 1), np.float32))


@pytest.fixture
def scores(tmp_path):
    onnx.save(score_model(), tmp_path / "model.onnx")
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.savez(tmp_path / "labelled.npz", x=x, label=np.array([0, 1, 1, 0]))
    np.savez(tmp_path / "data.npz", x=x)
    return tmp_path


def test_evaluate_of_one_score_per_sample_says_what_it_is_like(scores):
    # It showed dashes alone.
    for data, reason in (("labelled.npz", "no output is scores of classes"), ("data.npz", "the data hold no labels")):
        text = run("evaluate", "-i", scores / "model.onnx", "--data_path", scores / data)
        assert "no top-1: " in text and reason in text and "--metric" in text
        row = next(line for line in text.splitlines() if line.startswith("y "))
        assert row.split() == ["y", "4", "16.5", "3", "30", "0"]  # sums of 0..2, 3..5, 6..8, 9..11
        assert " - " not in text
        value = json.loads(run("evaluate", "-i", scores / "model.onnx", "--data_path", scores / data, "--json"))
        assert value["outputs"] == [
            {"name": "y", "values": 4, "not_finite": 0, "mean": 16.5, "smallest": 3.0, "largest": 30.0}
        ]
        assert value["labelled"] == (4 if data == "labelled.npz" else 0)


def test_evaluate_counts_what_is_no_number(tmp_path):
    weights = np.array([[1.0], [np.inf]], np.float32)
    onnx.save(matmul_model(weights), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=np.array([[1, 0], [2, 1], [3, -1]], np.float32))
    text = run("evaluate", "-i", tmp_path / "model.onnx", "--data_path", tmp_path / "data.npz")
    assert next(line for line in text.splitlines() if line.startswith("y ")).split() == ["y", "3", "-", "-", "-", "3"]


def test_compare_without_labels_has_no_empty_cells(folders, scores):
    text = run("compare", "-r", scores / "model.onnx", "-i", scores / "model.onnx", "--data_path", scores / "data.npz")
    assert "no top-1: the data hold no labels" in text and "top-5" not in text
    assert "finding" not in text and " - " not in text
    text = run("compare", "-r", folders["long"] / "model.onnx", "-i", folders["long"] / "model.onnx",
               "--data_path", folders["long"] / "data.npz")  # fmt: skip
    assert "top-1 %" in text and "top-5 %" in text and "no top" not in text


def test_sweep_without_labels_has_no_empty_columns(scores, monkeypatch):
    monkeypatch.chdir(scores)
    text = run("sweep", "-i", "model.onnx", "-o", "s.json", "--data_path", "data.npz", "--biases", "10")
    assert "top-1 %" not in text and "no top-1: the data hold no labels" in text and "cosine" in text


@pytest.mark.parametrize("width", [80, None])
def test_very_many_nodes_are_printed_in_seconds(folders, monkeypatch, width):
    # rich's table took minutes for 100,000.
    (entry, *_) = list_candidates(network())
    entries = tuple(replace(entry, node=f"/layers.{i}/MatMul") for i in range(30_000))
    monkeypatch.setattr(lba_onnx.rewrite, "list_candidates", lambda path, shapes, selection: ConversionReport(entries))
    begin = time.process_time()
    text = print_at(width, monkeypatch, folders["long"], ["inspect", "-i", "model.onnx"])
    assert time.process_time() - begin < 18
    assert text.count("convertible") == 30_000
