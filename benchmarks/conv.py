"""LbaConv in onnxruntime against LbaMatMul on the matrix product of its size, and against float32 Conv.

The matrix product has the patches of the image as rows and the filters as its constant B. Before anything is timed,
randomly chosen outputs are compared with lba_onnx.reference, and all outputs with the matrix product.
"""

import argparse
from functools import partial
from statistics import median

import numpy as np

from benchmarks.checks import check_bits, check_conv, conv_patches
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.layer_shapes import NAMES, ConvLayer, read_layers
from benchmarks.nodes import run_node
from benchmarks.variants import VARIANTS
from lba_onnx.arithmetic import AccumulatorSpec

KINDS = ("dense", "pointwise", "depthwise", "grouped")
TARGETS = {"depthwise": 6.0}  # times slower than float32
GEMM_TARGET = 1.25  # times the matrix product's time
COLUMNS = (
    Column("layer", "layer"),
    Column("kind", "kind"),
    Column("float32_gmacs", "float32 GMAC/s", ".1f"),
    Column("lba_gmacs", "LBA GMAC/s", ".1f"),
    Column("slower_than_float32", "times slower", ".2f"),
    Column("target", "target", ".1f"),
    Column("time_of_gemm", "x GEMM time", ".2f"),
    Column("gemm_target", "target", ".2f"),
)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    spec = VARIANTS[arguments.variant].spec
    layers = select_layers(arguments.shapes, arguments.kinds)
    run = partial(run_layer, spec=spec, threads=arguments.threads, effort=effort, seed=arguments.seed)
    rows = [run(layer) for layer in progress(layers)]
    report("conv", arguments, rows, COLUMNS)


def select_layers(shapes: list[str], kinds: list[str]) -> list[ConvLayer]:
    """The different convolutions of these kinds in the named files."""
    layers = [layer for name in shapes for layer in read_layers(name) if isinstance(layer, ConvLayer)]
    return list({str(layer): layer for layer in layers if layer.kind in kinds}.values())


def run_layer(layer: ConvLayer, spec: AccumulatorSpec, threads: int, effort: Effort, seed: int) -> Row:
    """Check and time one layer."""
    rng = np.random.default_rng(seed)
    x, w = (rng.standard_normal(shape, np.float32) for shape in (layer.x_shape, layer.w_shape))
    functions = [
        run_node("Conv", {"x": x}, {"w": w}, None, layer.attributes, threads),
        run_node("Conv", {"x": x}, {"w": w}, spec, layer.attributes, threads),
    ]
    check_conv(functions[1](), x, w, layer.attributes, spec, f"{layer} (seed {seed})")
    if layer.group == 1:
        a, b = conv_patches(x, layer.w_shape, layer.attributes)[0], w.reshape(len(w), -1).T.copy()
        functions.append(run_node("MatMul", {"a": a}, {"b": b}, spec, threads=threads))
        check_bits(functions[2]().T.reshape(-1), functions[1]().reshape(-1), f"{layer} as a matrix product")
    seconds = measure(functions, effort)
    row = {
        "layer": str(layer),
        "kind": layer.kind,
        "float32_gmacs": layer.multiplies / median(seconds[0]) / 1e9,
        "lba_gmacs": layer.multiplies / median(seconds[1]) / 1e9,
        "slower_than_float32": median_ratio(seconds[1], seconds[0]),
        "target": TARGETS.get(layer.kind),
    }
    if layer.group == 1:
        row |= {"time_of_gemm": median_ratio(seconds[1], seconds[2]), "gemm_target": GEMM_TARGET}
    return row


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="+", choices=NAMES, default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="kinds of convolution")
    parser.add_argument("--variant", choices=[*VARIANTS], default="no clamp", help="kind of inner loop")
    parser.add_argument("--threads", type=int, default=1, help="of every session")
    parser.add_argument("--seed", type=int, default=0, help="of the operands")


if __name__ == "__main__":
    main()
