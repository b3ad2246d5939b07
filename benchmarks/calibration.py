"""What calibration and correction cost: processor time in runs of the float32 model over a sample, and peak memory.

Of a calibration that is the slope between two numbers of samples, beside the constant that is left. A correction is
timed whole, opening of sessions and all, on as many samples as it takes. A float32 session that runs the same batches
takes turns with them. Memory is that of a process that calibrates or corrects on samples read from an .npz, a few at a
time; the limit is 2.5 times the weights, what goes into and comes out of the largest layer for all samples that meet
there, and 500 MB.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import numpy_helper

import lba_onnx
from benchmarks.calibration_subjects import CORRECT, KINDS, Subject, read_subject
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Row, parse_arguments, progress, report
from benchmarks.memory import MEGABYTE, peak_bytes
from lba_onnx.calibration import Calibration
from lba_onnx.calibration.methods import OF_FLOATS
from lba_onnx.correction.correcting import DEFAULT_MAX_SAMPLES
from lba_onnx.correction.correction_report import NONE
from lba_onnx.correction.recipes import DEFAULT_EFFORT, recipes_of
from lba_onnx.data.batches import Batch, read_batches
from lba_onnx.data.inputs import describe_inputs
from lba_onnx.data.split import is_kept_apart
from lba_onnx.native.observer import ObservedCall, ObservedConv
from lba_onnx.observation.observer import observing_session
from lba_onnx.rewrite.conversion import list_candidates
from lba_onnx.rewrite.twins import is_twin
from lba_onnx.session import make_session

MAX, SMALLEST = "max", "demo"
TARGETS = {MAX: 8.0, **dict.fromkeys(("percentile", "mse", "zero_shot"), 12.0), CORRECT: 20.0}
ALLOWANCE_BYTES, WEIGHTS = 5e8, 2.5
_WIDE, _NARROW = "M22E7b63", "M5E4b10"
COLUMNS = (
    Column("model", "model"),
    Column("method", "method"),
    Column("samples", "samples"),
    Column("seconds", "CPU seconds", ".2f"),
    Column("float32_passes", "float32 passes a sample", ".1f"),
    Column("constant_seconds", "constant, CPU seconds", ".1f"),
    Column("target", "target", ".0f"),
    Column("peak_mb", "peak MB", ".0f"),
    Column("limit_mb", "limit MB", ".0f"),
)


def main() -> None:
    """Measure what the command line asks for; with --only, that alone, in this process."""
    arguments = parse_arguments(__doc__, _add_options, rounds=1)
    if arguments.only is not None:
        run_once(*arguments.only)
        print(json.dumps({"peak_bytes": peak_bytes()}))
        return
    rows: list[Row] = []
    cases = [(name, method) for name in arguments.models for method in arguments.methods or KINDS[name].methods]
    for name, method in progress(cases, " ".join):
        if method == CORRECT:
            rows.append(run_correction(read_subject(name, DEFAULT_MAX_SAMPLES), arguments.rounds))
        else:
            few, many = (read_subject(name, samples) for samples in sorted(arguments.samples or KINDS[name].samples))
            rows.append(run_method(few, many, method, arguments.rounds))
    memory = list(product(arguments.memory_models, (MAX, CORRECT), arguments.memory_samples))
    for name, method, samples in progress(memory, lambda case: f"memory of {' '.join(map(str, case))}"):
        rows.append(run_memory(read_subject(name, samples), method))
    report("calibration", arguments, rows, COLUMNS)


def run_method(few: Subject, many: Subject, method: str, rounds: int) -> Row:
    """Check and time one method on one model, with few samples and with many."""
    _calibration(read_subject(SMALLEST, few.batch_size), method)()  # imports all that it needs
    float32, small, large = _take_turns(few, [_calibration(few, method), _calibration(many, method)], rounds)
    slope = (median(large) - median(small)) / (many.samples - few.samples)
    return {
        "model": few.name,
        "method": method,
        "samples": f"{few.samples} and {many.samples}",
        "seconds": median(large),
        "float32_passes": slope / median(float32),
        "constant_seconds": median(small) - slope * few.samples,
        "target": TARGETS.get(method),
    }


def run_correction(subject: Subject, rounds: int) -> Row:
    """Check and time the correction of a model, all recipes and the choice between them."""
    converted, _ = lba_onnx.convert(subject.model, _calibration(subject, MAX)().specs)
    recipes = recipes_of(DEFAULT_EFFORT, [node.op_type for node in converted.graph.node if is_twin(node)])

    def correct() -> None:
        if list(lba_onnx.correct(converted, _samples(subject))[1].scores) != [NONE, *recipes]:
            raise CheckFailed(f"{subject.name}: the correction has left out recipes")

    float32, seconds = _take_turns(subject, [correct], rounds)
    return {
        "model": subject.name,
        "method": CORRECT,
        "samples": str(subject.samples),
        "seconds": median(seconds),
        "float32_passes": median(seconds) / subject.samples / median(float32),
        "target": TARGETS[CORRECT],
    }


def run_memory(subject: Subject, method: str) -> Row:
    """Peak memory of a process that calibrates or corrects, beside its limit."""
    model = subject.model if isinstance(subject.model, onnx.ModelProto) else onnx.load(subject.model)
    weights = sum(numpy_helper.to_array(tensor).nbytes for tensor in model.graph.initializer)
    meeting = _fitted(subject.samples) if method == CORRECT else subject.batch_size
    limit = WEIGHTS * weights + meeting * _largest_layer(subject, model) + ALLOWANCE_BYTES
    with tempfile.TemporaryDirectory() as folder:
        model_path, data_path = Path(folder) / "model.onnx", Path(folder) / "samples.npz"
        np.savez(data_path, **subject.inputs)
        onnx.save(lba_onnx.convert(model, _NARROW)[0] if method == CORRECT else model, model_path)
        command = [sys.executable, "-m", "benchmarks.calibration", "--only", method, str(model_path), str(data_path)]
        command.append(str(subject.batch_size))
        done = subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)
    return {
        "model": subject.name,
        "method": method,
        "samples": str(subject.samples),
        "peak_mb": json.loads(done.stdout)["peak_bytes"] / MEGABYTE,
        "limit_mb": limit / MEGABYTE,
    }


def run_once(method: str, model_path: str, data_path: str, batch_size: str) -> None:
    """Calibrate, or correct, in this process."""
    samples = lba_onnx.Samples(data_path, batch_size=int(batch_size))
    if method == CORRECT:
        lba_onnx.correct(model_path, samples)
    else:
        lba_onnx.calibrate(model_path, samples, method=method)


def _fitted(samples: int) -> int:
    """How many samples meet at a layer that is corrected: those that are not kept apart."""
    return sum(not is_kept_apart(number) for number in range(min(samples, DEFAULT_MAX_SAMPLES)))


def _largest_layer(subject: Subject, model: onnx.ModelProto) -> float:
    """Bytes that go into and come out of the largest product, for one sample."""
    sizes = [0]

    def see(call: ObservedCall) -> None:
        given = call.x.size if isinstance(call, ObservedConv) else call.y.size // call.y.shape[-1] * call.depth
        sizes.append((given + call.y.size) * call.y.itemsize)

    with observing_session(lba_onnx.convert(model, _WIDE)[0], see) as observing:
        batch = _batches(subject, observing.session)[0]
        observing.run(batch, [])
    return max(sizes) / batch.samples


def _take_turns(subject: Subject, runs: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return CPU seconds of float32 for a sample, then those of each run; one for each round."""
    session = make_session(subject.model)
    batches = _batches(subject, session)
    found: list[list[float]] = [[] for _ in range(len(runs) + 1)]
    for _ in progress(range(rounds), lambda number: f"round {number + 1} of {rounds}"):
        found[0].append(_seconds(lambda: [session.run(None, batch.feeds) for batch in batches]) / subject.samples)
        for run, seconds in zip(runs, found[1:], strict=True):
            seconds.append(_seconds(run))
    return found


