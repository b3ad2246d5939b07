"""Whole models in onnxruntime: latency of the converted model against the float32 model, on equal threads.

Every converted node is first compared with lba_onnx.reference at random outputs, on the tensors of a real image; then
batches and threads with each other.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from numpy.typing import NDArray

import lba_onnx
from benchmarks.checks import check_bits
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.node_checks import check_nodes
from benchmarks.nodes import make_runner, open_session
from lba_onnx.arithmetic import AccumulatorSpec

CALIBRATED = "calibrated"
INPUT = "image"  # of both models
COLUMNS = (
    Column("model", "model"),
    Column("spec", "spec"),
    Column("batch", "batch", "d"),
    Column("threads", "threads", "d"),
    Column("float32_ms", "float32 ms", ".2f"),
    Column("lba_ms", "LBA ms", ".2f"),
    Column("slower_than_float32", "times slower", ".2f"),
    Column("target", "target", ".1f"),
)


@dataclass(frozen=True)
class Recipe:
    """A model and images to run it on.

    Attributes:
        read: Returns both.
        target: Most times that float32 may be faster; None for no target.
    """

    read: Callable[[], tuple[onnx.ModelProto, NDArray[np.float32]]]
    target: float | None


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    rows = []
    for name, spec in progress([(name, spec) for name in arguments.models for spec in arguments.specs], " ".join):
        model, images = RECIPES[name].read()
        measured = run_model(model, images, spec, arguments.batches, arguments.threads, effort)
        rows += [{"model": name, "target": RECIPES[name].target, **row} for row in measured]
    report("models", arguments, rows, COLUMNS)


def run_model(
    model: onnx.ModelProto,
    images: NDArray[np.float32],
    spec: str,
    batches: list[int],
    threads: list[int],
    effort: Effort,
) -> list[Row]:
    """Convert, check and time one model."""
    converted = convert_model(model, images, spec)
    check_nodes(converted, {INPUT: images[:1]})
    first_image = make_runner(open_session(converted, threads=1), {INPUT: images[:1]})()
    rows = []
    cases = [(batch, count) for batch in batches for count in threads]
    for batch, count in progress(cases, lambda case: f"batch {case[0]} on {case[1]} threads"):
        feeds = {INPUT: np.resize(images, (batch, *images.shape[1:]))}
        sessions = [open_session(m, count, spins_between_runs=False) for m in (model, converted)]
        float32, lba = (make_runner(session, feeds) for session in sessions)
        check_bits(lba()[:1], first_image, f"first image of {batch} on {count} threads")
        seconds = measure([float32, lba], effort)
        rows.append(
            {
                "spec": spec,
                "batch": batch,
                "threads": count,
                "float32_ms": 1e3 * median(seconds[0]),
                "lba_ms": 1e3 * median(seconds[1]),
                "slower_than_float32": median_ratio(seconds[1], seconds[0]),
            }
        )
    return rows


def convert_model(model: onnx.ModelProto, images: NDArray[np.float32], spec: str) -> onnx.ModelProto:
    """Convert every node with one spec, or with specs calibrated on the images."""
    if spec == CALIBRATED:
        specs = lba_onnx.calibrate(model, {INPUT: images}, family="M7E4").specs
        return lba_onnx.convert(model, specs)[0]
    return lba_onnx.convert(model, AccumulatorSpec.parse(spec))[0]


def _read_mobilenet_v2() -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    from models.mobilenet_v2.build import build_model, read_images

    return build_model(), read_images()[0]


def _read_demo() -> tuple[onnx.ModelProto, NDArray[np.float32]]:
    folder = Path(__file__).parents[1] / "models" / "demo"
    with np.load(folder / "fashion_calibration_256.npz", allow_pickle=False) as data:
        return onnx.load(folder / "fashion_cnn.onnx"), data["image"]


RECIPES = {"mobilenet_v2": Recipe(_read_mobilenet_v2, target=8.0), "demo": Recipe(_read_demo, target=None)}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", choices=[*RECIPES], default=[*RECIPES])
    parser.add_argument(
        "--specs", nargs="+", default=[CALIBRATED, "M7E4b10"], help=f"{CALIBRATED!r} or specs for all nodes"
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])


if __name__ == "__main__":
    main()
