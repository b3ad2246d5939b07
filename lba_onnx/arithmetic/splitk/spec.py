"""Sums by slices of the depth: each slice is summed by an accumulator of any kind, and these sums in a chain.

    size = ceil(depth / slices)
    total = round(initial)
    for each slice of `size` consecutive k, upward:
        total = round(total + inner(slice))

The last slice may be shorter; slices behind the depth are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from lba_onnx.arithmetic.accumulator import Accumulator, Cause, Float64s, HeldRange, ProductOrder, Step
from lba_onnx.arithmetic.bounds import Bound
from lba_onnx.arithmetic.chunked_float.arrays import odd_sum
from lba_onnx.arithmetic.chunked_float.losses import WIDER
from lba_onnx.arithmetic.chunked_float.order import spans
from lba_onnx.arithmetic.datapath import Datapath
from lba_onnx.arithmetic.grammar import SpecText
from lba_onnx.arithmetic.levels import Level
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.result_format import FLOAT32, ResultFormat
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.arithmetic.rounding_points import RoundingPoint
from lba_onnx.arithmetic.splitk import hardware
from lba_onnx.arithmetic.splitk.text import SplitKText

MOST_LEVELS = 9
"""Levels that the accumulator of slices may have: the library counts ten."""

_PLACE = "combination"
_MORE_BITS = "more mantissa bits where slices are combined would help"
_REMEDIES = {
    "overflow": "a format of combined slices that reaches further up would help",
    "underflow": "a format of combined slices that reaches further down would help",
    "truncation": _MORE_BITS,
    "rounding": _MORE_BITS,
}


@dataclass(frozen=True)
class SplitKSpec(Accumulator):
    """Sums by slices.

    Attributes:
        slices: How many.
        inner: What sums each.
        total: The format in which the sums of slices are combined.
    """

    kind = "splitk"
    summary = "slices of the depth, each summed by an accumulator of any kind, then combined in order"
    example = "splitk4(fp16-fma)"
    further_examples = ("splitk4(M7E4b12/M7E4b10),sum=M7E4b10,round=truncate", "splitk2(bf16-fma),sum=bfloat16")
    operand_types = ("float32", "float16")
    result_type = "float32"
    product_order = ProductOrder.NATURAL

    slices: int
    inner: Accumulator
    total: ResultFormat = FLOAT32

    def __post_init__(self) -> None:
        """Check that slices are sums of floats, and that statistics can tell of all levels."""
        self.inner.check_operands("float32")
        if len(self.inner.levels) > MOST_LEVELS:
            raise ValueError(f"expected slices of at most {MOST_LEVELS} levels, got {len(self.inner.levels)}: {self}")

    @classmethod
    def read(cls, text: SpecText, parse: Callable[[str], Accumulator]) -> "SplitKSpec":
        """Read a spec from a text taken apart, and what stands in its parentheses by `parse`.

        Raises:
            ValueError: It is none.
        """
        said = SplitKText.read(text)
        return cls(said.slices, parse(said.inner), said.total)

    @property
    def options(self) -> Mapping[str, str]:
        """Those of the slices."""
        return self.inner.options

    @property
    def watched(self) -> frozenset[str]:
        """What the steps of slices tell."""
        return self.inner.watched

    def __str__(self) -> str:
        """Return the text."""
        return str(SplitKText(self.slices, str(self.inner), self.total))

    def described(self) -> dict[str, Any]:
        """Return the number of slices, and what sums and combines them."""
        return {"slices": self.slices, "slice": self.inner.to_json(), **self.total.described()}

    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return the slices, what sums them, and how they are combined."""
        return (
            ("slices", f"{self.slices}, each of ceil(depth / {self.slices}) products; the last has the rest"),
            ("a slice is summed by", str(self.inner)),
            *((f"slice: {heading}", words) for heading, words in self.inner.explained()),
            ("slices are combined", f"in their order, each sum rounded to {self.total.words}"),
        )

    def spans(self, depth: int) -> list[tuple[int, int]]:
        """Return the first k of each slice, and the one behind its last."""
        return list(spans(0, depth, self.slice_size(depth)))

    def slice_size(self, depth: int) -> int:
        """Return how many products a slice has; the last may have fewer."""
        return max(-(-depth // self.slices), 1)

    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        """Return the combined sums of the slices."""
        if len(x) != len(w):
            raise ValueError(f"expected vectors of one length, got {len(x)} and {len(w)} values")
        total = self.total.exact(initial)
        for index, (begin, end) in enumerate(self.spans(len(x))):
            part = self.inner.in_slice(index).dot(x[begin:end], w[begin:end], place=place)
            total = self._combined(total, part)
        return total

    def _combined(self, total: float, part: float) -> float:
        if isfinite(total) and isfinite(part) and total != -part:
            return self.total.exact(Fraction(total) + Fraction(part))
        return self.total.exact(total + part)

    def step(self, x: float, w: float, partial_sum: float) -> float:
        """Return the innermost sum of a slice after one product more."""
        return self.inner.step(x, w, partial_sum)

    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        """Yield the additions of each slice, then the one of its sum to the total."""
        total = np.zeros(shape) if start is None else start
        for index, (begin, end) in enumerate(self.spans(depth)):
            part = np.zeros(shape)
            for step in self.inner.in_slice(index).steps(products, end - begin, shape, places):
                part = step.after
                yield step.moved(begin)
            after = self.total.array(odd_sum(part, total))
            overflows = self.total.overflows(after)
            inside = None if start is None else np.r_[0:end, depth]
            yield Step(len(self.inner.levels), 0, begin, end, None, None, part, total, after, overflows, inside=inside)
            total = after

    def start_step(self, initial: Float64s, depth: int, places: Places) -> Step:
        """Return the step that rounds values to the format of the chain of slices, which starts from them."""
        after, zeros = self.total.array(initial), np.zeros(initial.shape)
        overflows = self.total.overflows(after)
        level = len(self.inner.levels)
        return Step(level, depth, depth, depth + 1, None, None, initial, zeros, after, overflows)

    def rounding_points(self, depth: int) -> tuple[RoundingPoint, ...] | None:
        """Return the roundings of the slices, and of the chain that combines them; the first one joins a zero."""
        slices = self.spans(depth)
        found = [self.inner.rounding_points(end - begin) for begin, end in slices]
        told = [points for points in found if points is not None]
        if len(told) < len(found):
            return None
        joins = [np.full(end - begin, len(slices) - max(i, 1)) for i, (begin, end) in enumerate(slices)]
        inner = (
            replace(same[0], level=self._outer_name(same[0].level), times=np.concatenate([p.times for p in same]))
            for same in zip(*told, strict=True)
        )
        return (*inner, self.total.rounding_point("total", np.concatenate([*joins, np.zeros(0, np.int64)])))

    def _outer_name(self, level: str) -> str:
        """Return what a level of a slice is called among all."""
        return self.levels[-2].name if level == "total" else level

    @property
    def levels(self) -> tuple[Level, ...]:
        """Those of a slice, whose total is a partial sum here, and the total of all slices."""
        *inner, last = self.inner.levels
        number = "" if len(inner) == 1 else f"_{len(inner)}"
        events = ("overflow", "underflow", "swamped", *self.total.events[2:])
        return (*inner, replace(last, name=f"partial_sum{number}"), Level("total", events))

    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        """Return the bounds of a slice's levels, and of the total."""
        found = self.inner.bounds(largest_x, largest_w, min(self.slice_size(depth), depth))
        named = [replace(bound, level=level.name) for bound, level in zip(found, self.levels, strict=False)]
        return (*named, self.total.bound("total", found[-1].largest, self.slices, self.slices))

    @property
    def ranges(self) -> tuple[HeldRange, ...]:
        """What the rounding points of a slice hold."""
        return self.inner.ranges

    def wide(self) -> "SplitKSpec":
        """Return the same slices, each summed as if in float32, and combined in float32."""
        return SplitKSpec(self.slices, self.inner.wide())

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Those of a slice, then overflow, underflow and rounding where slices are combined."""
        everywhere = {cause.kind for cause in self.inner.causes if not cause.place}
        return (*self.inner.causes, *(_cause(kind, kind in everywhere) for kind in self._own_kinds))

    @property
    def _own_kinds(self) -> tuple[str, ...]:
        rounding = "truncation" if self.total.rounding is Rounding.TRUNCATE else "rounding"
        return "overflow", "underflow", rounding

    def without(self, cause: str, depth: int) -> "SplitKSpec | None":
        """Return the spec with one cause switched off: in its slices, in their combination, or in both."""
        inner = None
        if cause in {of_a_slice.name for of_a_slice in self.inner.causes}:
            inner = self.inner.without(cause, self.slice_size(depth))
        held, kind = self.total.number_format, cause.removeprefix(f"{_PLACE}_")
        total = replace(self.total, number_format=WIDER[kind](held)) if kind in self._own_kinds else self.total
        changed = replace(self, inner=inner or self.inner, total=total)
        return None if changed == self else changed

    @property
    def prescribed_operands(self) -> Operands | None:
        """What a slice multiplies."""
        return self.inner.prescribed_operands

    def datapath(self, operands: Operands, depth: int) -> Datapath | None:
        """Return the parts of a slice, as of a full one, and of an adder that combines the slices."""
        size = self.slice_size(depth)
        slices = -(-depth // size)
        inner, last = (self.inner.datapath(operands, length) for length in (size, depth - size * (slices - 1)))
        if inner is None or last is None:
            return None
        return hardware.datapath(inner, last.sums, self.total, slices, depth)

    def limit_note(self, cause: str) -> str:
        """Return in words how far `without` falls short in a slice."""
        return self.inner.limit_note(cause)

    def in_product(self, key: str) -> "SplitKSpec":
        """Return the spec whose slices compute one product of a model."""
        return replace(self, inner=self.inner.in_product(key))

    def in_slice(self, index: int) -> "SplitKSpec":
        """Return the spec whose slices draw other random bits than those of other slices do."""
        return replace(self, inner=self.inner.in_slice(index * self.slices))

    def relaxed(self, is_relaxed: bool = True) -> "SplitKSpec":
        """Return the spec with relaxed slices."""
        return replace(self, inner=self.inner.relaxed(is_relaxed))

    @property
    def has_given_biases(self) -> bool:
        """Whether slices are of such formats."""
        return self.inner.has_given_biases

    @property
    def family_text(self) -> str | None:
        """The text with the family of the slices; None where they have none."""
        inner = self.inner.family_text
        return None if inner is None else str(SplitKText(self.slices, inner, self.total))


def _cause(kind: str, is_elsewhere: bool) -> Cause:
    """Return a cause of the combination; one that slices do not have has no other place."""
    place = _PLACE if is_elsewhere else ""
    name = f"{place}_{kind}" if place else kind
    return Cause(name, kind, place, f"{kind} where slices are combined", _REMEDIES[kind])
