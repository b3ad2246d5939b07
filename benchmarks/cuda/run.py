"""Everything that a machine with a GPU can tell of the CUDA library, in one command, without a network.

    python -m benchmarks.cuda --tests --json_path cuda.json

Correctness first: with --tests the tests marked gpu; then golden vectors and random cases against the CPU library. Then
speed: single products and convolutions against float32 of cuBLAS and cuDNN (TF32 off) in the same run and against the
limit from instruction counts, loops over k, and whole models. Each figure is checked to the bit before it is timed.
What does not fit into --minutes is left out and named. It ends with the targets, met or missed; the exit code is 0
where all bits are right, whatever the speed.

It takes the package with both libraries, Python and NumPy, and compares with what is installed of PyTorch and CuPy.
The CUDA library is found beside the CPU library, or where LBA_ONNX_CUDA_LIBRARY says. On a machine with nvcc,

    pip install --no-build-isolation --no-deps --target DIR .
    PYTHONSAFEPATH=1 PYTHONPATH=DIR:. python -m benchmarks.cuda --tests --json_path cuda.json

builds both into DIR and finds them there, before the sources in the current folder. The library brings its CUDA runtime
along: a driver of the same major version as the nvcc that built it, or newer, is all that it
needs.
"""

import argparse
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import lba_onnx
from benchmarks.checks import CheckFailed
from benchmarks.cuda import checks, models, speed, tests
from benchmarks.cuda.baselines import TorchBaseline, find_baselines
from benchmarks.cuda.clock import DriverError, Effort, EventTimer, HostTimer, Timer
from benchmarks.cuda.report import TARGET_COLUMNS, Column, Row, Target, format_table, worst, write_json
from benchmarks.cuda.speed import SpeedCase, layer_cases
from lba_onnx import native
from lba_onnx.errors import LbaError
from lba_onnx.native import cuda

NETWORKS = ("cubes", "resnet50", "bert_base", "llama_7b", "mobilenet_v2")
NETWORK_MODELS = ("mobilenet_v2", "bert_base")
CUBE_VARIANTS = ("no clamp", "accumulator clamp", "both clamps", "no product mask", "fused")
HALF_VARIANTS = ("no clamp", "both clamps", "fused")
LOOP_SIZE = 1024
TARGET_CASE = "cubes 4096x4096x4096"
TESTS_SHARE, CHECKS_SHARE = 0.55, 0.3  # of the time that is left: the most that tests, and then checks, may take


class Report:
    """Prints tables as they come, and keeps everything in one JSON file.

    Attributes:
        sections: Rows by name.
        left_out: What there was no time for, or what is missing for it.
        failures: What went wrong.
    """

    def __init__(self, path: Path | None, document: Row) -> None:
        self.sections: dict[str, list[Row]] = {}
        self.left_out: list[str] = []
        self.failures: list[str] = []
        self._path, self._document = path, document

    def add(self, name: str, rows: Sequence[Row], columns: Sequence[Column]) -> None:
        """Print a section, and write all that there is so far."""
        self.sections.setdefault(name, []).extend(rows)
        if rows:
            print(format_table(name, rows, columns), flush=True)
        self.write()

    def collect(self, name: str, run: Callable[[], Any], needs_others: bool = False) -> Any:
        """What a function returns; where it fails, that is noted, nothing is returned, and the rest goes on.

        Args:
            name: What is run.
            run: The function.
            needs_others: Whether it runs other libraries, whose failures are no failures of this one.
        """
        try:
            return run()
        except Exception as error:  # one case that fails, however it does, must not cost the others
            told = f"{name}: {type(error).__name__}: {error}"
            is_ours = isinstance(error, CheckFailed) or not needs_others
        (self.failures if is_ours else self.left_out).append(told)
        print(f"FAILED {told}\n", flush=True)
        return None

    def write(self) -> None:
        """Write the JSON file, if one is wanted."""
        if self._path is not None:
            rest = {"results": self.sections, "left_out": self.left_out, "failures": self.failures}
            write_json(self._path, {**self._document, **rest})


def main() -> None:
    """Run what the command line asks for."""
    arguments = parse_arguments()
    deadline = time.monotonic() + 60 * arguments.minutes
    device = find_device()
    timer = make_timer()
    baselines, told = find_baselines()
    environment = describe(device, timer, told)
    print("\n".join(f"{key}: {value}" for key, value in environment.items()), "\n", flush=True)
    settings = {key: value for key, value in vars(arguments).items() if key != "json_path"}
    report = Report(arguments.json_path, {"benchmark": "cuda", "environment": environment, "settings": settings})
    if arguments.tests:
        run_tests(report, deadline)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    run(report, arguments, speed.Setting(timer, effort, device, baselines), deadline)
    raise SystemExit(conclude(report))


