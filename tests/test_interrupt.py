"""Ctrl-C ends commands inside a batch, and only what they run.

A user pressed Ctrl-C in a batch of a minute, and nothing happened before the batch was over: Python's signal handlers
do not run inside session.run.
"""

import ast
import re
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import slow_models

import lba_onnx
from lba_onnx.data.execution import run_session
from lba_onnx.data.watching import Phase, watched_by
from lba_onnx.interruption import run_interruptibly
from lba_onnx.native import Run, conv, matmul
from lba_onnx.native.products import ConvGeometry
from lba_onnx.session import make_session

SPEC = lba_onnx.AccumulatorSpec.parse("M7E4b10")
MOST_SECONDS = 5.0  # 2 on a machine of one's own

COMMANDS = {
    "calibrate": ["-i", "model.onnx", "-o", "out", "--calibration_data_path", "data.npz"],
    "convert": [
        "-i",
        "model.onnx",
        "-o",
        "out",
        "--spec",
        "M7E4b10",
        "--correct",
        "--calibration_data_path",
        "data.npz",
    ],
    "evaluate": ["-i", "converted.onnx", "--data_path", "data.npz"],
    "compare": ["-r", "model.onnx", "-i", "converted.onnx", "--data_path", "data.npz"],
    "debug": ["-i", "converted.onnx", "--reference_path", "model.onnx", "--data_path", "data.npz"],
    "sweep": ["-i", "model.onnx", "-o", "out", "--data_path", "data.npz", "--biases", "10"],
}


def prepare(folder: Path, model: onnx.ModelProto, *shape: int) -> None:
    onnx.save(model, folder / "model.onnx")
    onnx.save(lba_onnx.convert(model, SPEC)[0], folder / "converted.onnx")
    samples = np.random.default_rng(1).standard_normal((slow_models.SAMPLES, *shape)).astype(np.float32)
    np.savez(folder / "data.npz", x=samples)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def has_moved(line: str) -> bool:
    """Whether a line of progress stands inside the first batch, which holds all samples."""
    found = re.search(r"(\d+) %", line)
    return found is not None and 0 < int(found[1]) < 100


def assert_interrupted(ended: slow_models.Ended) -> None:
    assert ended.code == 130, ended
    assert ended.seconds < MOST_SECONDS
    assert ended.lines[-1] == "error: interrupted"
    latest = time.monotonic() + MOST_SECONDS
    while slow_models.processes_of(ended.session) and time.monotonic() < latest:
        time.sleep(0.05)  # multiprocessing's own tracker ends after the process that it is for
    assert not slow_models.processes_of(ended.session)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_end_inside_a_batch_and_leave_nothing(tmp_path, command):
    # A batch takes about 20 seconds on the one processor that the command gets; statistics take longer than products.
    rows = {"calibrate": 2048, "debug": 4096}.get(command, 16384)
    prepare(tmp_path, slow_models.repeated_products(layers=2, rows=rows), slow_models.DEPTH)
    before = listing(tmp_path)
    ended = slow_models.interrupt(tmp_path, [command, *COMMANDS[command]], has_moved)
    assert_interrupted(ended)
    assert all(" so far" in line for line in ended.lines[:-1])
    assert listing(tmp_path) == before


def test_command_ends_inside_a_convolution(tmp_path):
    prepare(tmp_path, slow_models.slow_convolution(), 64, 1, 1)
    ended = slow_models.interrupt(tmp_path, ["evaluate", *COMMANDS["evaluate"]], has_moved)
    assert_interrupted(ended)


def test_command_ends_inside_a_single_float32_node(tmp_path):
    # onnxruntime stops between nodes only; a product that takes half a minute is left behind with the process.
    prepare(tmp_path, slow_models.repeated_products(layers=1, rows=32768, depth=1536), 1536)
    arguments = ["compare", *COMMANDS["compare"]]
    assert_interrupted(slow_models.interrupt(tmp_path, arguments, lambda line: line.startswith("comparing")))


def test_sweep_takes_its_processes_along(tmp_path):
    prepare(tmp_path, slow_models.repeated_products(layers=2, rows=16384), slow_models.DEPTH)
    before = listing(tmp_path)
    arguments = ["sweep", *COMMANDS["sweep"], "--workers", "2"]
    ended = slow_models.interrupt(tmp_path, arguments, lambda line: line.startswith("sweeping"))
    assert_interrupted(ended)
    assert listing(tmp_path) == before


