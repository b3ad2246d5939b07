"""Sums of products of integer codes: what they are, what they hold and what they lose."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Accumulator, Cause, CodeSums, Float64s, HeldRange, ProductOrder, Step
from lba_onnx.arithmetic.bounds import Bound, check_summary
from lba_onnx.arithmetic.datapath import Datapath
from lba_onnx.arithmetic.grammar import SpecText
from lba_onnx.arithmetic.integer import hardware, losses, words
from lba_onnx.arithmetic.integer.definition import IntegerSums
from lba_onnx.arithmetic.integer.fields import (
    INT32_BITS,
    LEAST_BITS,
    MOST_BITS,
    IntegerLevel,
    Kernel,
    Overflow,
    ProductRounding,
)
from lba_onnx.arithmetic.integer.text import read_fixed, read_levels, read_options, write_levels, write_options
from lba_onnx.arithmetic.levels import Level, named_levels
from lba_onnx.arithmetic.operands import Operands
from lba_onnx.arithmetic.places import Places
from lba_onnx.arithmetic.special_values import SpecialValues
from lba_onnx.arithmetic.widths import Width

_LARGEST_PRODUCT = 255.0**2  # of two codes without their zero points
_OPERANDS = {"operands": ("centered", "raw")}
_FIXED = {"round": ("floor", "nearest-up"), "overflow": ("wrap", "saturate"), **_OPERANDS}
_PAIRS = {
    Kernel("x86-u8s8", "uint8", 1, ("AVX2", "VNNI")): Overflow.SATURATE,
    Kernel("arm-smlal16", "int8", 8, ("NEON", "SDOT")): Overflow.WRAP,
}


@dataclass(frozen=True)
class IntegerSpec(Accumulator):
    """Sums of products of uint8 or int8 codes.

    Attributes:
        registers: The registers, one or two, innermost first.
        is_raw: Whether codes are accumulated as they are, and their zero points are corrected for behind.
        fraction_bits: Of fixed point, bits behind the point, or less than 0 how many low bits are dropped; None of
            plain integers.
        is_nearest: Whether products are rounded to the nearest multiple of what is kept, halves up.
        kernel: The shipping kernel whose sums these are; None where there is none.
    """

    kind = "integer"
    summary = "products of integer codes in one or two registers that wrap or saturate"
    example = "int16-wrap"
    further_examples = ("int18-saturate", "int12x64/int20-wrap", "fixed<16,20>", "x86-u8s8", "arm-smlal16")
    operand_types = ("uint8", "int8")
    watched = frozenset()

    registers: tuple[IntegerLevel, ...]
    is_raw: bool = False
    fraction_bits: int | None = None
    is_nearest: bool = False
    kernel: Kernel | None = None

    @classmethod
    def read(cls, text: SpecText) -> "IntegerSpec":
        """Read a spec from a text taken apart.

        Raises:
            ValueError: It is none.
        """
        kernel = next((spec for spec in KERNELS if spec.kernel and spec.kernel.name == text.head.text), None)
        if kernel is not None:
            read_options(text, {})
            return kernel
        if text.head.text.startswith("fixed"):
            return cls._read_fixed(text)
        levels = read_levels(text)
        return cls(levels, read_options(text, _OPERANDS)["operands"] == "raw")

    @classmethod
    def _read_fixed(cls, text: SpecText) -> "IntegerSpec":
        width, integer_bits = read_fixed(text)
        said = read_options(text, _FIXED)
        level = IntegerLevel(integer_bits, Overflow(said["overflow"]))
        return cls((level,), said["operands"] == "raw", width - integer_bits, said["round"] == "nearest-up")

    def __str__(self) -> str:
        """Return the text."""
        if self.kernel is not None:
            return self.kernel.name
        said, choices = self.options, _OPERANDS if self.fraction_bits is None else _FIXED
        return f"{self._head}{write_options(said.items(), choices)}"

    @property
    def _head(self) -> str:
        if self.fraction_bits is None:
            return write_levels(self.registers)
        integer_bits = self.registers[0].bits
        return f"fixed<{integer_bits + self.fraction_bits},{integer_bits}>"

    @property
    def options(self) -> Mapping[str, str]:
        """What the text's options say, defaults included."""
        operands = {"operands": "raw" if self.is_raw else "centered"}
        if self.kernel is not None:
            return {}
        if self.fraction_bits is None:
            return operands
        rounding = "nearest-up" if self.is_nearest else "floor"
        return {"round": rounding, "overflow": self.registers[0].overflow.value, **operands}

    @property
    def sums(self) -> IntegerSums:
        """All that a sum of integers depends on."""
        rounding = ProductRounding(max(-(self.fraction_bits or 0), 0), self.is_nearest)
        return IntegerSums(self.registers, rounding, self.kernel.distance if self.kernel else 1)

    @property
    def result_type(self) -> str:
        """The type of results, "int32"; "int64" where the last level has more bits."""
        return f"int{losses.result_bits(self.registers)}"

    @property
    def product_order(self) -> ProductOrder:
        """The order in which products are taken."""
        return self.kernel.order if self.kernel else ProductOrder.NATURAL

    @property
    def special_values(self) -> SpecialValues | None:
        """None: codes have no special values."""
        return None

    def of_codes(self, x_type: str, w_type: str, *, is_depthwise: bool = False) -> CodeSums:
        """Return how products of codes are summed."""
        self.check_operands(x_type, w_type)
        if not self.is_raw:
            return CodeSums(self, None, None)
        if self.kernel is None:
            return CodeSums(self, 0, 0)
        is_exact = w_type == "uint8" or is_depthwise
        return CodeSums(self.wide() if is_exact else self, self.kernel.x_shift(x_type), 0)

    @property
    def widths(self) -> tuple[Width, ...]:
        """The registers, innermost first."""
        last, keeps_products = self.registers[-1], not (self.is_raw or self.sums.dropped_bits)
        return tuple(
            Width(
                name, held.bits, held.overflow.event, held is last and held.overflow is Overflow.WRAP and keeps_products
            )
            for name, held in zip(self._sum_names, self.registers, strict=True)
        )

    def with_widths(self, bits: Sequence[int]) -> "IntegerSpec | None":
        """Return itself with registers of so many bits, or of the nearest legal number; None for a kernel's."""
        if self.kernel is not None:
            return None
        legal = (max(LEAST_BITS, min(own, MOST_BITS)) for own in bits)
        return replace(self, registers=tuple(replace(r, bits=b) for r, b in zip(self.registers, legal, strict=True)))

    @property
    def processors(self) -> tuple[str, str] | None:
        """Those that run the kernel, and those whose own one is exact."""
        return None if self.kernel is None else self.kernel.processors

    def can_overflow(self, weights: NDArray[Any], *, is_depthwise: bool = False) -> bool | None:
        """Tell whether there are codes with which a pair of a kernel's products overflows; None without a kernel."""
        if self.kernel is None:
            return None
        if is_depthwise or weights.dtype == np.uint8:
            return False
        return losses.can_overflow(self.sums, weights.astype(np.int64), *self.kernel.x_range)

    def described(self) -> dict[str, Any]:
        """Return the registers, what becomes of products, and what is accumulated."""
        registers = [
            {"bits": held.bits, "on_overflow": held.overflow.value, **({"terms": held.terms} if held.terms else {})}
            for held in self.registers
        ]
        rounding = "nearest-up" if self.is_nearest else "floor"
        dropped = {"dropped_bits": self.sums.dropped_bits, "rounding": rounding} if self.sums.dropped_bits else {}
        return {"registers": registers, **dropped, "operands": "raw" if self.is_raw else "centered"}

    def explained(self) -> tuple[tuple[str, str], ...]:
        """Return the registers, innermost first, and what is accumulated in them."""
        registers = zip(self.levels[1:], self.registers, strict=True)
        return (
            ("products", words.of_products(self.sums.rounding)),
            *((level.name.replace("_", " "), words.of_register(held, self.sums)) for level, held in registers),
            *words.of_operands(self.is_raw, self.kernel),
        )

    def dot(
        self, x: Sequence[float], w: Sequence[float], initial: float = 0.0, place: tuple[int, int] = (0, 0)
    ) -> float:
        """Return the sum of products of integers.

        Raises:
            ValueError: A value is no integer, lengths differ, or the sum does not start from zero.
        """
        if len(x) != len(w) or initial:
            raise ValueError(f"expected vectors of one length and sums from zero, got {len(x)}, {len(w)}, {initial}")
        return float(self.sums.dot(_integers(x), _integers(w)))

    def step(self, x: float, w: float, partial_sum: float) -> float:
        """Return the innermost sum after one product more."""
        x_code, w_code, before = _integers((x, w, partial_sum))
        return float(self.sums.step(x_code, w_code, before))

    def steps(
        self,
        products: Iterator[Float64s],
        depth: int,
        shape: tuple[int, ...],
        places: Places | None = None,
        start: Float64s | None = None,
    ) -> Iterator[Step]:
        """Yield the additions of dot products in order; exact integers of at most 53 bits."""
        return self.sums.steps(products, depth, shape)

    @property
    def levels(self) -> tuple[Level, ...]:
        """Products, which may be beyond the first register alone, and the sums of each register."""
        names = named_levels(len(self.registers) - 1, ("overflow",), ())
        sums = (
            Level(named.name, (held.overflow.event,)) for named, held in zip(names[1:], self.registers, strict=True)
        )
        return (names[0], *sums)

    @property
    def _sum_names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels[1:])

    def bounds(self, largest_x: float, largest_w: float, depth: int) -> tuple[Bound, ...]:
        """Return the bounds of products and of the sums of each register."""
        check_summary(largest_x, largest_w, depth)
        unit = 1 << self.sums.dropped_bits
        inner, outer = self.registers[0], self.registers[-1]
        product = float(-(-largest_x * largest_w // unit) * unit)
        found = [Bound("product", product, product < inner.half)]
        terms = min(depth, inner.terms or depth)
        found.append(Bound.held(self._sum_names[0], terms * product, float(inner.half)))
        if inner is not outer:
            parts = sum(1 for _ in self.sums.groups(depth))
            largest = min(depth * product, parts * found[1].largest)
            found.append(Bound.held(self._sum_names[1], largest, float(outer.half)))
        return tuple(found)

    @property
    def ranges(self) -> tuple[HeldRange, ...]:
        """What products of codes reach, and what the last register holds."""
        unit, last = 1 << self.sums.dropped_bits, self.registers[-1]
        least = unit / 2 if self.is_nearest else float(unit)
        sums = HeldRange("accumulator", str(self), float(unit), float(last.half - unit))
        product = min(_LARGEST_PRODUCT, float(self.registers[0].half - unit))
        return HeldRange("product", "integer", least, product), sums

    def wide(self) -> "IntegerSpec":
        """Return sums of the same codes as wide as results are, which wrap."""
        return IntegerSpec((IntegerLevel(losses.result_bits(self.registers), Overflow.WRAP),), self.is_raw)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Overflow of each register, and dropped bits."""
        return losses.causes(self.sums, self._sum_names, self.kernel)

    def datapath(self, operands: Operands, depth: int) -> Datapath:
        """Return the parts of a multiplier, and of an adder for each register."""
        return hardware.datapath(self.sums, operands, depth, adds_pairs=self.kernel is not None)

    def without(self, cause: str, depth: int) -> "IntegerSpec | None":
        """Return the spec with one cause switched off; of a kernel, sums of the same codes as wide as results are."""
        sums = losses.without(self.sums, self._sum_names, cause)
        if sums is None:
            return None
        if self.kernel is not None:
            return self.wide()
        fraction_bits = self.fraction_bits if sums.dropped_bits == self.sums.dropped_bits else 0
        return replace(self, registers=sums.levels, fraction_bits=fraction_bits)


KERNELS = tuple(
    IntegerSpec((IntegerLevel(16, overflow, 2), IntegerLevel(INT32_BITS, Overflow.WRAP)), is_raw=True, kernel=kernel)
    for kernel, overflow in _PAIRS.items()
)
"""The accumulators of shipping kernels."""


def _integers(values: Sequence[float]) -> list[int]:
    wrong = next((value for value in values if value % 1), None)
    if wrong is not None:
        raise ValueError(f"expected integers, got {wrong}")
    return [int(value) for value in values]
