"""Sums of integer codes in plain Python integers; imports nothing of the package under test."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = {"uint8": 0, "int8": -128}


@dataclass(frozen=True)
class Register:
    """So many bits, which wrap or saturate."""

    bits: int
    saturates: bool

    def holds(self, value: int, unit: int) -> int:
        mask = (1 << self.bits) - 1
        sign = 1 << (self.bits - 1)
        if not self.saturates:
            return ((value & mask) ^ sign) - sign
        return sorted((-sign, value, sign - unit))[1]


@dataclass(frozen=True)
class CodeSpec:
    """An accumulator of codes, described once more: its text, and what that means.

    `terms` products, `distance` apart, go to the first of two registers; `unit` is the least distance of two values. Of
    a kernel, `takes` is the type of x that its instructions take.
    """

    text: str
    registers: tuple[Register, ...]
    terms: int = 0
    distance: int = 1
    unit: int = 1
    is_nearest: bool = False
    is_raw: bool = False
    takes: str = ""

    @property
    def result_bits(self) -> int:
        return 64 if self.registers[-1].bits > 32 else 32

    def product(self, x: int, w: int) -> int:
        rest = (x * w) % self.unit
        down = x * w - rest
        return down + self.unit if self.is_nearest and 2 * rest >= self.unit and self.unit > 1 else down

    def sum_of(self, x: Sequence[int], w: Sequence[int]) -> int:
        """Return what the registers make of what is accumulated."""
        if not self.terms:
            return self._chain(self.registers[0], [self.product(*pair) for pair in zip(x, w, strict=True)])
        block = self.terms * self.distance
        missing = [0] * (-len(x) % block)
        products = [self.product(*pair) for pair in zip([*x, *missing], [*w, *missing], strict=True)]
        parts = [
            self._chain(self.registers[0], products[begin + first : begin + block : self.distance])
            for begin in range(0, len(products), block)
            for first in range(self.distance)
        ]
        return self._chain(self.registers[1], parts)

    def _chain(self, register: Register, values: Sequence[int]) -> int:
        total = 0
        for value in values:
            total = register.holds(total + value, self.unit)
        return total

    def shifts(self, types: tuple[str, str], zero_points: tuple[int, int]) -> tuple[int, int]:
        if not self.is_raw:
            return -zero_points[0], -zero_points[1]
        return (LEAST[self.takes] - LEAST[types[0]] if self.takes else 0), 0

    def dot(
        self,
        x: Sequence[int],
        w: Sequence[int],
        types: tuple[str, str],
        zero_points: tuple[int, int],
        is_depthwise: bool = False,
    ) -> int:
        """Return the result: the sum with the exact corrections, in the bits of results."""
        x_shift, w_shift = self.shifts(types, zero_points)
        moved, weights = [code + x_shift for code in x], [code + w_shift for code in w]
        exact = sum(a * b for a, b in zip(moved, weights, strict=True))
        is_exact = self.takes and (types[1] == "uint8" or is_depthwise)
        found = exact if is_exact else self.sum_of(moved, weights)
        wanted = sum((a - zero_points[0]) * (b - zero_points[1]) for a, b in zip(x, w, strict=True))
        return Register(self.result_bits, False).holds(found + wanted - exact, 1)


def _int(text: str, *registers: tuple[int, bool], terms: int = 0) -> CodeSpec:
    return CodeSpec(
        text, tuple(Register(*register) for register in registers), terms, is_raw=text.endswith("operands=raw")
    )


CODE_SPECS = (
    _int("int4-wrap", (4, False)),
    _int("int8-saturate", (8, True)),
    _int("int12-wrap,operands=raw", (12, False)),
    _int("int14-saturate,operands=raw", (14, True)),
    _int("int16-wrap", (16, False)),
    _int("int16-saturate", (16, True)),
    _int("int17-saturate", (17, True)),
    _int("int18-saturate,operands=raw", (18, True)),
    _int("int24-wrap", (24, False)),
    _int("int32-wrap", (32, False)),
    _int("int32-saturate", (32, True)),
    _int("int33-saturate", (33, True)),
    _int("int64-wrap,operands=raw", (64, False)),
    _int("int64-saturate", (64, True)),
    _int("int12x8/int16-wrap", (12, False), (16, False), terms=8),
    _int("int12x16/int16-saturate", (12, True), (16, True), terms=16),
    _int("int14x3-saturate/int20-wrap,operands=raw", (14, True), (20, False), terms=3),
    _int("int16x5-wrap/int17-saturate", (16, False), (17, True), terms=5),
    _int("int9x1-saturate/int12-wrap", (9, True), (12, False), terms=1),
    _int("int20x4/int14-saturate", (20, True), (14, True), terms=4),
    _int("int40x64-saturate/int48-wrap", (40, True), (48, False), terms=64),
    CodeSpec("fixed<16,16>", (Register(16, False),)),
    CodeSpec("fixed<20,14>,overflow=saturate", (Register(14, True),)),
    CodeSpec("fixed<12,18>", (Register(18, False),), unit=64),
    CodeSpec("fixed<10,16>,round=nearest-up,overflow=saturate", (Register(16, True),), unit=64, is_nearest=True),
    CodeSpec(
        "fixed<13,16>,round=nearest-up,operands=raw", (Register(16, False),), unit=8, is_nearest=True, is_raw=True
    ),
    CodeSpec("fixed<14,15>,overflow=saturate,operands=raw", (Register(15, True),), unit=2, is_raw=True),
    CodeSpec("fixed<8,40>", (Register(40, False),), unit=1 << 32),
    CodeSpec("x86-u8s8", (Register(16, True), Register(32, False)), 2, is_raw=True, takes="uint8"),
    CodeSpec("arm-smlal16", (Register(16, False), Register(32, False)), 2, 8, is_raw=True, takes="int8"),
)
