"""Speed of whole int8 models with integer accumulators, beside onnxruntime's own int8 operators; they take turns.

Of one thread, its own processor time.
"""

import argparse
import time
from statistics import median

import lba_onnx
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.nodes import make_runner, open_session
from models.int8 import zoo as int8

COLUMNS = (
    Column("model", "model"),
    Column("form", "form"),
    Column("accumulator", "accumulator"),
    Column("threads", "threads", "d"),
    Column("ms", "ms", ".2f"),
    Column("onnxruntime_ms", "onnxruntime ms", ".2f"),
    Column("ratio", "ratio", ".2f"),
)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    case = int8.load(arguments.model, arguments.form)
    counts = progress(arguments.threads, lambda threads: f"{threads} threads")
    rows = [row for threads in counts for row in _measure(case, arguments.accumulators, threads, effort)]
    report("integer_models_speed", arguments, rows, COLUMNS)


def _measure(case: int8.Int8Model, accumulators: list[str], threads: int, effort: Effort) -> list[Row]:
    converted = [lba_onnx.convert(case.model.model_path, text)[0] for text in accumulators]
    sample = {name: values[:1] for name, values in case.model.test.items() if name != "label"}
    sessions = [open_session(model, threads, threads == 1) for model in (str(case.model.model_path), *converted)]
    clock = time.thread_time if threads == 1 else time.perf_counter
    theirs, *ours = measure([make_runner(session, sample) for session in sessions], effort, clock)
    head = {"model": case.model.name, "form": case.form, "threads": threads, "onnxruntime_ms": 1e3 * median(theirs)}
    return [
        head | {"accumulator": text, "ms": 1e3 * median(seconds), "ratio": median_ratio(seconds, theirs)}
        for text, seconds in zip(accumulators, ours, strict=True)
    ]


def _add_options(parser: argparse.ArgumentParser) -> None:
    static = [name for name in int8.STATIC if name != "mobilenet_v2_photographs"]
    parser.add_argument("--model", choices=static, default="mobilenet_v2")
    parser.add_argument("--form", default="qdq-u8s8-channel", help="of the model")
    parser.add_argument(
        "--accumulators", nargs="+", default=["int16-wrap", "int16-saturate", "int16x64/int20-wrap", "x86-u8s8"]
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])


if __name__ == "__main__":
    main()
