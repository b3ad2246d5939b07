"""Operands and formats under which each short cut of the kernels provably applies, or provably does not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.checks import CheckFailed
from lba_onnx.arithmetic import AccumulatorSpec

Floats = NDArray[np.float32]

# The kernels decide for tiles of so many rows and columns, from the largest operands in them.
TILE_ROWS, TILE_COLUMNS = 8, 32
# The share of the tiles that have to clamp where a variant says so; the last tile of a matrix may be small.
CLAMPED_SHARE = 0.95


@dataclass(frozen=True)
class Variant:
    """One kind of inner loop.

    Attributes:
        name: What the loop has to do.
        spec: The arithmetic.
        draw: Takes a generator and a shape; returns operands.
        clamps_product: Whether products can reach max_value: in (almost) every tile, or in none.
        clamps_sum: Whether partial sums can, as far as the triangle inequality and Cauchy-Schwarz tell.
        exact_products: Whether products need no mantissa bits dropped.
        products_underflow: Whether products can fall below min_value.
        target: Most times that onnxruntime's float32 MatMul may be faster; None for no target.
    """

    name: str
    spec: AccumulatorSpec
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    clamps_product: bool
    clamps_sum: bool
    exact_products: bool = False
    products_underflow: bool = True
    target: float | None = None

    def check(self, a: Floats, b: Floats) -> None:
        """Raise CheckFailed unless operands [rows, depth] and [depth, columns] are what the variant is about."""
        facts = {
            "clamps_product": _clamps(_product_bounds(a, b) >= self.spec.product_format.max_value),
            "clamps_sum": _clamps(_sum_bounds(a, b, self.spec) >= self.spec.accumulator_format.max_value),
            "exact_products": significant_bits(a) + significant_bits(b) <= self.spec.product_format.mantissa_bits + 1,
            "products_underflow": _smallest(a) * _smallest(b) < self.spec.product_format.min_value,
        }
        for name, fact in facts.items():
            wanted = getattr(self, name)
            if fact is not wanted:
                raise CheckFailed(f"{self.name}: expected {name} to be {wanted}, the operands make it {fact}")


def significant_bits(values: Floats) -> int:
    """Bits that the widest value needs, the leading one included; normal values only."""
    mantissas = (np.abs(values).view(np.uint32) & 0x7FFFFF) | 0x800000
    ored = int(np.bitwise_or.reduce(mantissas, axis=None))
    return 24 - ((ored & -ored).bit_length() - 1)


def _clamps(reached: NDArray[np.bool_]) -> bool | None:
    """Whether all tiles, or as good as all, can reach max_value; None for a mixture."""
    if not reached.any():
        return False
    return True if reached.mean() >= CLAMPED_SHARE else None


def _tile_maxima(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.maximum.reduceat(values, np.arange(0, values.size, size))


def _product_bounds(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Of each tile: the product of the largest operands."""
    rows = _tile_maxima(np.abs(a).max(axis=1).astype(np.float64), TILE_ROWS)
    columns = _tile_maxima(np.abs(b).max(axis=0).astype(np.float64), TILE_COLUMNS)
    return np.outer(rows, columns)


def _sum_bounds(a: Floats, b: Floats, spec: AccumulatorSpec) -> NDArray[np.float64]:
    """Of each tile: the smaller of two bounds of every partial sum."""
    chunk = min(spec.chunk_size or a.shape[1], a.shape[1])
    rows = _tile_maxima(_chunk_norms(a, chunk), TILE_ROWS)
    columns = _tile_maxima(_chunk_norms(b.T, chunk), TILE_COLUMNS)
    return np.minimum(chunk * _product_bounds(a, b), np.outer(rows, columns))


def _chunk_norms(vectors: Floats, chunk: int) -> NDArray[np.float64]:
    """The largest Euclidean norm of a chunk of each vector [vectors, depth]."""
    squares = np.add.reduceat(vectors.astype(np.float64) ** 2, np.arange(0, vectors.shape[1], chunk), axis=1)
    return np.sqrt(squares.max(axis=1))


def _smallest(values: Floats) -> float:
    return float(np.abs(values[values != 0], dtype=np.float64).min())


def draw_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values."""
    return rng.standard_normal(shape, np.float32)


def draw_short(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values cut to 4 significant bits, as those of an 8-bit float format."""
    return (draw_normal(rng, shape).view(np.uint32) & np.uint32(0xFFF00000)).view(np.float32)


def draw_short_in_range(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """The same with magnitudes from 1/8 to 4."""
    values = draw_short(rng, shape)
    return np.copysign(np.clip(np.abs(values), np.float32(0.125), np.float32(4)), values)


parse = AccumulatorSpec.parse
VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("no clamp", parse("M7E4b8/M7E4b8"), draw_normal, False, False, target=2.3),
        Variant("accumulator clamp", parse("M7E4b11/M7E4b12"), draw_normal, False, True, target=2.8),
        Variant("both clamps", parse("M7E4b14/M7E4b14"), draw_normal, True, True, target=3.3),
        Variant("no product mask", parse("M7E4b8/M7E4b8"), draw_short, False, False, True),
        Variant(
            "fused",
            parse("M7E4b8/M7E4b8"),
            draw_short_in_range,
            False,
            False,
            exact_products=True,
            products_underflow=False,
            target=1.3,
        ),
        Variant("nearest", parse("M7E4b8/M7E4b8,round=nearest"), draw_normal, False, False, target=4.7),
        Variant("nearest, two biases", parse("M7E4b10/M7E4b8,round=nearest"), draw_normal, False, False),
        Variant("nearest, both clamps", parse("M7E4b14/M7E4b14,round=nearest"), draw_normal, True, True, target=5.6),
        Variant(
            "nearest, fused",
            parse("M7E4b8/M7E4b8,round=nearest"),
            draw_short_in_range,
            False,
            False,
            exact_products=True,
            products_underflow=False,
            target=2.7,
        ),
        Variant("underflow off", parse("M7E4b14/M7E4b14,underflow=off"), draw_normal, True, True),
    )
}