def _calibration(subject: Subject, method: str) -> Callable[[], Calibration]:
    def calibrate() -> Calibration:
        found = lba_onnx.calibrate(subject.model, _samples(subject), method=method)
        if len(found.nodes) != len(list_candidates(subject.model).convertible):
            raise CheckFailed(f"{subject.name}: the calibration misses nodes")
        return found

    return calibrate


def _samples(subject: Subject) -> lba_onnx.Samples:
    return lba_onnx.Samples(subject.inputs, batch_size=subject.batch_size)


def _batches(subject: Subject, session: object) -> list[Batch]:
    return list(read_batches(_samples(subject), describe_inputs(session)))  # type: ignore[arg-type]


def _seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="*", choices=[*KINDS], default=[*KINDS])
    parser.add_argument(
        "--methods", nargs="+", choices=(*OF_FLOATS, CORRECT), help="by default those of each model that are quick"
    )
    parser.add_argument("--samples", nargs=2, type=int, help="few and many, the model's samples over and over")
    parser.add_argument(
        "--memory_models", nargs="*", choices=[*KINDS], default=["mobilenet_v2", "minilm"], help="to measure memory of"
    )
    parser.add_argument(
        "--memory_samples", nargs="+", type=int, default=[DEFAULT_MAX_SAMPLES], help="how many to measure memory with"
    )
    parser.add_argument("--only", nargs=4, metavar=("METHOD", "MODEL", "DATA", "BATCH"), help=argparse.SUPPRESS)


if __name__ == "__main__":
    main()
