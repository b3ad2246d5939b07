"""Operators that are taken apart against onnxruntime's own: what the parts cost in float32, and what low bits add.

LSTM and ConvTranspose run in onnxruntime whole, taken apart in float32, and converted, on one thread. What is timed is
the processor's time, which other programs hardly change. Before that, the outputs of the parts are compared with those
of the whole.
"""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import lba_onnx
from benchmarks.checks import CheckFailed
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from lba_onnx.rewrite.lowering import lower_model

LARGEST_DIFFERENCE = 1e-4  # of values about 1, summed in another order
COLUMNS = (
    Column("name", "operator"),
    Column("float32_ms", "float32, ms", ".3f"),
    Column("parts", "taken apart, x", ".2f"),
    Column("overhead", "parts of converted", ".0%"),
    Column("converted", "converted, x", ".2f"),
)


@dataclass(frozen=True)
class Case:
    """A node to measure: x of a shape, constant weights of others."""

    name: str
    op_type: str
    x: tuple[int, ...]
    weights: tuple[tuple[int, ...], ...]
    attributes: Mapping[str, Any]

    def model(self) -> onnx.ModelProto:
        """Return a model of the node, its weights random."""
        rng = np.random.default_rng(0)
        depth = np.prod(self.weights[0][2:]) if self.op_type == "LSTM" else self.weights[0][0]
        drawn = [(rng.standard_normal(shape) / depth**0.5).astype(np.float32) for shape in self.weights]
        constants = [numpy_helper.from_array(values, f"w{number}") for number, values in enumerate(drawn)]
        node = helper.make_node(self.op_type, ["x", *(c.name for c in constants)], ["y"], "node", **self.attributes)
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, s) for name, s in (("x", self.x), ("y", None)))
        graph = helper.make_graph([node], "one_node", [x], [y], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def lstm(name: str, steps: int, batch: int, width: int, hidden: int, directions: int = 1) -> Case:
    """Return an LSTM."""
    weights = (directions, 4 * hidden, width), (directions, 4 * hidden, hidden)
    direction = "bidirectional" if directions == 2 else "forward"
    return Case(name, "LSTM", (steps, batch, width), weights, {"hidden_size": hidden, "direction": direction})


def up(name: str, x: tuple[int, ...], outputs: int, kernel: int, stride: int, pad: int = 0, group: int = 1) -> Case:
    """Return a ConvTranspose."""
    axes = len(x) - 2
    attributes = {"strides": [stride] * axes, "pads": [pad] * 2 * axes, "group": group}
    return Case(name, "ConvTranspose", x, ((x[1], outputs, *[kernel] * axes),), attributes)


CASES = (
    lstm("LSTM of silero_vad: 1 step, 128 units", 1, 1, 128, 128),
    lstm("LSTM: 64 steps, 128 units", 64, 1, 128, 128),
    lstm("LSTM of a CRNN: 100 steps, 2 x 256 units", 100, 1, 512, 256, 2),
    lstm("the same, batch of 8", 100, 8, 512, 256, 2),
    up("ConvTranspose of rapidocr: 2x2, stride 2", (1, 24, 120, 120), 24, 2, 2),
    up("ConvTranspose: 4x4, stride 2", (1, 64, 32, 32), 32, 4, 2, 1),
    up("ConvTranspose: 3x3, stride 2", (1, 64, 32, 32), 32, 3, 2, 1),
    up("ConvTranspose: depthwise 4x4, stride 2", (1, 64, 64, 64), 1, 4, 2, 1, 64),
    up("ConvTranspose of a vocoder: 16, stride 8", (1, 256, 200), 128, 16, 8, 4),
)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    rows = [run_case(case, arguments.spec, effort) for case in progress(CASES, lambda case: case.name)]
    report("lowered", arguments, rows, COLUMNS)


def run_case(case: Case, spec: str, effort: Effort) -> Row:
    """Check and time one node."""
    whole, parts = case.model(), case.model()
    lower_model(parts)
    converted, _ = lba_onnx.convert(whole, spec)
    x = np.random.default_rng(1).standard_normal(case.x).astype(np.float32)
    functions = [_runner(model, x) for model in (whole, parts, converted)]
    difference = float(np.max(np.abs(functions[0]() - functions[1]())))
    if not difference <= LARGEST_DIFFERENCE:
        raise CheckFailed(
            f"{case.name}: the parts differ from the whole by {difference}, expected {LARGEST_DIFFERENCE}"
        )
    own, apart, low = measure(functions, effort, time.process_time)
    return {
        "name": case.name,
        "float32_ms": 1000 * min(own),
        "parts": median_ratio(apart, own),
        "overhead": (min(apart) - min(own)) / min(low),
        "converted": median_ratio(low, own),
    }


def _runner(model: onnx.ModelProto, x: NDArray[np.float32]) -> Callable[[], NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = lba_onnx.make_session(model, options)

    def run() -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run(None, {"x": x})[0]
        return result

    return run


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spec", default="M7E4b10", help="the accumulator to convert with")


if __name__ == "__main__":
    main()
