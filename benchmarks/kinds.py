"""Accumulators that have kernels of their own, each with operands as its users have them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants import Floats, draw_normal
from lba_onnx.arithmetic import AccumulatorSpec

_BFLOAT16_BITS, _FP8_BITS = 0xFFFF0000, 0xFFE00000  # that float32 keeps
_LEAST_FP8 = 2.0**-14  # the smallest normal value of E5M2


@dataclass(frozen=True)
class Kind:
    """One accumulator.

    Attributes:
        name: Its name, or its text.
        draw: Takes a generator and a shape; returns operands.
        target: Most times that onnxruntime's float32 MatMul may be faster.
    """

    name: str
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats]
    target: float

    @property
    def spec(self) -> AccumulatorSpec:
        """The arithmetic."""
        return AccumulatorSpec.parse(self.name)

    def check(self, a: Floats, b: Floats) -> None:
        """Nothing: any operands will do."""


def draw_float16(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values rounded to float16."""
    values: Floats = draw_normal(rng, shape).astype(np.float16).astype(np.float32)
    return values


def draw_bfloat16(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values cut to bfloat16."""
    return _cut(draw_normal(rng, shape), _BFLOAT16_BITS)


def draw_fp8(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal values cut to E5M2, smaller ones than its normal values zero."""
    values = _cut(draw_normal(rng, shape), _FP8_BITS)
    values[np.abs(values) < _LEAST_FP8] = 0
    return values


def _cut(values: Floats, kept_bits: int) -> Floats:
    bits: NDArray[np.uint32] = values.view(np.uint32)
    bits &= np.uint32(kept_bits)
    return values


KINDS = {
    kind.name: kind
    for kind in (
        Kind("fp32-fma", draw_normal, target=1.2),
        Kind("M7E4b8,product=exact", draw_normal, target=1.3),
        Kind("fp16-fma", draw_float16, target=5.3),
        Kind("bf16-fma", draw_bfloat16, target=4.0),
        Kind("fp16-mul-add", draw_float16, target=6.2),
        Kind("wang2018", draw_fp8, target=2.7),
        Kind("wang2018,chunk=16", draw_normal, target=6.2),
        Kind("fp12-sr", draw_fp8, target=4.5),
    )
}
