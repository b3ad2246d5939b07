"""What calibration and correction cost: time in runs of the float32 model over the same samples, and peak memory.

Times are those of whole calibrations, opening of sessions and all, against a float32 session that runs the same
batches; both take turns. Memory is that of a process that calibrates on images read from an .npz, a few at a time.
"""

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Row, median_ratio, parse_arguments, progress, report
from benchmarks.memory import MEGABYTE, peak_bytes
from benchmarks.models import INPUT, RECIPES
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.methods import OF_FLOATS
from lba_onnx.correction import DEFAULT_EFFORT, EFFORTS, CorrectionReport
from lba_onnx.correction.correcting import DEFAULT_MAX_SAMPLES
from lba_onnx.rewrite.conversion import list_candidates
from lba_onnx.session import make_session

BATCH_SIZE = 16
CORRECT = "correct"
TARGETS = {"max": 10.0, "percentile": 10.0, "mse": 30.0}
COLUMNS = (
    Column("model", "model"),
    Column("method", "method"),
    Column("samples", "samples", "d"),
    Column("seconds", "seconds", ".2f"),
    Column("float32_passes", "float32 passes a sample", ".1f"),
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
    arguments = parse_arguments(__doc__, _add_options)
    if arguments.calibrate_path is not None:
        model_path, data_path = arguments.calibrate_path
        lba_onnx.calibrate(model_path, lba_onnx.Samples(data_path, batch_size=BATCH_SIZE))
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return
    rows: list[Row] = []
    cases = [(name, method) for name in arguments.models for method in arguments.methods]
    for name, method in progress(cases, " ".join):
        subject = read_subject(name, arguments.samples)
        if method == CORRECT:
            rows.append(run_correction(subject, arguments.rounds))
        else:
            rows.append(run_method(subject, method, arguments.rounds))
    if arguments.memory_samples:
        rows += run_memory(arguments.memory_samples)
    report("calibration", arguments, rows, COLUMNS)


@functools.cache
def read_subject(name: str, samples: int) -> Subject:
    """The model of a recipe, and its images over and over."""
    model, images = RECIPES[name].read()
    return Subject(name, model, np.resize(images, (samples, *images.shape[1:])))


def run_method(subject: Subject, method: str, rounds: int) -> Row:
    """Check and time one method on one model."""
    calibrate = _calibration(subject, method)
    if len(calibrate().nodes) != len(list_candidates(subject.model).convertible):
        raise CheckFailed(f"{subject.name}: the calibration misses nodes")
    return _time(subject, method, calibrate, rounds)


def run_correction(subject: Subject, rounds: int) -> Row:
    """Check and time the correction of a model, all recipes and the choice between them, on as many as it takes."""
    few = replace(subject, images=subject.images[:DEFAULT_MAX_SAMPLES])
    converted, _ = lba_onnx.convert(few.model, _calibration(few, "max")().specs)

    def correct() -> CorrectionReport:
        return lba_onnx.correct(converted, lba_onnx.Samples({INPUT: few.images}, batch_size=BATCH_SIZE))[1]

    if len(correct().scores) != len(EFFORTS[DEFAULT_EFFORT]) + 1:
        raise CheckFailed(f"{subject.name}: the correction has left out recipes")
    return _time(few, CORRECT, correct, rounds)


def _time(subject: Subject, name: str, run: Callable[[], object], rounds: int) -> Row:
    session = make_session(subject.model)
    float32, seconds = [], []
    for _ in progress(range(rounds), lambda number: f"round {number + 1} of {rounds}"):
        float32.append(_seconds(lambda: _run_all(session, subject.images)))
        seconds.append(_seconds(run))
    return {
        "model": subject.name,
        "method": name,
        "samples": len(subject.images),
        "seconds": median(seconds),
        "float32_passes": median_ratio(seconds, float32),
        "target": TARGETS.get(name),
    }


def run_memory(sample_counts: list[int]) -> list[Row]:
    """Peak memory of method "max" on MobileNetV2, a process for each number of images."""
    model, images = RECIPES["mobilenet_v2"].read()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model_path, data_path = Path(folder) / "model.onnx", Path(folder) / "images.npz"
        onnx.save(model, model_path)
        for samples in progress(sample_counts, lambda count: f"memory with {count} images"):
            np.savez(data_path, **{INPUT: np.resize(images, (samples, *images.shape[1:]))})
            row = {"model": "mobilenet_v2", "method": "max", "samples": samples}
            rows.append({**row, "peak_mb": _measure_process(model_path, data_path) / MEGABYTE})
    return rows


def _calibration(subject: Subject, method: str) -> Callable[[], Calibration]:
    return lambda: lba_onnx.calibrate(
        subject.model, lba_onnx.Samples({INPUT: subject.images}, batch_size=BATCH_SIZE), method=method
    )


def _run_all(session: object, images: NDArray[np.float32]) -> None:
    for start in range(0, len(images), BATCH_SIZE):
        session.run(None, {INPUT: images[start : start + BATCH_SIZE]})  # type: ignore[attr-defined]


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _measure_process(model_path: Path, data_path: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.calibration", "--calibrate_path", str(model_path), str(data_path)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    return float(json.loads(done.stdout)["peak_bytes"])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="*", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument("--methods", nargs="+", choices=(*OF_FLOATS, CORRECT), default=[*OF_FLOATS, CORRECT])
    parser.add_argument("--samples", type=int, default=256, help="to calibrate on, the model's images over and over")
    parser.add_argument(
        "--memory_samples", nargs="*", type=int, default=[100, 1000], help="images to measure memory with"
    )
    parser.add_argument("--calibrate_path", nargs=2, type=Path, metavar=("MODEL", "DATA"), help=argparse.SUPPRESS)


if __name__ == "__main__":
    main()
