"""lba-onnx sweep."""

import json
import re

import numpy as np
import onnx
import pytest
import small_models
import sweep_models
from click.testing import CliRunner

from lba_onnx.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    onnx.save(small_models.network(), tmp_path / "model.onnx")
    np.savez(tmp_path / "test.npz", **sweep_models.DATA)
    np.savez(tmp_path / "calibration.npz", x=small_models.images(24, seed=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    command = ["sweep", "-i", "model.onnx", "--data_path", "test.npz", "-o", "sweep.json", *arguments]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_lists_become_points_and_files(folder):
    files = ["--csv_path", "sweep.csv", "--plot_path", "sweep.svg", "--plot_over", "chunk_size"]
    lists = ["--families", "M7E4, M5E4", "--biases", "-1,10,max", "--chunk_sizes", "16,none", "--underflow", "on,off"]
    text = run(*lists, "--calibration_data_path", "calibration.npz", *files, "--json")
    value = json.loads(text)
    assert {key: value[key] for key in value if key != "files"} == json.loads((folder / "sweep.json").read_text())
    assert value["files"] == ["sweep.json", "sweep.csv", "sweep.svg"]
    points = [(p["family"], p["bias"], p["chunk_size"], p["underflow"]) for p in value["points"]]
    assert len(points) == 24
    assert points[:2] == [("M7E4", -1, 16, True), ("M7E4", 10, 16, True)]
    assert points[3:9:3] == [("M7E4", -1, 16, False), ("M7E4", -1, None, True)]
    assert points[-1] == ("M5E4", "max", None, False)
    assert len((folder / "sweep.csv").read_text().splitlines()) == 26
    assert sorted(path.name for path in folder.iterdir() if "sweep" in path.name) == [
        "sweep.csv", "sweep.json", "sweep.svg"]  # fmt: skip


def test_table_shows_every_point(folder):
    text = run("--biases", "8,10", "--metric", "sweep_models:first")
    for word in ("M7E4", "10", "top-1 %", "sweep_models:first", "float32: top-1", "wrote sweep.json"):
        assert word in text


def test_interruption_leaves_a_journal_that_the_next_run_takes_up(folder, monkeypatch):
    from lba_onnx.sweeping import schedule

    grid = ["--biases", "8,10", "--shard_size", "16"]
    whole = json.loads(run(*grid, "--json"))
    submit = schedule.Schedule._submit
    monkeypatch.setattr(schedule.Schedule, "_submit", fail_after(2, submit))
    run(*grid, code=130)
    journal = folder / "sweep.json.journal"
    assert len(journal.read_text().splitlines()) == 2
    monkeypatch.setattr(schedule.Schedule, "_submit", fail_after(2, submit))
    assert json.loads(run(*grid, "--json")) == whole
    assert not journal.exists()


def fail_after(parts, submit):
    left = [parts]

    def counted(self, part):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        submit(self, part)

    return counted


def test_workers_change_nothing(folder):
    grid = ["--families", "M7E4,M5E4", "--biases", "8", "--json"]
    assert run(*grid, "--workers", "1", "--shard_size", "4") == run(*grid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--families", "M7E", "--biases", "8"], "expected a family of formats"),
        (["--chunk_sizes", "0", "--biases", "8"], "expected a number of at least 1, or none"),
        (["--underflow", "maybe"], "expected on or off"),
        ([], "expected data to calibrate on"),
        (["--biases", "8", "--plot_path", "plot.pdf"], "expected a file .png or .svg"),
        (["--biases", "8", "--csv_path", "no/such/table.csv"], "the folder no/such does not exist"),
        (["--biases", "8", "--workers", "1", "--scheduler", "tcp://x"], "got both"),
    ],
)
def test_mistakes_are_one_line(folder, arguments, message):
    text = run(*arguments, code=1)
    assert len(text.strip().splitlines()) == 1 and re.search(message, text)