def run(report: Report, arguments: argparse.Namespace, setting: speed.Setting, deadline: float) -> None:
    """Checks, then speed, the most telling cases first."""
    until = time.monotonic() + CHECKS_SHARE * (deadline - time.monotonic())
    rows = checks.run_checks(arguments.cases, arguments.most_multiplies, until)
    report.failures += [f"{row['case']}: {row['first_difference']}" for row in rows if row["first_difference"]]
    report.left_out += [f"{row['case']}: {row['note']}" for row in rows if row["note"]]
    report.add("Results that equal the golden vectors' and the CPU library's", rows, checks.COLUMNS)
    for title, cases in speed_sections(arguments.shapes, arguments.batch):
        measured = run_cases(report, cases, setting, deadline)
        report.add(title, measured, speed.COLUMNS)
        if title.startswith("cubes float32"):
            run_loops(report, arguments.loop_size, setting, deadline)
            run_models(report, arguments, setting, deadline)
    sums = [models.sum_of_layers(name, arguments.batch, layer_rows(report, name)) for name in arguments.models]
    report.add("Products of whole models", [row for row in sums if row], models.COLUMNS)


def speed_sections(networks: Sequence[str], batch: int) -> list[tuple[str, list[SpeedCase]]]:
    """Titles and cases; the networks of a batch take so many images or sequences at once, Llama-7B one sequence."""
    sections = []
    for name in networks:
        if name == "cubes":
            sections.append(("cubes float32", layer_cases(name, CUBE_VARIANTS)))
            sections.append(("cubes float16", layer_cases(name, HALF_VARIANTS, dtype="float16")))
        else:
            own_batch = 1 if name == "llama_7b" else batch
            sections.append((f"{name} float32, batch {own_batch}", layer_cases(name, ("no clamp",), own_batch)))
    clamped = [name for name in networks if name in ("bert_base", "llama_7b")]
    for name in clamped:
        own_batch = 1 if name == "llama_7b" else batch
        sections.append((f"{name} clamped, batch {own_batch}", layer_cases(name, ("both clamps",), own_batch)))
    return sections


def run_cases(report: Report, cases: Iterable[SpeedCase], setting: speed.Setting, deadline: float) -> list[Row]:
    """Rows of the cases for which there is time."""
    rows = []
    for case in cases:
        name = f"{case}, {case.variant}, {case.dtype}"
        if time.monotonic() > deadline:
            report.left_out.append(f"{name}: no time left")
            continue
        row = report.collect(name, partial(speed.run_case, case, setting))
        if row is not None:
            rows.append(row)
    speed.judge(rows)
    return rows


def run_loops(report: Report, size: int, setting: speed.Setting, deadline: float) -> None:
    """The loops over k of PyTorch and CuPy."""
    if not setting.baselines or time.monotonic() > deadline:
        report.left_out.append("loops over k: no PyTorch or CuPy with CUDA, or no time left")
        return
    for variant, baseline in product(("no clamp", "both clamps"), setting.baselines):
        name = f"Against the loop over k of {baseline.name}, {variant}"
        row = report.collect(name, partial(speed.run_loop, size, variant, baseline, setting), needs_others=True)
        report.add(name, [] if row is None else [row], speed.LOOP_COLUMNS)


def run_models(report: Report, arguments: argparse.Namespace, setting: speed.Setting, deadline: float) -> None:
    """Whole models, by onnxruntime's CUDA provider where there is one, else by PyTorch."""
    runner = _model_runner(setting)
    for name in arguments.models:
        if runner is None or time.monotonic() > deadline:
            report.left_out.append(f"whole {name}: no onnx, no PyTorch or onnxruntime with CUDA, or no time left")
            continue
        run = partial(_run_model, runner, name, arguments.batch)
        row = report.collect(f"whole {name}", run, needs_others=True)
        report.add(f"Whole {name}", [] if row is None else [row], models.COLUMNS)


def _run_model(runner: Callable[..., Row], name: str, batch: int) -> Row:
    from benchmarks.cuda import networks

    return runner(name, *networks.make_model_and_inputs(name, batch))


def _model_runner(setting: speed.Setting) -> Callable[..., Row] | None:
    if importlib.util.find_spec("onnx") is None:
        return None
    common = {"timer": setting.timer, "effort": setting.effort}
    if importlib.util.find_spec("onnxruntime") is not None:
        import onnxruntime

        if models.CUDA in onnxruntime.get_available_providers():
            return partial(models.run_in_onnxruntime, **common)
    for baseline in setting.baselines:
        if isinstance(baseline, TorchBaseline):
            return partial(models.run_in_torch, device=baseline.device, **common)
    return None


