"""Random products and convolutions for a CUDA device, and what the processor makes of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import vector_files
from hostile import KINDS, operand

from benchmarks.cuda.products import ConvOnDevice, MatMulOnDevice, OnDevice
from lba_onnx import kernels
from lba_onnx.arithmetic import AccumulatorSpec, FloatFormat
from lba_onnx.arithmetic.rounding import Rounding

Values = np.ndarray
# Sizes around the edges of tiles, and a few that take several tiles.
SIZES = (1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 200, 257)
NAMED = ("fp32-fma", "fp16-fma", "bf16-fma", "fp16-mul-add", "wang2018", "hfp8", "fp12-sr", "fp16-fma,chunk=4x3")
DEPTHS = (1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 48, 63, 65, 100, 129, 257)


@dataclass(frozen=True)
class MatMulCase:
    """alpha * (a @ b) + beta * c."""

    what: str
    spec: AccumulatorSpec
    a: Values
    b: Values
    alpha: float = 1.0
    beta: float = 0.0
    c: Values | None = None

    def expected(self) -> Values:
        """As the CPU library computes it: in float32, rounded once to the type of a."""
        with np.errstate(all="ignore"):
            y = kernels.matmul(self.a.astype(np.float32), self.b.astype(np.float32), self.spec)
            if self.alpha != 1:
                y = y * np.float32(self.alpha)
            if self.c is not None and self.beta != 0:
                y = y + np.float32(self.beta) * self.c.astype(np.float32)
            return y.astype(self.a.dtype)

    def on_device(self, packs: bool) -> OnDevice:
        """The same on the device."""
        return MatMulOnDevice(self.a, self.b, self.spec, packs, self.alpha, self.beta, self.c)


@dataclass(frozen=True)
class ConvCase:
    """A convolution."""

    what: str
    spec: AccumulatorSpec
    x: Values
    w: Values
    attributes: dict[str, Any]
    bias: Values | None = None

    def expected(self) -> Values:
        """As the CPU library computes it: in float32, rounded once to the type of x."""
        with np.errstate(all="ignore"):
            y = kernels.conv(self.x.astype(np.float32), self.w.astype(np.float32), self.spec, **self.attributes)
            if self.bias is not None:
                y = y + self.bias.astype(np.float32).reshape(-1, *[1] * (y.ndim - 2))
            return y.astype(self.x.dtype)

    def on_device(self, packs: bool) -> OnDevice:
        """The same on the device."""
        return ConvOnDevice(self.x, self.w, self.spec, self.attributes, packs, self.bias)


Case = MatMulCase | ConvCase


def first_difference(actual: Values, expected: Values) -> str | None:
    """Where two arrays differ, in words; None where they do not (all NaN are one value)."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"expected {expected.dtype} {expected.shape}, got {actual.dtype} {actual.shape}"
    is_equal = (actual == expected) & (np.signbit(actual) == np.signbit(expected))
    differing = ~(is_equal | (np.isnan(actual) & np.isnan(expected)))
    if not differing.any():
        return None
    place = tuple(int(i) for i in np.argwhere(differing)[0])
    return (
        f"{int(differing.sum())} of {differing.size} values differ, the first at {place}: expected "
        f"{float(expected[place]).hex()}, got {float(actual[place]).hex()}"
    )


def draw_spec(rng: np.random.Generator) -> AccumulatorSpec:
    """Any legal spec; most of those that tiles compute, with thresholds that ordinary operands meet."""
    if rng.random() < 0.1:
        return AccumulatorSpec.parse(str(rng.choice(NAMED)))
    chunk = int(rng.choice([0, 1, 2, 3, 5, 16, 16, 16, 17, 32, 1000]))
    spec = AccumulatorSpec(
        _draw_format(rng),
        _draw_format(rng),
        chunk_size=chunk or None,
        outer_chunks=tuple(int(size) for size in rng.integers(1, 6, rng.integers(1, 7))) if 0 < chunk < 100 else (),
        underflow=bool(rng.random() < 0.7),
        rounding=Rounding.NEAREST if rng.random() < 0.4 else Rounding.TRUNCATE,
    )
    if rng.random() < 0.6:
        spec = replace(spec, outer_chunks=())
    return _with_rules(spec, rng) if rng.random() < 0.2 else spec


