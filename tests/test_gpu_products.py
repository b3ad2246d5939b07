"""Random products and convolutions on a CUDA device have the CPU library's bits."""

import gpu_device
import numpy as np
import pytest
from gpu_cases import DRAWS, NAMED, SIZES, MatMulCase, first_difference, middle_of_products
from hostile import KINDS, operand
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import all_specs

from benchmarks.variants import VARIANTS
from lba_onnx.arithmetic import AccumulatorSpec
from lba_onnx.native.cuda import kernel_counts

pytestmark = gpu_device.marks()
CASES = gpu_device.scaled(120, 3)
MOST_MULTIPLIES = gpu_device.scaled(1 << 23, 1 << 15)
SPECIAL_TEXTS = (
    *("M7E4b10", "M7E4b10,underflow=off,chunk=7", "M22E7b63", "M4E3b6,chunk=none", "M7E4b12/M7E4b10,chunk=9x8"),
    *("M7E4b10,chunk=4x3x5x2,round=nearest", "M7E4b10,tree=16,chunk=3", "M4E3b6,round=odd,range=infinity"),
)


def check(case: MatMulCase, seed: int, packs: bool) -> None:
    with case.on_device(packs) as on_device:
        difference = first_difference(on_device.compute(), case.expected())
    assert difference is None, f"seed {seed}, {case.what}, {case.spec}, packs {packs}: {difference}"


@pytest.mark.parametrize("tile", [None, *gpu_device.TILES])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("kind", DRAWS)
def test_random_case_has_the_bits_of_the_processor(
    kind: str, dtype: type, tile: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if tile is not None:
        monkeypatch.setenv(gpu_device.TILE_VARIABLE, tile)
    first = gpu_device.seed_of(kind, dtype.__name__, tile)
    for seed in range(first, first + CASES):
        check(DRAWS[kind](np.random.default_rng(seed), dtype, MOST_MULTIPLIES), seed, packs=seed % 2 == 0)


@pytest.mark.parametrize("tile", gpu_device.TILES)
def test_all_sizes_around_the_edges_of_tiles(tile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu_device.TILE_VARIABLE, tile)
    rng = np.random.default_rng(1)
    sizes = SIZES if not gpu_device.is_emulated() else (1, 5, 33, 65)
    a, b = (rng.standard_normal((max(sizes), 37), np.float32) for _ in range(2))
    for text in ("M7E4b10", "M4E3b6,chunk=5", "M7E4b14/M7E4b14", "M7E4b12/M7E4b10,chunk=3x2x4", "fp12-sr"):
        for rows in sizes:
            for columns in sizes:
                check(MatMulCase(f"{rows}x{columns}", AccumulatorSpec.parse(text), a[:rows], b[:columns].T), 1, False)


@pytest.mark.parametrize("kind", KINDS)
def test_special_operands_in_long_products(kind: str) -> None:
    rows, depth, columns = gpu_device.scaled(300, 40), gpu_device.scaled(2000, 100), gpu_device.scaled(500, 50)
    rng = np.random.default_rng(gpu_device.seed_of(kind))
    for text in (*SPECIAL_TEXTS, *NAMED):
        a, b = operand(kind, (rows, depth), rng), operand(kind, (depth, columns), rng)
        check(MatMulCase(kind, AccumulatorSpec.parse(text), a, b), gpu_device.seed_of(kind), packs=True)


@settings(max_examples=gpu_device.scaled(300, 15), deadline=None)
@given(
    spec=all_specs(largest_chunk=40),
    seed=st.integers(0, 2**32 - 1),
    spread=st.integers(0, 30),
)
def test_product_at_the_edges_of_any_spec(spec: AccumulatorSpec, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 60))
    exponents = np.clip(middle_of_products(spec) // 2 + rng.integers(-spread, spread + 1, (40, depth)), -140, 120)
    values = np.ldexp(rng.standard_normal((40, depth)), exponents).astype(np.float32)
    check(MatMulCase("edges", spec, values[:9], values[9:].T), seed, packs=False)


# What operands prove, by the kernel that then has to compute the tiles.
KERNEL_CASES = {
    "fused": ("fused", "M7E4b8/M7E4b8"),
    "fused_saturate": ("fused", "M7E4b8/M7E4b12"),
    "exact_products": ("no product mask", "M7E4b8/M7E4b8"),
    "truncate": ("no clamp", "M7E4b8/M7E4b8"),
    "truncate_saturate": ("accumulator clamp", "M7E4b11/M7E4b12"),
    "saturate": ("both clamps", "M7E4b14/M7E4b14"),
    "exact": (None, "M7E4b8/M7E4b8"),  # an infinite operand in every row
}


@pytest.mark.parametrize("tile", gpu_device.TILES)
@pytest.mark.parametrize("kernel", KERNEL_CASES)
def test_every_kernel_is_reached(kernel: str, tile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu_device.TILE_VARIABLE, tile)
    variant, text = KERNEL_CASES[kernel]
    rng = np.random.default_rng(3)
    rows, depth, columns = gpu_device.scaled(300, 40), 64, gpu_device.scaled(260, 70)
    draw = VARIANTS[variant or "no clamp"].draw
    a, b = draw(rng, (rows, depth)), draw(rng, (depth, columns))
    if variant is None:
        a[:, 0] = np.inf  # no scale fits
    case = MatMulCase(kernel, AccumulatorSpec.parse(text), a, b)
    before = kernel_counts()
    check(case, 3, packs=False)
    used = {name for name, count in kernel_counts().items() if count > before[name]}
    assert used == {kernel}


def test_depth_of_zero_gives_zeros() -> None:
    a, b = np.zeros((5, 0), np.float32), np.zeros((0, 7), np.float32)
    check(MatMulCase("depth 0", AccumulatorSpec.parse("M7E4b10"), a, b), 0, packs=False)
