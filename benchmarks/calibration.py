"""What calibration and correction cost: processor time in runs of the float32 model over a sample, and peak memory.

Of a calibration that is the slope between two numbers of samples, beside the constant that is left. A correction is
timed whole, opening of sessions and all, on as many samples as it takes. A float32 session that runs the same batches
takes turns with them. Memory is that of a process that calibrates on images read from an .npz, a few at a time.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Row, parse_arguments, progress, report
from benchmarks.memory import MEGABYTE, peak_bytes
from benchmarks.models import INPUT, RECIPES
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.methods import OF_FLOATS
from lba_onnx.correction import DEFAULT_EFFORT, EFFORTS
from lba_onnx.correction.correcting import DEFAULT_MAX_SAMPLES
from lba_onnx.rewrite.conversion import list_candidates
from lba_onnx.session import make_session

BATCH_SIZE = 16
CORRECT = "correct"
TARGETS = {"max": 8.0, **dict.fromkeys(("percentile", "mse", "zero_shot"), 12.0), CORRECT: 20.0}
COLUMNS = (
    Column("model", "model"),
    Column("method", "method"),
    Column("samples", "samples"),
    Column("seconds", "CPU seconds", ".2f"),
    Column("float32_passes", "float32 passes a sample", ".1f"),
    Column("constant_seconds", "constant, CPU seconds", ".1f"),
    Column("target", "target", ".0f"),
    Column("peak_mb", "peak MB", ".0f"),
)


@dataclass(frozen=True)
class Subject:
    """A model and the samples to calibrate it on.

    Attributes:
        name: Its name in the table.
        model: It.
        images: float32 [samples, ...].
    """

    name: str
    model: onnx.ModelProto
    images: NDArray[np.float32]


def main() -> None:
    """Measure what the command line asks for; with --calibrate_path, only that calibration, in this process."""
    arguments = parse_arguments(__doc__, _add_options, rounds=1)
    if arguments.calibrate_path is not None:
        model_path, data_path = arguments.calibrate_path
        lba_onnx.calibrate(model_path, lba_onnx.Samples(data_path, batch_size=BATCH_SIZE))
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return
    rows: list[Row] = []
    cases = [(name, method) for name in arguments.models for method in arguments.methods]
    for name, method in progress(cases, " ".join):
        if method == CORRECT:
            rows.append(run_correction(read_subject(name, DEFAULT_MAX_SAMPLES), arguments.rounds))
        else:
            few, many = (read_subject(name, samples) for samples in sorted(arguments.samples))
            rows.append(run_method(few, many, method, arguments.rounds))
    if arguments.memory_samples:
        rows += run_memory(arguments.memory_samples)
    report("calibration", arguments, rows, COLUMNS)


@functools.cache
def read_subject(name: str, samples: int) -> Subject:
    """The model of a recipe, and its images over and over."""
    model, images = RECIPES[name].read()
    return Subject(name, model, np.resize(images, (samples, *images.shape[1:])))


def run_method(few: Subject, many: Subject, method: str, rounds: int) -> Row:
    """Check and time one method on one model, with few samples and with many."""
    float32, small, large = _take_turns(few, [_calibration(few, method), _calibration(many, method)], rounds)
    slope = (median(large) - median(small)) / (len(many.images) - len(few.images))
    return {
        "model": few.name,
        "method": method,
        "samples": f"{len(few.images)} and {len(many.images)}",
        "seconds": median(large),
        "float32_passes": slope / median(float32),
        "constant_seconds": median(small) - slope * len(few.images),
        "target": TARGETS.get(method),
    }


def run_correction(subject: Subject, rounds: int) -> Row:
    """Check and time the correction of a model, all recipes and the choice between them."""
    converted, _ = lba_onnx.convert(subject.model, _calibration(subject, "max")().specs)

    def correct() -> None:
        samples = lba_onnx.Samples({INPUT: subject.images}, batch_size=BATCH_SIZE)
        if len(lba_onnx.correct(converted, samples)[1].scores) != len(EFFORTS[DEFAULT_EFFORT]) + 1:
            raise CheckFailed(f"{subject.name}: the correction has left out recipes")

    float32, seconds = _take_turns(subject, [correct], rounds)
    return {
        "model": subject.name,
        "method": CORRECT,
        "samples": str(len(subject.images)),
        "seconds": median(seconds),
        "float32_passes": median(seconds) / len(subject.images) / median(float32),
        "target": TARGETS[CORRECT],
    }


def _take_turns(subject: Subject, runs: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return CPU seconds of float32 for a sample, then those of each run; one for each round."""
    session = make_session(subject.model)
    found: list[list[float]] = [[] for _ in range(len(runs) + 1)]
    for _ in progress(range(rounds), lambda number: f"round {number + 1} of {rounds}"):
        found[0].append(_seconds(lambda: _run_all(session, subject.images)) / len(subject.images))
        for run, seconds in zip(runs, found[1:], strict=True):
            seconds.append(_seconds(run))
    return found


def run_memory(sample_counts: list[int]) -> list[Row]:
    """Peak memory of method "max" on MobileNetV2, a process for each number of images."""
    model, images = RECIPES["mobilenet_v2"].read()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model_path, data_path = Path(folder) / "model.onnx", Path(folder) / "images.npz"
        onnx.save(model, model_path)
        for samples in progress(sample_counts, lambda count: f"memory with {count} images"):
            np.savez(data_path, **{INPUT: np.resize(images, (samples, *images.shape[1:]))})
            row = {"model": "mobilenet_v2", "method": "max", "samples": str(samples)}
            rows.append({**row, "peak_mb": _measure_process(model_path, data_path) / MEGABYTE})
    return rows


def _calibration(subject: Subject, method: str) -> Callable[[], Calibration]:
    def calibrate() -> Calibration:
        samples = lba_onnx.Samples({INPUT: subject.images}, batch_size=BATCH_SIZE)
        found = lba_onnx.calibrate(subject.model, samples, method=method)
        if len(found.nodes) != len(list_candidates(subject.model).convertible):
            raise CheckFailed(f"{subject.name}: the calibration misses nodes")
        return found

    return calibrate


def _run_all(session: object, images: NDArray[np.float32]) -> None:
    for start in range(0, len(images), BATCH_SIZE):
        session.run(None, {INPUT: images[start : start + BATCH_SIZE]})  # type: ignore[attr-defined]


def _seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _measure_process(model_path: Path, data_path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.calibration", "--calibrate_path", str(model_path), str(data_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    return float(json.loads(done.stdout)["peak_bytes"])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="*", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--methods", nargs="+", choices=(*OF_FLOATS, CORRECT), default=[*OF_FLOATS, CORRECT])
    parser.add_argument(
        "--samples", nargs=2, type=int, default=[64, 192], help="few and many, the model's images over and over"
    )
    parser.add_argument(
        "--memory_samples", nargs="*", type=int, default=[100, 1000], help="images to measure memory with"
    )
    parser.add_argument("--calibrate_path", nargs=2, type=Path, metavar=("MODEL", "DATA"), help=argparse.SUPPRESS)


if __name__ == "__main__":
    main()
