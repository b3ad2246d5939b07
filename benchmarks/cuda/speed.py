"""Speed of single products and convolutions on a CUDA device; each is checked against the CPU library first."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.checks import CheckFailed, check_bits
from benchmarks.cuda.baselines import Baseline, TorchBaseline
from benchmarks.cuda.clock import Effort, Timer, Timing, measure, ratio
from benchmarks.cuda.limits import INNER_LOOPS, multiplies_per_clock
from benchmarks.cuda.products import ConvOnDevice, MatMulOnDevice, OnDevice
from benchmarks.cuda.report import Column, Row
from benchmarks.layer_shapes import ConvLayer, Layer, MatMulLayer, read_layers
from benchmarks.variants import VARIANTS
from lba_onnx import kernels
from lba_onnx.native.cuda import Device, kernel_counts

# The kernel that a variant's operands are proven to need.
KERNEL_OF = {
    "no clamp": "truncate",
    "accumulator clamp": "truncate_saturate",
    "both clamps": "saturate",
    "no product mask": "exact_products",
    "fused": "fused",
}
TARGET_SHARES = {"no clamp": 0.6, "accumulator clamp": 0.6, "both clamps": 0.6, "fused": 0.5}
GEMM_TARGET = 1.25  # times the matrix product's time
COLUMNS = (
    Column("case", "case"),
    Column("variant", "variant"),
    Column("type", "type"),
    Column("kernel", "kernel"),
    Column("ms", "ms", ".3f"),
    Column("tmacs", "TMAC/s", ".2f"),
    Column("limit_tmacs", "limit", ".2f"),
    Column("share_of_limit", "share", ".1%"),
    Column("target_share", "target", ".0%"),
    Column("clock_mhz", "MHz", ".0f"),
    Column("float32_tmacs", "float32 TMAC/s", ".2f"),
    Column("slower_than_float32", "times slower", ".2f"),
    Column("time_of_gemm", "x GEMM time", ".2f"),
    Column("verdict", "target is"),
    Column("note", "note"),
    Column("missing", "missing"),
)
_CHECKED_MULTIPLIES = 1 << 33  # of a matrix product; the CPU library takes a second at most
_DRAWN_VALUES = (1 << 22) - 3  # larger operands repeat; odd, so that no two rows of a matrix are alike
_MOST_DIFFERING = 0.01  # of the values of a loop in float32
_EXPECTED_SHARE = 0.95  # of the tiles by the kernel that a variant is about


@dataclass(frozen=True)
class SpeedCase:
    """One product or convolution.

    Attributes:
        network: Where the layer comes from.
        layer: Its shape, the batch included.
        batch: Images of a convolution.
        variant: One of VARIANTS.
        dtype: "float32" or "float16".
    """

    network: str
    layer: Layer
    batch: int
    variant: str
    dtype: str = "float32"

    def __str__(self) -> str:
        images = f"{self.batch} x " if isinstance(self.layer, ConvLayer) and self.batch > 1 else ""
        return f"{self.network} {images}{self.layer}"

    @property
    def multiplies(self) -> int:
        """Multiply-accumulates."""
        return self.layer.multiplies * (self.batch if isinstance(self.layer, ConvLayer) else 1)


@dataclass(frozen=True)
class Setting:
    """What measures, and against what.

    Attributes:
        timer: Times queued work.
        effort: How long.
        device: The device.
        baselines: PyTorch first.
        seed: Of the operands.
    """

    timer: Timer
    effort: Effort
    device: Device
    baselines: list[Baseline]
    seed: int = 0


def layer_cases(network: str, variants: Iterable[str], batch: int = 1, dtype: str = "float32") -> list[SpeedCase]:
    """Every different layer of a network with every variant; `batch` images or sequences at once."""
    layers = {str(layer): with_batch(layer, batch) for layer in read_layers(network)}
    return [SpeedCase(network, layer, batch, variant, dtype) for variant in variants for layer in layers.values()]


def with_batch(layer: Layer, batch: int) -> Layer:
    """A product of so many sequences at once; convolutions keep their batch apart."""
    if isinstance(layer, ConvLayer):
        return layer
    return replace(layer, batch=layer.batch * batch) if layer.batch > 1 else replace(layer, rows=layer.rows * batch)


def run_case(case: SpeedCase, setting: Setting) -> Row:
    """Check and time one case.

    Raises:
        CheckFailed: The bits are not those of the CPU library.
    """
    first, second = draw_operands(case, setting.seed)
    baseline = _find_baseline(case, setting.baselines)
    with ExitStack() as stack:
        call = stack.enter_context(on_device(case, first, second))
        kernel, share = find_kernel(call)
        check(case, call, first, second)
        functions: dict[str, Callable[[], object]] = {"lba": call.queue}
        missing = None
        if baseline is not None:
            try:
                functions["float32"] = _float32(case, baseline, first, second)
            except Exception as error:  # whatever stands in another library's way
                missing = f"{baseline.name}: {type(error).__name__}: {error}"
        if isinstance(case.layer, ConvLayer) and case.layer.group == 1:
            functions["gemm"] = stack.enter_context(_gemm_on_device(case, setting.seed)).queue
        measured = measure(setting.timer, [*functions.values()], setting.effort)
    timings = dict(zip(functions, measured, strict=True))
    row = _describe(case, kernel, share, timings["lba"], setting) | {"missing": missing}
    if baseline is not None and "float32" in timings:
        row |= {
            "float32_tmacs": case.multiplies / timings["float32"].median / 1e12,
            "slower_than_float32": ratio(timings["lba"], timings["float32"]),
            "float32_ms": timings["float32"].median * 1e3,
            "baseline": baseline.name,
        }
    if "gemm" in timings:
        row |= {"time_of_gemm": ratio(timings["lba"], timings["gemm"]), "gemm_ms": timings["gemm"].median * 1e3}
    return row


def draw_operands(case: SpeedCase, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Operands for which the variant is what it says; the second is the constant one, if any is."""
    layer, rng = case.layer, np.random.default_rng(seed)
    if isinstance(layer, ConvLayer):
        shapes = ((case.batch, *layer.x_shape[1:]), layer.w_shape)
    else:
        batch = (layer.batch,) if layer.batch > 1 else ()
        shapes = ((*batch, layer.rows, layer.depth), (*batch, layer.depth, layer.columns))
    draw = VARIANTS[case.variant].draw
    first, second = (
        np.resize(draw(rng, (min(int(np.prod(shape)), _DRAWN_VALUES),)), shape).astype(case.dtype) for shape in shapes
    )
    return first, second


