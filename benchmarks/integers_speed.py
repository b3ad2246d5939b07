"""Products of integer codes against onnxruntime's own u8s8 operators.

MatMulInteger for 512x512x512 and for layers that are matrix products; for convolutions com.microsoft's QLinearConv on
channels last, which is what onnxruntime makes of a model, without transpositions. Before anything is timed, results
are compared: with those of onnxruntime where the accumulator is exact, else with the path "exact".
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.layer_shapes import NAMES, ConvLayer, Layer, MatMulLayer, read_layers
from benchmarks.nodes import make_runner, open_session
from lba_onnx.operators import DOMAIN, VERSION

Array = NDArray[Any]
_X_ZERO, _Y_ZERO = 117, 128
_SMALL_WEIGHTS = 64  # of these no pair saturates
_MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Case:
    """An accumulator, the largest weights it meets, and how many times slower than onnxruntime it may be."""

    spec: str
    target: float
    largest_weight: int = 127
    is_exact: bool = False

    def __str__(self) -> str:
        return self.spec + ("" if self.largest_weight == 127 else f", weights to {self.largest_weight}")


CASES = (
    Case("int32-wrap", 1.2, is_exact=True),
    Case("int16-wrap", 1.2),
    Case("int12-saturate", 4.5),
    Case("int18-saturate", 4.5),
    Case("int12x64/int16-saturate", 6.0),
    Case("x86-u8s8", 2.0),
    Case("x86-u8s8", 1.1, largest_weight=_SMALL_WEIGHTS, is_exact=True),
)
COLUMNS = (
    Column("layer", "layer"),
    Column("accumulator", "accumulator"),
    Column("ort_gmacs", "onnxruntime GMAC/s", ".1f"),
    Column("lba_gmacs", "LBA GMAC/s", ".1f"),
    Column("slower", "times slower", ".2f"),
    Column("target", "target", ".1f"),
)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    layers: list[Layer] = [MatMulLayer(1, 1, 512, 512, 512)]
    layers += [layer for name in arguments.shapes for layer in read_layers(name)]
    run = partial(run_layer, threads=arguments.threads, effort=effort, seed=arguments.seed)
    rows = [row for layer in progress(layers) for row in run(layer)]
    report("integers_speed", arguments, [*rows, *_totals(rows)], COLUMNS)


def run_layer(layer: Layer, threads: int, effort: Effort, seed: int) -> list[Row]:
    """Check and time one layer with every accumulator."""
    rng = np.random.default_rng(seed)
    runners = _conv_runners if isinstance(layer, ConvLayer) else _matmul_runners
    clock = time.thread_time if threads == 1 else time.perf_counter
    rows = []
    for case in CASES:
        theirs, ours = runners(layer, case, rng, threads)
        seconds = measure([theirs, ours], effort, clock)
        rows.append(
            {
                "layer": str(layer),
                "repeats": layer.repeats,
                "accumulator": str(case),
                "ort_seconds": median(seconds[0]),
                "lba_seconds": median(seconds[1]),
                "ort_gmacs": layer.multiplies / median(seconds[0]) / 1e9,
                "lba_gmacs": layer.multiplies / median(seconds[1]) / 1e9,
                "slower": median_ratio(seconds[1], seconds[0]),
                "target": case.target,
            }
        )
    return rows


def _totals(rows: list[Row]) -> list[Row]:
    """The layers of each network together, the first layer apart."""
    totals = []
    for case in CASES:
        of_case = [row for row in rows if row["accumulator"] == str(case)][1:]
        ort, lba = (sum(row["repeats"] * row[key] for row in of_case) for key in ("ort_seconds", "lba_seconds"))
        if of_case:
            totals.append({"layer": "all layers", "accumulator": str(case), "slower": lba / ort, "target": case.target})
    return totals


def _weights(rng: np.random.Generator, case: Case, shape: tuple[int, ...]) -> Array:
    return rng.integers(-case.largest_weight, case.largest_weight, shape, np.int8, endpoint=True)


def _matmul_runners(
    layer: MatMulLayer, case: Case, rng: np.random.Generator, threads: int
) -> tuple[Callable[[], Array], Callable[[], Array]]:
    a = rng.integers(0, 256, (layer.rows, layer.depth), np.uint8)
    constants = {"b": _weights(rng, case, (layer.depth, layer.columns)), "a_zero": np.uint8(_X_ZERO)}
    theirs, ours = (
        make_runner(open_session(model, threads), {"a": a})
        for model in (
            _model("MatMulInteger", "", a, constants, TensorProto.INT32, {}),
            _model("LbaMatMulInteger", DOMAIN, a, constants, TensorProto.INT32, {"accumulator": case.spec}),
        )
    )
    _check(case, theirs(), ours, layer)
    return theirs, ours


def _conv_runners(
    layer: ConvLayer, case: Case, rng: np.random.Generator, threads: int
) -> tuple[Callable[[], Array], Callable[[], Array]]:
    x = rng.integers(0, 256, layer.x_shape, np.uint8)
    w = _weights(rng, case, layer.w_shape)
    depth = layer.multiplies / layer.gemm.rows / layer.out_channels
    constants = {
        **{"x_scale": np.float32(1), "x_zero": np.uint8(_X_ZERO), "w": w},
        **{"w_scale": rng.uniform(0.5, 1, len(w)).astype(np.float32), "w_zero": np.int8(0)},
        **{"y_scale": np.float32(depth**0.5 * 75), "y_zero": np.uint8(_Y_ZERO)},
        "bias": rng.integers(-1000, 1000, len(w), np.int32),
    }
    last, attributes = x.transpose(0, 2, 3, 1).copy(), layer.attributes
    theirs = make_runner(
        open_session(
            _model("QLinearConv", _MICROSOFT, last, constants, TensorProto.UINT8, {**attributes, "channels_last": 1}),
            threads,
        ),
        {"a": last},
    )
    ours = make_runner(
        open_session(
            _model("LbaQLinearConv", DOMAIN, x, constants, TensorProto.UINT8, {**attributes, "accumulator": case.spec}),
            threads,
        ),
        {"a": x},
    )
    _check(case, theirs().transpose(0, 3, 1, 2), ours, layer)
    return theirs, ours


def _check(case: Case, theirs: Array, ours: Callable[[], Array], layer: Layer) -> None:
    found, name = ours().copy(), f"{layer}, {case}"
    if case.is_exact:
        np.testing.assert_array_equal(found, theirs, name)
        return
    kept = os.environ.get("LBA_ONNX_CPU_PATH", "")
    os.environ["LBA_ONNX_CPU_PATH"] = "portable"
    np.testing.assert_array_equal(found, ours(), name)
    os.environ["LBA_ONNX_CPU_PATH"] = kept


def _model(
    op_type: str, domain: str, x: Array, constants: Mapping[str, Any], y_type: int, attributes: Mapping[str, Any]
) -> onnx.ModelProto:
    node = helper.make_node(op_type, ["a", *constants], ["y"], op_type, domain=domain, **attributes)
    info = helper.make_tensor_value_info("a", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    if op_type.endswith("MatMulInteger"):
        node.input[:] = ["a", "b", "a_zero"]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    y = helper.make_tensor_value_info("y", y_type, None)
    graph = helper.make_graph([node], op_type, [info], [y], initializers)
    domains = (("", 17), (DOMAIN, VERSION), (_MICROSOFT, 1))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*of) for of in domains], ir_version=8)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="*", choices=NAMES, default=["mobilenet_v2"])
    parser.add_argument("--threads", type=int, default=1, help="of every session")
    parser.add_argument("--seed", type=int, default=0, help="of the operands")


if __name__ == "__main__":
    main()
