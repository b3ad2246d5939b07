"""LbaMatMul in onnxruntime against onnxruntime's float32 MatMul, its own scaling, and a NumPy loop.

Both operators get the same shapes, the same session options and, where a layer has weights, a constant B. Bits are
compared with lba_onnx.reference on randomly chosen rows and columns before anything is timed.
"""

import argparse
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks import numpy_loop
from benchmarks.checks import check_matmul
from benchmarks.harness import Column, Effort, Row, measure, median_ratio, parse_arguments, progress, report
from benchmarks.layer_shapes import NAMES, ConvLayer, MatMulLayer, read_layers
from benchmarks.nodes import run_node
from benchmarks.variants import VARIANTS, Variant
from lba_onnx.arithmetic.rounding import Rounding

NETWORK_VARIANTS = ("no clamp", "both clamps")
COLUMNS = (
    Column("shape", "shape"),
    Column("variant", "variant"),
    Column("spec", "spec"),
    Column("float32_gmacs", "float32 GMAC/s", ".1f"),
    Column("lba_gmacs", "LBA GMAC/s", ".1f"),
    Column("slower_than_float32", "times slower", ".2f"),
    Column("target", "target", ".1f"),
    Column("two_threads_faster", "2 threads", ".2f"),
    Column("faster_than_numpy", "x NumPy, exact", ".0f"),
    Column("faster_than_float32_numpy", "x NumPy, float32", ".0f"),
)


@dataclass(frozen=True)
class Case:
    """One measurement: a layer's shape, and a variant of the arithmetic."""

    layer: MatMulLayer
    variant: Variant
    with_numpy: bool


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments(__doc__, _add_options)
    effort = Effort(arguments.rounds, arguments.sample_seconds)
    cases = select_cases(arguments.shapes, arguments.variants)
    rows = [run_case(case, effort, arguments.seed) for case in progress(cases, _case_name)]
    report("matmul", arguments, rows, COLUMNS)


def select_cases(shapes: list[str], variants: list[str] | None) -> list[Case]:
    """All variants of the three shapes in gemm.txt, two of each different product in a network."""
    cases: dict[str, Case] = {}
    for name in shapes:
        is_gemm = name == "gemm"
        for layer in _as_products(name):
            for variant in variants or (VARIANTS if is_gemm else NETWORK_VARIANTS):
                cases.setdefault(f"{layer} {variant}", Case(layer, VARIANTS[variant], is_gemm))
    return list(cases.values())


def run_case(case: Case, effort: Effort, seed: int) -> Row:
    """Check and time one case."""
    layer, spec = case.layer, case.variant.spec
    a, b = draw_operands(case, np.random.default_rng(seed))
    inputs, constants = ({"a": a}, {"b": b}) if layer.batch == 1 else ({"a": a, "b": b}, {})
    float32 = run_node("MatMul", inputs, constants)
    lba = run_node("MatMul", inputs, constants, spec)
    lba_on_two = run_node("MatMul", inputs, constants, spec, threads=2)
    for threads, run in ((1, lba), (2, lba_on_two)):
        check_matmul(run(), a, b, spec, f"{layer} {case.variant.name} {threads} threads (seed {seed})")
    seconds = measure([float32, lba, lba_on_two], effort)
    row = {
        "shape": str(layer),
        "variant": case.variant.name,
        "spec": str(spec),
        "float32_gmacs": layer.multiplies / median(seconds[0]) / 1e9,
        "lba_gmacs": layer.multiplies / median(seconds[1]) / 1e9,
        "slower_than_float32": median_ratio(seconds[1], seconds[0]),
        "target": case.variant.target,
        "two_threads_faster": median_ratio(seconds[1], seconds[2]),
    }
    if case.with_numpy and spec.underflow and spec.rounding is Rounding.TRUNCATE:
        row |= _compare_with_numpy(case, a, b, median(seconds[1]))
    return row


def draw_operands(case: Case, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Operands of the layer's shapes for which the variant is what it says."""
    layer, variant = case.layer, case.variant
    batch = (layer.batch,) if layer.batch > 1 else ()
    a = variant.draw(rng, (*batch, layer.rows, layer.depth))
    b = variant.draw(rng, (*batch, layer.depth, layer.columns))
    for entry in range(layer.batch):
        variant.check(a[entry] if batch else a, b[entry] if batch else b)
    return a, b


def _case_name(case: Case) -> str:
    return f"{case.layer} {case.variant.name}"


def _compare_with_numpy(case: Case, a: NDArray[np.float32], b: NDArray[np.float32], lba_seconds: float) -> Row:
    a = a[:512]  # more rows only make the loop's buffers larger than the caches
    spec = case.variant.spec
    exact, quick = (partial(numpy_loop.matmul, a, b, spec, width) for width in (numpy_loop.EXACT, numpy_loop.QUICK))
    expected = exact()
    check_matmul(expected, a, b, spec, f"{case.layer} {case.variant.name} NumPy loop")
    seconds = measure([exact, quick], Effort(rounds=3, sample_seconds=0))
    exact_gmacs, quick_gmacs = (a.size * b.shape[1] / median(samples) / 1e9 for samples in seconds)
    lba_gmacs = case.layer.multiplies / lba_seconds / 1e9
    return {
        "faster_than_numpy": lba_gmacs / exact_gmacs,
        "numpy_gmacs": exact_gmacs,
        "faster_than_float32_numpy": lba_gmacs / quick_gmacs,
        "float32_numpy_gmacs": quick_gmacs,
        "float32_numpy_differs_rate": float(np.mean(quick() != expected)),
    }


def _as_products(name: str) -> list[MatMulLayer]:
    """A network's layers as matrix products; convolutions in groups are none."""
    layers = [layer.gemm if isinstance(layer, ConvLayer) and layer.group == 1 else layer for layer in read_layers(name)]
    return [layer for layer in layers if isinstance(layer, MatMulLayer)]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="+", choices=NAMES, default=["gemm"], help="files in benchmarks/shapes")
    help_of_variants = "default: all of gemm, two of a network"
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS], help=help_of_variants)
    parser.add_argument("--seed", type=int, default=0, help="of the operands")


if __name__ == "__main__":
    main()