def _with_rules(spec: AccumulatorSpec, rng: np.random.Generator) -> AccumulatorSpec:
    """Any of the rules that only the definition knows."""
    rounding = Rounding(rng.choice([rounding.value for rounding in Rounding]))
    is_stochastic = rounding is Rounding.STOCHASTIC
    has_infinity, has_subnormals, exact_products = (bool(rng.random() < 0.5) for _ in range(3))
    codes = {"has_infinity": has_infinity, "has_subnormals": has_subnormals}
    return replace(
        spec,
        product_format=None if exact_products else _draw_format(rng, **codes),
        accumulator_format=_draw_format(rng, **codes),
        tree=int(rng.choice([1, 2, 3, 5, 16, 33])) if rng.random() < 0.5 else None,
        underflow=has_subnormals or spec.underflow,
        rounding=rounding,
        random_bits=int(rng.integers(1, 17)) if is_stochastic else 0,
        seed=int(rng.integers(0, 2**63)) if is_stochastic else 0,
        exact_products=exact_products,
        **codes,
    )


def middle_of_products(spec: AccumulatorSpec) -> int:
    """The exponent in the middle of the products' format, or of the sums' where products are exact."""
    held = spec.accumulator_format if spec.product_format is None else spec.product_format
    return int(2 ** (held.exponent_bits - 1)) - held.exponent_bias


def _draw_format(rng: np.random.Generator, **codes: bool) -> FloatFormat:
    mantissa_bits = int(rng.choice([rng.integers(0, 23), 7, 4]))
    exponent_bits = max(int(rng.choice([rng.integers(1, 8), 4, 3])), 1 + any(codes.values()))
    least = 2**exponent_bits - 128
    near_one = 2 ** (exponent_bits - 1) + rng.integers(-6, 10)
    bias = near_one if rng.random() < 0.8 else rng.integers(least, 127)
    return FloatFormat(mantissa_bits, exponent_bits, int(np.clip(bias, least, 126)), **codes)


def draw_operands(
    rng: np.random.Generator, spec: AccumulatorSpec, dtype: type, *shapes: tuple[int, ...]
) -> tuple[str, list[Values]]:
    """Arrays of one kind of operand, and its name; half of the time moved to the middle of the product format."""
    kind = str(rng.choice(KINDS))
    scale = float(2.0 ** (middle_of_products(spec) / 2)) if rng.random() < 0.5 else 1.0
    with np.errstate(all="ignore"):
        return kind, [operand(kind, shape, rng, scale).astype(dtype) for shape in shapes]


def draw_matmul(rng: np.random.Generator, dtype: type, most_multiplies: int) -> MatMulCase:
    """A product of two matrices."""
    rows, depth, columns = _draw_sizes(rng, most_multiplies)
    spec = draw_spec(rng)
    kind, (a, b) = draw_operands(rng, spec, dtype, (rows, depth), (depth, columns))
    return MatMulCase(f"matmul {rows}x{depth}x{columns} {kind} {np.dtype(dtype)}", spec, a, b)


def draw_strided(rng: np.random.Generator, dtype: type, most_multiplies: int) -> MatMulCase:
    """A product of views: transposed, with gaps, reversed, beginning in the middle of a row."""
    rows, depth, columns = _draw_sizes(rng, most_multiplies)
    spec = draw_spec(rng)
    kind, (a, b) = draw_operands(rng, spec, dtype, (depth + 1, 2 * rows + 1), (columns + 3, depth + 5))
    a, b = a[1:, 1::2].T, b[3:, 5:][:, ::-1].T
    return MatMulCase(f"strided {rows}x{depth}x{columns} {kind} {np.dtype(dtype)}", spec, a, b)


