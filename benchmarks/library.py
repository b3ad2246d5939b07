"""One native library against another, both in this process: what a released wheel's computes as fast as a local build.

Both run the same models in onnxruntime on one thread, in turns, and are timed by this thread's processor time, so that
other work on the machine is met by both. Where in memory a session has its weights may count for more than the library;
so sessions are opened again and again, either library's first in turn, and the ratio is the median over openings. Their
outputs have to be equal, bit for bit, before anything is timed.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
import onnxruntime

import lba_onnx
from benchmarks.checks import check_bits
from benchmarks.harness import Column, Effort, Row, measure, parse_arguments, progress, report
from benchmarks.models import RECIPES
from benchmarks.nodes import Floats, make_model, make_runner
from benchmarks.variants import VARIANTS
from lba_onnx.arithmetic import AccumulatorSpec

SPEC = "M7E4b10"
COLUMNS = (
    Column("name", "what"),
    Column("library_ms", "library ms", ".3f"),
    Column("other_ms", "other ms", ".3f"),
    Column("ratio", "library / other", ".3f"),
    Column("low", "from", ".3f"),
    Column("high", "to", ".3f"),
)


@dataclass(frozen=True)
class Case:
    """A model and what it is fed.

    Attributes:
        name: What the table calls it.
        model: The model.
        feeds: Its inputs.
    """

    name: str
    model: onnx.ModelProto
    feeds: dict[str, Floats]


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options, rounds=3)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    libraries = (arguments.library, arguments.other)
    measured = progress(cases(), lambda case: case.name)
    rows = [compare(case, libraries, effort, arguments.openings) for case in measured]
    report("library", arguments, rows, COLUMNS)


def cases() -> list[Case]:
    """Return products, a convolution, and the demo's network."""
    rng = np.random.default_rng(0)
    size = (512, 512)
    products = []
    for variant in VARIANTS.values():
        a, b = variant.draw(rng, size), variant.draw(rng, size)
        products.append(
            Case(f"512x512x512, {variant.name}", make_model("MatMul", {"a": a}, {"b": b}, variant.spec), {"a": a})
        )
    vector = rng.standard_normal((1, 1024), np.float32)
    weights = rng.standard_normal((1024, 1024), np.float32)
    spec = AccumulatorSpec.parse(SPEC)
    row = Case("1x1024x1024", make_model("MatMul", {"a": vector}, {"b": weights}, spec), {"a": vector})
    image, filters = rng.standard_normal((1, 32, 28, 28), np.float32), rng.standard_normal((64, 32, 3, 3), np.float32)
    conv = Case("convolution 3x3, 32 to 64", make_model("Conv", {"x": image}, {"w": filters}, spec), {"x": image})
    network, images = RECIPES["demo"].read()
    batch = np.resize(images, (32, *images.shape[1:]))
    demo = Case("demo, batch 32", lba_onnx.convert(network, SPEC)[0], {"image": batch})
    return [*products, row, conv, demo]


def compare(case: Case, libraries: Sequence[Path], effort: Effort, openings: int) -> Row:
    """Time both libraries in turns, in sessions of each opening; the interval holds the median ratio with 95 %."""
    medians = [time_both(case, libraries, effort, opening % 2 == 1) for opening in range(openings)]
    ours, others = zip(*medians, strict=True)
    ratios = sorted(a / b for a, b in medians)
    low, high = median_interval(ratios)
    milliseconds = {"library_ms": median(ours) * 1e3, "other_ms": median(others) * 1e3}
    return {"name": case.name, **milliseconds, "ratio": median(ratios), "low": low, "high": high}


def time_both(case: Case, libraries: Sequence[Path], effort: Effort, is_swapped: bool) -> tuple[float, float]:
    """Return the median seconds of a run in a new session of each library; swapped, the second is opened first."""
    order = libraries[::-1] if is_swapped else libraries
    runners = [make_runner(open_with(library, case.model), case.feeds) for library in order]
    first, second = (runner().copy() for runner in runners)
    check_bits(first, second, case.name)
    seconds = [median(samples) for samples in measure(runners, effort, time.thread_time)]
    ours, others = seconds[::-1] if is_swapped else seconds
    return ours, others


def open_with(library: Path, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Return a session of one thread whose operators are this library's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.register_custom_ops_library(str(library))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """Return values of a sorted sample between which its distribution's median lies with about 95 %."""
    margin = round(0.98 * len(ordered) ** 0.5)
    middle = len(ordered) / 2
    return ordered[max(0, int(middle) - margin)], ordered[min(len(ordered) - 1, int(middle) + margin)]


def _add_options(parser: argparse.ArgumentParser) -> None:
    installed = Path(lba_onnx.get_library_path())
    parser.add_argument("--library", type=Path, required=True, help="such as the one inside a released wheel")
    parser.add_argument("--openings", type=int, default=21, help="how often sessions are opened anew")
    parser.add_argument("--other", type=Path, default=installed, help="the one that it is compared with")


if __name__ == "__main__":
    main()
