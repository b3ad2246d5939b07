"""A kind for tests: integers that wrap. `wrap12` sums in 12 bits, [-2048, 2048).

product = x * w truncated to an integer      sum = (sum + product + 2^11) mod 2^12 - 2^11      in the order of k
"""

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lba_onnx.arithmetic import Accumulator, parse_accumulator
from lba_onnx.arithmetic.accumulator import Cause, Float64s, HeldRange, ProductOrder, Step
from lba_onnx.arithmetic.bounds import Bound, check_summary
from lba_onnx.arithmetic.grammar import SpecText
from lba_onnx.arithmetic.levels import Level, named_levels
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.registry import Kind

_HEAD = re.compile(r"wrap(\d{1,2})", re.ASCII)
_MOST_BITS = 24


@dataclass(frozen=True)
class WrapSpec(Accumulator):
    """Sums of integers in so many bits."""

    kind = "wrap"
    summary = "integers that wrap, for tests"
    example = "wrap12"
    operand_types = ("float32", "float16")
    result_type = "float32"
    product_order = ProductOrder.NATURAL
    watched = frozenset(("difference",))

    bits: int

    @classmethod
    def read(cls, text: SpecText) -> "WrapSpec":
        match = _HEAD.fullmatch(text.head.text)
        if match is None or not 2 <= int(match[1]) <= _MOST_BITS:
            raise text.error(f"expected wrap2 to wrap{_MOST_BITS}, got {text.head.text!r}", text.head)
        if text.options:
            raise text.error(f"expected no option, got {text.options[0].part.text!r}", text.options[0].part)
        return cls(int(match[1]))

    def __str__(self) -> str:
        return f"wrap{self.bits}"

    def described(self) -> dict[str, Any]:
        return {"bits": self.bits}

    def explained(self) -> tuple[tuple[str, str], ...]:
        return (("sums", f"integers of {self.bits} bits that wrap"),)

    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        total = float(self._wrapped(math.trunc(initial)))
        for a, b in zip(x, w, strict=True):
            total = self.step(a, b, total)
        return total

    def step(self, x: float, w: float, partial_sum: float) -> float:
        product = x * w
        return float(self._wrapped(partial_sum + math.trunc(product))) if math.isfinite(product) else math.nan

    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        total = np.zeros(shape) if start is None else start
        never = np.zeros(shape, dtype=bool)
        for k, product in enumerate(itertools.islice(products, depth)):
            addend = np.trunc(np.where(np.isfinite(product), product, np.nan))
            after = np.asarray(self._wrapped(total + addend))
            yield Step(1, 0, k, k + 1, product, never, addend, total, after, never)
            total = after

    def start_step(self, initial: Float64s, depth: int, places: Places) -> Step:
        whole = np.trunc(np.where(np.isfinite(initial), initial, np.nan))
        zeros, never = np.zeros(initial.shape), np.zeros(initial.shape, dtype=bool)
        after = np.asarray(self._wrapped(whole))
        return Step(1, depth, depth, depth + 1, None, None, initial, zeros, after, never)

    @property
    def levels(self) -> tuple[Level, ...]:
        return named_levels(0, (), ("swamped",))

    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        check_summary(largest_x, largest_w, depth)
        product = float(math.floor(largest_x * largest_w))
        return Bound("product", product, fits=True), Bound.held("total", depth * product, float(1 << (self.bits - 1)))

    @property
    def ranges(self) -> tuple[HeldRange, ...]:
        half = float(1 << (self.bits - 1))
        return (HeldRange("product", "integer", 1.0, math.inf), HeldRange("accumulator", str(self), 1.0, half))

    def wide(self) -> Accumulator:
        return parse_accumulator("M22E7b63/M22E7b63,chunk=none")

    @property
    def causes(self) -> tuple[Cause, ...]:
        return (Cause("wrap", "wrap", "", "wrapping of the sums", "more bits would help"),)

    def without(self, cause: str, depth: int) -> "WrapSpec | None":
        return WrapSpec(_MOST_BITS) if self.bits < _MOST_BITS else None

    def _wrapped(self, value: Any) -> Any:
        half = 1 << (self.bits - 1)
        return np.mod(value + half, 2 * half) - half


WRAP = Kind(WrapSpec, lambda text: text.head.text.startswith("wrap"), WrapSpec.read)
