"""What commands and benchmarks say of where they stand.

Without a terminal a run of an hour said nothing; with one, a bar stood still through a batch of minutes, and had no
total before the first batch was over.
"""

import io
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import slow_models
from click.testing import CliRunner
from small_models import images, network

import lba_onnx
from lba_onnx.cli import main, progress
from lba_onnx.cli.progress import Lines, Standing, Tracker
from lba_onnx.data.watching import Phase, advance, enter_phase, part, steps, watched_by
from lba_onnx.errors import DataError


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def shown():
    return []


def test_total_is_known_from_the_start_and_steps_move_inside(clock, shown):
    tracker = Tracker("evaluating", shown.append)
    tracker.enter_phase(Phase(total=64))
    assert str(shown[-1]) == "evaluating: 0 of 64 samples, 0 %, 0:00 so far"
    clock.now = 10.0
    tracker.advance(0.5, 16)
    assert str(shown[-1]) == "evaluating: 8 of 64 samples, 12 %, 0:10 so far, about 1:10 left"
    tracker.report(16, 64)
    assert shown[-1].done == 16


def test_progress_never_goes_back_inside_a_phase(shown):
    tracker = Tracker("evaluating", shown.append)
    tracker.enter_phase(Phase(total=20))
    for fraction in (0.2, 0.9, 0.1):
        tracker.advance(fraction, 16)
    tracker.report(16, 20)
    tracker.advance(1.0, 16)  # the last batch is filled up
    positions = [standing.done for standing in shown]
    assert positions == sorted(positions)
    assert positions[-1] == 20


def test_phases_are_named_and_may_count_other_things(clock, shown):
    tracker = Tracker("calibrating", shown.append)
    with watched_by(tracker):
        enter_phase("ranges", total=8)
        tracker.report(8, 8)
        enter_phase("judging", unit="")
        for index in steps([0, 1]):
            enter_phase("a phase of what a step does", total=3)  # is none of the command's
            with part(0, 0.5):
                advance(1.0, 5)
            assert shown[-1].percent == 25 + 50 * index
        enter_phase("search", "evaluations", 20)
        advance(0.5, 64)
        assert shown[-1].done == 0.5
    advance(1.0, 1)
    assert [standing.title for standing in shown if standing.done == 0][1:] == [
        "calibrating, ranges",
        "calibrating, judging",
        "calibrating, search",
    ]


def line_at(seconds: float, percent: float) -> Standing:
    return Standing("evaluating", percent, 100, "samples", seconds, None)


@pytest.mark.parametrize(
    ("seconds", "percent", "is_due"),
    [(3.0, 20.0, False), (4.5, 9.0, False), (4.5, 10.0, True), (31.0, 0.0, False), (32.5, 0.0, True)],
)
def test_lines_come_every_30_seconds_or_10_percent(capsys, seconds, percent, is_due):
    lines = Lines(first_seconds=2.0)
    lines.show(line_at(1.0, 0))
    assert capsys.readouterr().err == ""
    lines.show(line_at(2.0, 0))
    assert capsys.readouterr().err.startswith("evaluating: 0 of 100 samples")
    lines.show(line_at(seconds, percent))
    assert bool(capsys.readouterr().err) == is_due


def test_lines_show_movement_inside_the_only_batch_and_quiet_none(tmp_path):
    model = slow_models.repeated_products(layers=2, rows=1 << 13)
    onnx.save(lba_onnx.convert(model, lba_onnx.AccumulatorSpec.parse("M7E4b10"))[0], tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=np.ones((8, slow_models.DEPTH), np.float32))
    program = """
from lba_onnx.cli import main, progress

progress._SECONDS_BEFORE_LINES = progress._LEAST_SECONDS_BETWEEN_LINES = 0.0
main()
"""
    command = [sys.executable, "-c", program, "evaluate", "-i", "model.onnx"]

    def errors(*options: str) -> str:
        arguments = [*command, "--data_path", "data.npz", "--json", *options]
        return subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True).stderr

    first, *lines = errors().splitlines()
    assert first == "evaluating: 0 samples, 0:00 so far"  # the data are yet to be opened
    assert lines and all(line.startswith("evaluating: ") and " of 8 samples, " in line for line in lines)
    assert any(not line.startswith(("evaluating: 0 of", "evaluating: 8 of")) for line in lines)
    assert errors("--quiet") == ""


def test_every_command_takes_quiet():
    assert all(any("--quiet" in p.opts for p in command.params) for command in main.commands.values())


def test_quiet_keeps_warnings_and_drops_what_only_informs(tmp_path, monkeypatch):
    def speak(*arguments, **settings):
        logging.getLogger("lba_onnx.evaluation").info("by the way")
        logging.getLogger("lba_onnx.evaluation").warning("look out")
        raise DataError("no such data")

    monkeypatch.setattr("lba_onnx.evaluation.evaluate", speak)
    arguments = ["evaluate", "-i", "model.onnx", "--data_path", "data.npz", "--log_level", "info"]
    logger = logging.getLogger("lba_onnx")
    monkeypatch.setattr(logger, "level", logger.level)  # restored afterwards
    loud, quiet = (CliRunner().invoke(main, [*arguments, *more]).stderr for more in ([], ["--quiet"]))
    assert "info: by the way" in loud and "warning: look out" in loud
    assert quiet == "warning: look out\nerror: no such data\n"


def test_terminal_shows_a_bar_with_total_and_time_left(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress.display(first_seconds=2.0) as show:
        show(Standing("evaluating", 8.0, 64, "samples", 10.0, 70.0))
    assert "evaluating" in stream.getvalue()
    assert "8 of 64 samples, 12 %" in stream.getvalue() and "about 1:10 left" in stream.getvalue()


def test_calls_without_a_watcher_say_nothing(capsys):
    lba_onnx.calibrate(network(), {"x": images(8)}, "M7E4", "mse")
    assert capsys.readouterr() == ("", "")


def test_progress_callback_hears_samples_after_each_batch_as_before():
    heard: list[tuple[int, int | None]] = []
    lba_onnx.calibrate(
        network(),
        lba_onnx.Samples({"x": images(10)}, batch_size=4),
        execution=lba_onnx.Execution(progress=lambda *seen: heard.append(seen)),
    )
    assert heard == [(4, 10), (8, 10), (10, 10)]


def test_benchmarks_tell_what_they_measure(capsys, monkeypatch):
    # `python -m benchmarks.calibration` printed nothing for ten minutes.
    from benchmarks import harness

    monkeypatch.setattr(sys, "argv", ["benchmarks/example.py"])
    monkeypatch.setattr(progress, "_LEAST_SECONDS_BETWEEN_LINES", 0.0)
    for case in harness.progress(["a", "b"]):
        list(harness.progress(range(2), lambda number: f"round {number}"))
        assert case in "ab"
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" so far")[0].rpartition(",")[0] for line in lines] == [
        "example, a: 0 of 2 measurements, 0 %",
        "example, a, round 0: 0 of 2 measurements, 0 %",
        "example, a, round 1: 0 of 2 measurements, 25 %",
        "example, b: 1 of 2 measurements, 50 %",
        "example, b, round 0: 1 of 2 measurements, 50 %",
        "example, b, round 1: 1 of 2 measurements, 75 %",
    ]


def test_every_benchmark_shows_its_progress():
    folder = Path(__file__).parents[1] / "benchmarks"
    programs = [path for path in folder.glob("*.py") if "__main__" in path.read_text()]
    assert programs
    assert [path.name for path in programs if "progress(" not in path.read_text()] == []
