"""Options that would change nothing are refused, before any file is read."""

import click
import pytest
from click.testing import CliRunner

from lba_onnx.cli import main

MODEL = ("-i", "m.onnx")
REPORT = ("report", *MODEL, "-o", "page.html")
SEARCH = ("search", *MODEL, "-o", "s.json", "--data_path", "d.npz", "--choices", "M7E4,M5E4")
SWEEP = ("sweep", *MODEL, "-o", "s.json", "--data_path", "d.npz")
UNUSED = [
    (("cost", "--self_test", *MODEL), "-i plays no part with --self_test"),
    (("cost", "--self_test", "--split"), "--split plays no part with --self_test"),
    (("cost", "--self_test", "--operand_format", "M4E3"), "--operand_format plays no part with --self_test"),
    (("cost", *MODEL, "--shared_inputs", "mask"), "--shared_inputs plays no part without --data_path"),
    (("cost", *MODEL, "--nodes_to_exclude", "a"), "--nodes_to_exclude plays no part without --spec"),
    (("inspect", *MODEL, "--shared_inputs", "mask"), "--shared_inputs plays no part without --data_path"),
    ((*REPORT, "--cost", "c.json", "--operand_format", "M4E3"), "--operand_format plays no part with --cost"),
    ((*REPORT, "--cost", "c.json", "--cost_table", "t.json"), "--cost_table plays no part with --cost"),
    (
        (*REPORT, "--cost", "c.json", "--sweep", "s.json", "--operand_format", "M4E3"),
        "--operand_format plays no part with --cost",
    ),
    ((*REPORT, "--batch_size", "3"), "--batch_size plays no part without --data_path"),
    ((*REPORT, "--labels_path", "l.npy"), "--labels_path plays no part without --data_path"),
    ((*REPORT, "--metric", "perplexity"), "--metric plays no part without --data_path"),
    ((*SEARCH, "--points", "3", "--budget", "40%"), "--points plays no part with --budget or --loss"),
    ((*SEARCH, "--points", "3", "--loss", "0.1"), "--points plays no part with --budget or --loss"),
    ((*SEARCH, "--model_output_path", "o.onnx"), "--model_output_path plays no part without --write"),
    ((*SEARCH, "--quantity", "bits", "--cost_table", "t.json"), "--cost_table plays no part with --quantity bits"),
    ((*SWEEP, "--plot_over", "chunk_size"), "--plot_over plays no part without --plot_path"),
    (
        (*SWEEP, "--biases", "9,10", "--calibration_data_path", "c.npz"),
        "--calibration_data_path plays no part with --biases that are all numbers",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), UNUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_options_that_would_change_nothing_are_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    for name in ("m.onnx", "d.npz", "c.json", "t.json", "s.json", "l.npy", "c.npz"):
        (tmp_path / name).touch()
    refused = CliRunner().invoke(main, list(arguments))
    assert refused.exit_code == 1 and message in refused.stderr, refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (*REPORT, "--cost_table", "t.json", "--cost", "c.json", "--sweep", "s.json"),
        (*REPORT, "--operand_format", "M4E3", "--cost_table", "t.json"),
        (*REPORT, "--cost", "c.json", "--input_shapes", "x:1x3"),
        ("cost", *MODEL, "--accumulate", "reductions"),
    ],
)
def test_those_that_do_are_not(tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, list(arguments))
    assert refused.exit_code == 1 and "plays no part" not in refused.stderr, refused.stderr


def test_names_of_options_are_those_of_their_commands():
    """A name that a command has no option of would never be refused."""
    from lba_onnx.cli import cost, unused

    def names(command):
        return {parameter.name for parameter in main.get_command(click.Context(main), command).params}

    assert set(cost._OF_SPEC) | set(unused.OF_FEEDING) <= names("cost")
    assert set(unused.OF_RUNS) <= names("report") & names("convert")
