"""Models whose batches take far longer than anybody waits after Ctrl-C, and commands that run them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from small_models import model, tensor

SAMPLES = 4
DEPTH = 512


def repeated_products(layers: int, rows: int, depth: int = DEPTH) -> onnx.ModelProto:
    """y [batch] of x [batch, depth], each sample repeated to so many rows, through MatMuls that share a weight."""
    weights = np.random.default_rng(0).standard_normal((depth, depth)).astype(np.float32) / np.float32(depth**0.5)
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axis"], ["wide"], "widen"),
        helper.make_node("Expand", ["wide", "shape"], ["h0"], "expand"),
        *(helper.make_node("MatMul", [f"h{i}", "w"], [f"h{i + 1}"], f"matmul{i}") for i in range(layers)),
        helper.make_node("ReduceSum", [f"h{layers}", "axes"], ["y"], "sum", keepdims=0),
    ]
    constants = {"axis": [1], "axes": [1], "shape": [1, rows, depth]}
    initializers = {"w": weights, **{name: np.array(value, np.int64) for name, value in constants.items()}}
    return model(nodes, [tensor("x", "batch", depth)], [tensor("y", "batch", depth)], initializers)


def slow_convolution(size: int = 160) -> onnx.ModelProto:
    """A convolution of an image that is repeated to size x size."""
    weights = np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32) / np.float32(24)
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["h"], "expand"),
        helper.make_node("Conv", ["h", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("ReduceSum", ["c", "axes"], ["y"], "sum", keepdims=0),
    ]
    initializers = {
        "w": weights,
        "shape": np.array([1, 64, size, size], np.int64),
        "axes": np.array([2, 3], np.int64),
    }
    return model(nodes, [tensor("x", "batch", 64, 1, 1)], [tensor("y", "batch", 64)], initializers)


@dataclass(frozen=True)
class Ended:
    """How a command ended after SIGINT.

    Attributes:
        seconds: How long that took.
        code: Its exit code.
        lines: What it wrote to standard error, without empty lines.
        session: Id of the session of processes that it had to itself.
    """

    seconds: float
    code: int
    lines: list[str]
    session: int


def interrupt(folder: Path, arguments: list[str], is_time: Callable[[str], bool]) -> Ended:
    """Run a command on one processor by the portable path, and interrupt it after the first line that says so."""
    command = [sys.executable, "-c", "from lba_onnx.cli import main; main()", *arguments]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LBA_ONNX_CPU_PATH": "portable"},
        start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line.strip())
        if is_time(line):
            break
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    try:
        rest = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    lines += [line.strip() for line in rest.splitlines()]
    return Ended(time.monotonic() - began, process.returncode, [line for line in lines if line], process.pid)


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that still live."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdecimal() else []
        except OSError:  # it has ended meanwhile
            continue
        if fields and int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found