def on_device(case: SpeedCase, first: NDArray[Any], second: NDArray[Any]) -> OnDevice:
    """The case in the memory of the device, weights packed."""
    spec = VARIANTS[case.variant].spec
    if isinstance(case.layer, ConvLayer):
        return ConvOnDevice(first, second, spec, case.layer.attributes, packs=True)
    return MatMulOnDevice(first, second, spec, packs=case.layer.batch == 1)


def find_kernel(call: OnDevice) -> tuple[str, float]:
    """The kernel that computes most tiles of a call, and its share of them."""
    before = kernel_counts()
    call.queue()
    used = {name: count - before[name] for name, count in kernel_counts().items()}
    most = max(used, key=lambda name: used[name])
    return most, used[most] / max(sum(used.values()), 1)


def check(case: SpeedCase, call: OnDevice, first: NDArray[Any], second: NDArray[Any]) -> None:
    """Compare as many results as the CPU library computes in a second."""
    call.poison()
    y, rng, spec = call.compute(), np.random.default_rng(1), VARIANTS[case.variant].spec
    if isinstance(case.layer, ConvLayer):
        images = np.unique([0, len(first) - 1])
        x, w = first[images].astype(np.float32), second.astype(np.float32)
        expected, actual = kernels.conv(x, w, spec, **case.layer.attributes), y[images]
    else:
        rows = max(1, _CHECKED_MULTIPLIES * case.layer.rows // case.multiplies)
        chosen = np.sort(rng.choice(case.layer.rows, min(rows, case.layer.rows), replace=False))
        a, b = first[..., chosen, :].astype(np.float32), second.astype(np.float32)
        expected, actual = kernels.matmul(a, b, spec), y[..., chosen, :]
    check_bits(actual, expected.astype(case.dtype), f"{case} {case.variant} {case.dtype}")


def _find_baseline(case: SpeedCase, baselines: list[Baseline]) -> Baseline | None:
    if isinstance(case.layer, MatMulLayer):
        return baselines[0] if baselines else None
    return next((baseline for baseline in baselines if isinstance(baseline, TorchBaseline)), None)


def _float32(case: SpeedCase, baseline: Any, first: NDArray[Any], second: NDArray[Any]) -> Any:
    first, second = first.astype(np.float32), second.astype(np.float32)
    if isinstance(case.layer, ConvLayer):
        return baseline.conv(first, second, case.layer.attributes)
    return baseline.matmul(first, second)


def _describe(case: SpeedCase, kernel: str, share: float, timing: Timing, setting: Setting) -> Row:
    tmacs = case.multiplies / timing.median / 1e12
    row: Row = {
        "case": str(case),
        "kind": "matmul" if isinstance(case.layer, MatMulLayer) else case.layer.kind,
        "variant": case.variant,
        "spec": str(VARIANTS[case.variant].spec),
        "type": case.dtype,
        "kernel": kernel,
        "kernel_share": share,
        "repeats": case.layer.repeats,
        "ms": timing.median * 1e3,
        "tmacs": tmacs,
        "clock_mhz": timing.clock_mhz,
    }
    if isinstance(case.layer, MatMulLayer) and (kernel != KERNEL_OF[case.variant] or share < _EXPECTED_SHARE):
        row["note"] = f"expected the kernel {KERNEL_OF[case.variant]}, {kernel} computed {share:.0%} of the tiles"
    clock = timing.clock_mhz or setting.timer.largest_clock_mhz()
    if kernel in INNER_LOOPS and clock is not None:
        per_clock = multiplies_per_clock(kernel, setting.device.compute_capability)
        row["limit_tmacs"] = per_clock * setting.device.multiprocessors * clock * 1e6 / 1e12
        row["share_of_limit"] = tmacs / row["limit_tmacs"]
    if timing.clock_mhz is None and clock is not None:
        row["clock_mhz"], row["clock_is_largest"] = clock, True
    return row


def _gemm_on_device(case: SpeedCase, seed: int) -> OnDevice:
    """The matrix product of a convolution's size: rows are positions of all images, columns are filters; checked."""
    gemm = case.layer.gemm
    product = SpeedCase(case.network, replace(gemm, rows=gemm.rows * case.batch), 1, case.variant, case.dtype)
    operands = draw_operands(product, seed)
    call = on_device(product, *operands)
    check(product, call, *operands)
    return call


def judge(rows: Iterable[Row]) -> None:
    """Mark as met or missed: products by their share of the limit, convolutions by their time in that of a product."""
    for row in rows:
        target = TARGET_SHARES.get(row["variant"])
        if row.get("time_of_gemm") is not None:
            row["verdict"] = "met" if row["time_of_gemm"] <= GEMM_TARGET else "missed"
        elif row["kind"] == "matmul" and target is not None and "share_of_limit" in row and "note" not in row:
            row["target_share"] = target
            row["verdict"] = "met" if row["share_of_limit"] >= target else "missed"


def run_loop(size: int, variant: str, baseline: Baseline, setting: Setting) -> Row:
    """The product [size, size, size] against a loop over k on the same device.

    Raises:
        CheckFailed: The bits are not those of the CPU library, or the loop computes something else.
    """
    case = SpeedCase("loop over k", MatMulLayer(1, 1, size, size, size), 1, variant)
    a, b = draw_operands(case, setting.seed)
    loop = baseline.loop(a, b, VARIANTS[variant].spec)
    with on_device(case, a, b) as call:
        check(case, call, a, b)
        differing = float(np.mean(baseline.to_host(loop()) != call.compute()))
        if differing > _MOST_DIFFERING:
            raise CheckFailed(f"{case}: {differing:.1%} of the values of {baseline.name}'s loop differ")
        timings = measure(setting.timer, [call.queue, loop], replace(setting.effort, rounds=3))
    return {
        "case": str(case),
        "variant": variant,
        "loop": baseline.name,
        "ms": timings[0].median * 1e3,
        "loop_ms": timings[1].median * 1e3,
        "faster_than_loop": ratio(timings[1], timings[0]),
        "differing_rate": differing,
    }


LOOP_COLUMNS = (
    Column("case", "case"),
    Column("variant", "variant"),
    Column("loop", "loop"),
    Column("ms", "ms", ".3f"),
    Column("loop_ms", "loop ms", ".1f"),
    Column("faster_than_loop", "times faster", ".0f"),
    Column("differing_rate", "loop's values off", ".3%"),
)