class StopsAt:
    """A watcher that interrupts, as a signal handler does, where a batch has come that far."""

    def __init__(self, batch: int, fraction: float) -> None:
        self.batch, self.fraction, self.fractions = batch, fraction, [[0.0]]

    def enter_phase(self, phase: Phase) -> None:
        pass

    def advance(self, fraction: float, samples: int) -> None:
        self.fractions[-1].append(fraction)
        if len(self.fractions) == self.batch and fraction >= self.fraction:
            raise KeyboardInterrupt

    def count(self, done: int, total: int | None) -> None:
        self.fractions.append([0.0])


def test_resumed_calibration_ends_like_an_uninterrupted_one(tmp_path):
    # 128 samples are a stretch; the second batch is interrupted in the middle.
    model, path = slow_models.repeated_products(layers=2, rows=64), tmp_path / "progress.json"
    data = {"x": np.random.default_rng(1).standard_normal((384, slow_models.DEPTH)).astype(np.float32)}
    stops = StopsAt(batch=2, fraction=0.1)
    with pytest.raises(KeyboardInterrupt), watched_by(stops):
        lba_onnx.calibrate(
            model,
            lba_onnx.Samples(data, batch_size=128),
            resume_path=path,
            execution=lba_onnx.Execution(progress=stops.count),
        )
    assert '"samples": 128' in path.read_text()
    resumed = lba_onnx.calibrate(model, lba_onnx.Samples(data, batch_size=128), resume_path=path)
    assert resumed == lba_onnx.calibrate(model, lba_onnx.Samples(data, batch_size=128))
    assert not path.exists()


def test_other_sessions_of_the_process_go_on(tmp_path):
    # The flag that ends a run is the run's own: a server's other threads compute with the same kernels, even with the
    # same session.
    session = make_session(lba_onnx.convert(slow_models.repeated_products(layers=2, rows=512), SPEC)[0])
    feeds = {"x": np.random.default_rng(1).standard_normal((1, slow_models.DEPTH)).astype(np.float32)}
    expected = session.run(None, feeds)[0].tobytes()
    many = {"x": np.tile(feeds["x"], (200, 1))}
    results: list[bytes] = []
    is_over = threading.Event()

    def run_others() -> None:
        while not is_over.is_set():
            results.append(session.run(None, feeds)[0].tobytes())

    thread = threading.Thread(target=run_others)
    thread.start()
    try:
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt), watched_by(StopsAt(batch=1, fraction=0.02)):
                run_session(session, None, many)
    finally:
        is_over.set()
        thread.join()
    assert results and set(results) == {expected}
    assert run_session(session, None, feeds)[0].tobytes() == expected


def test_progress_of_a_run_grows_to_the_end():
    session = make_session(lba_onnx.convert(slow_models.repeated_products(layers=3, rows=2048), SPEC)[0])
    watcher = StopsAt(batch=0, fraction=1)
    feeds = {"x": np.ones((12, slow_models.DEPTH), np.float32)}
    with watched_by(watcher):
        run_session(session, None, feeds)
    (fractions,) = watcher.fractions
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 3 and 0.3 < fractions[-1] <= 1


def test_stopped_run_begins_no_product():
    run = Run()
    run.stop()
    ones, geometry = np.ones((1, 4, 4), np.float32), ConvGeometry((1,), (1,), (0,), (0,), 1)
    with run.entered():
        with pytest.raises(RuntimeError, match="the run was stopped"):
            matmul(ones, ones, SPEC, 2)
        with pytest.raises(RuntimeError, match="the run was stopped"):
            conv(ones, np.ones((4, 4, 1), np.float32), SPEC, geometry, (1, 4, 4), 2)
    assert np.array_equal(matmul(ones, ones, SPEC, 2), 4 * ones)


def test_what_the_work_raises_is_raised():
    def work() -> None:
        raise ValueError("from the worker")

    with pytest.raises(ValueError, match="from the worker"):
        run_interruptibly(work, Run(), lambda: None)
    assert run_interruptibly(threading.current_thread, Run(), lambda: None) is not threading.main_thread()


def test_sessions_run_in_one_place():
    # A run elsewhere would neither end nor be seen to move. Templates run in other programs.
    found = []
    paths = (path for path in Path(lba_onnx.__file__).parent.rglob("*.py") if "templates" not in path.parts)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
                receiver = ast.unparse(node.func.value)
                if receiver.endswith(("session", "make_session(model)")):
                    found.append(path.name)
    assert found == ["execution.py"]