def run_tests(report: Report, deadline: float) -> None:
    """The tests marked gpu, in a process of their own."""
    until = time.monotonic() + TESTS_SHARE * (deadline - time.monotonic())
    rows = tests.run_tests(tests.find_files(), until)
    told = [row for row in rows if "note" in row]
    report.failures += [f"{row['case'].strip()}: {row['note']}" for row in told if row.get("failed")]
    report.left_out += [f"{row['case'].strip()}: {row['note']}" for row in told if not row.get("failed")]
    report.add("Tests marked gpu", rows, tests.COLUMNS)


def layer_rows(report: Report, network: str) -> list[Row]:
    """What was measured of a network's layers without clamps."""
    sections = (rows for title, rows in report.sections.items() if title.startswith(f"{network} float32"))
    return [row for rows in sections for row in rows]


def conclude(report: Report) -> int:
    """Print targets, what was left out and what failed; return the exit code."""
    report.add("Targets", [target.to_row() for target in find_targets(report.sections)], TARGET_COLUMNS)
    for title, lines in (("Left out", report.left_out), ("Failed", report.failures)):
        if lines:
            print("\n".join([f"{title}:", *lines, ""]))
    if not report.failures:
        print("All bits are right.")
    return 1 if report.failures else 0


def find_targets(sections: Mapping[str, Sequence[Row]]) -> list[Target]:
    """The targets of the largest product, of convolutions and of whole models."""
    rows = [row for title, rows in sections.items() if "float32" in title for row in rows]
    largest = [row for row in rows if row["case"] == TARGET_CASE]
    whole = [row for title, rows in sections.items() if title.startswith("Whole ") for row in rows]
    sums = sections.get("Products of whole models", [])
    shares = [
        worst(
            [row for row in largest if row["variant"] == variant and "target_share" in row],
            "share_of_limit", f"share of the limit, {variant}", share, is_least=True,
        )
        for variant, share in speed.TARGET_SHARES.items()
    ]  # fmt: skip
    return [
        *shares,
        worst(rows, "time_of_gemm", "convolution in times of its GEMM", speed.GEMM_TARGET, is_least=False),
        worst(whole, "slower_than_float32", "whole models, times slower", models.TARGET, is_least=False),
        worst(sums, "slower_than_float32", "sum of their layers, times slower", models.TARGET, is_least=False),
    ]


def find_device() -> cuda.Device:
    """The device that is measured: the first.

    Raises:
        SystemExit: There is none, or no library for it.
    """
    try:
        devices = cuda.devices()
    except (LbaError, RuntimeError) as error:
        raise SystemExit(f"expected a CUDA device, but {error}") from error
    if not devices:
        raise SystemExit(f"expected a CUDA device, but {cuda.cuda_library_path()} finds none")
    cuda.DeviceBuffer(1).free()  # makes the context that events need
    return devices[0]


def make_timer() -> Timer:
    """CUDA events; the host's clock where the driver is none."""
    try:
        return EventTimer()
    except DriverError:
        return HostTimer(cuda.synchronize)


def describe(device: cuda.Device, timer: Timer, baselines: Mapping[str, str]) -> Row:
    """Device, driver, library, clocks and versions."""
    return {
        "device": device.name,
        "compute_capability": ".".join(map(str, device.compute_capability)),
        "multiprocessors": device.multiprocessors,
        "memory_gib": round(device.memory_bytes / 2**30, 1),
        "driver": "CUDA " + ".".join(map(str, device.driver_version)),
        "library": str(cuda.cuda_library_path()),
        "library_version": f"{cuda.cuda_version()}, CUDA runtime {'.'.join(map(str, device.runtime_version))}",
        "largest_clock_mhz": timer.largest_clock_mhz(),
        "timer": timer.name,
        "cpu_path": native.cpu_path(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "lba_onnx": lba_onnx.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        **baselines,
    }


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cuda", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json_path", type=Path, help="where to write everything as JSON")
    parser.add_argument("--tests", action="store_true", help="run the tests marked gpu first")
    parser.add_argument("--minutes", type=float, default=9.0, help="when to stop (default: %(default)s)")
    parser.add_argument("--shapes", nargs="*", choices=NETWORKS, default=NETWORKS, help="files in benchmarks/shapes")
    parser.add_argument("--models", nargs="*", choices=[*NETWORK_MODELS], default=NETWORK_MODELS, help="whole models")
    parser.add_argument("--batch", type=int, default=32, help="images or sequences at once (default: %(default)s)")
    parser.add_argument("--cases", type=int, default=200, help="random cases of each kind (default: %(default)s)")
    parser.add_argument("--most_multiplies", type=int, default=1 << 22, help="of a random case (default: %(default)s)")
    parser.add_argument("--loop_size", type=int, default=LOOP_SIZE, help="of the loops over k (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="samples of each function")
    parser.add_argument("--sample_seconds", type=float, default=Effort.sample_seconds, help="length of one sample")
    return parser.parse_args(arguments)