def draw_batched(rng: np.random.Generator, dtype: type, most_multiplies: int) -> MatMulCase:
    """Batches of matrices that broadcast."""
    sizes = [int(size) for size in rng.integers(1, 4, int(rng.integers(1, 4)))]
    rows, depth, columns = _draw_sizes(rng, most_multiplies // int(np.prod(sizes)))
    spec = draw_spec(rng)
    a_batch, b_batch = (
        tuple(1 if rng.random() < 0.3 else size for size in sizes[int(rng.integers(0, len(sizes))) :]) for _ in "ab"
    )
    shapes = ((*a_batch, rows, depth), (*b_batch, depth, columns))
    kind, (a, b) = draw_operands(rng, spec, dtype, *shapes)
    return MatMulCase(f"batched {shapes[0]} {shapes[1]} {kind} {np.dtype(dtype)}", spec, a, b)


def draw_gemm(rng: np.random.Generator, dtype: type, most_multiplies: int) -> MatMulCase:
    """A product with alpha, beta and an addend of any shape that broadcasts; operands may be transposed."""
    rows, depth, columns = _draw_sizes(rng, most_multiplies)
    spec = draw_spec(rng)
    a_shape, b_shape = ((depth, rows), (columns, depth)) if rng.random() < 0.5 else ((rows, depth), (depth, columns))
    c_shape = [(rows, columns), (1, columns), (rows, 1), (1, 1), (columns,)][int(rng.integers(0, 5))]
    kind, (a, b, c) = draw_operands(rng, spec, dtype, a_shape, b_shape, c_shape)
    a, b = (x if x.shape == shape else x.T for x, shape in ((a, (rows, depth)), (b, (depth, columns))))
    alpha, beta = (float(np.float32(value)) for value in rng.choice([1.0, 0.0, -1.5, 0.1], 2))
    what = f"gemm {rows}x{depth}x{columns} C {c_shape} alpha {alpha} beta {beta} {kind} {np.dtype(dtype)}"
    return MatMulCase(what, spec, a, b, alpha, beta, c)


def draw_conv(rng: np.random.Generator, dtype: type, most_multiplies: int) -> ConvCase:
    """A convolution of one to three dimensions, in groups or not."""
    while True:
        case = _draw_any_conv(rng, dtype)
        if case is not None and _multiplies(case) <= most_multiplies:
            return case


def draw_depthwise(rng: np.random.Generator, dtype: type, most_multiplies: int) -> ConvCase:
    """A convolution with a group for each channel."""
    while True:
        case = _draw_any_conv(rng, dtype, is_depthwise=True)
        if case is not None and _multiplies(case) <= most_multiplies:
            return case


def _draw_any_conv(rng: np.random.Generator, dtype: type, is_depthwise: bool = False) -> ConvCase | None:
    """A convolution; None where the kernel does not fit the image."""
    rank = int(rng.integers(1, 4))
    group = int(rng.choice([1, 1, 2, 3])) if not is_depthwise else int(rng.integers(2, 40))
    channels = 1 if is_depthwise else int(rng.choice([1, 2, 3, 4, 8, 17, 32]))
    filters = int(rng.choice([1, 1, 2])) if is_depthwise else int(rng.choice([1, 3, 4, 16, 31, 64, 70]))
    sizes = [int(size) for size in rng.integers(1, 20 if rank < 3 else 9, rank)]
    kernel, strides, dilations = ([int(n) for n in rng.integers(1, most, rank)] for most in (6, 4, 3))
    pads = [int(pad) for pad in rng.integers(0, 4, 2 * rank)]
    for i in range(rank):
        if sizes[i] + pads[i] + pads[rank + i] < (kernel[i] - 1) * dilations[i] + 1:
            return None
    spec = draw_spec(rng)
    x_shape = (int(rng.integers(1, 4)), channels * group, *sizes)
    w_shape = (filters * group, channels, *kernel)
    kind, (x, w, bias) = draw_operands(rng, spec, dtype, x_shape, w_shape, (w_shape[0],))
    attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    what = f"conv x {x_shape} w {w_shape} {attributes} {kind} {np.dtype(dtype)}"
    return ConvCase(what, spec, x, w, attributes, bias if rng.random() < 0.5 else None)


def _multiplies(case: ConvCase) -> int:
    """More than a convolution's products: as if the stride were 1."""
    padded = np.add(case.x.shape[2:], np.reshape(case.attributes["pads"], (2, -1)).sum(axis=0))
    return int(case.x.shape[0] * np.prod(padded) * case.w.size)


def _draw_sizes(rng: np.random.Generator, most_multiplies: int) -> tuple[int, int, int]:
    """Rows, depth and columns."""
    while True:
        rows, depth, columns = int(rng.choice(SIZES)), int(rng.choice(DEPTHS)), int(rng.choice(SIZES))
        if rows * depth * columns <= most_multiplies:
            return rows, depth, columns


DRAWS: dict[str, Callable[[np.random.Generator, type, int], Case]] = {
    "matmul": draw_matmul,
    "strided": draw_strided,
    "batched": draw_batched,
    "gemm": draw_gemm,
    "conv": draw_conv,
    "depthwise": draw_depthwise,
}


def golden_cases(kind: str) -> Iterator[tuple[Case, Values]]:
    """The golden vectors of a kind, "dot", "matmul" or "conv", and their results."""
    files = [f"{folder}{kind}.txt" for folder in ("", "nearest/", "rules/")]
    for number, vector in enumerate((case for file in files for case in vector_files.read_cases(file)), 1):
        what = f"golden {kind} {number}"
        match vector:
            case vector_files.DotCase(spec, x, w, expected):
                yield MatMulCase(what, spec, x[None, :], w[:, None]), expected.reshape(1, 1)
            case vector_files.MatMulCase(spec, a, b, expected):
                yield MatMulCase(what, spec, a, b), expected
            case vector_files.ConvCase(spec, x, w, strides, pads, dilations, group, expected):
                attributes = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
                yield ConvCase(what, spec, x, w, attributes), expected
