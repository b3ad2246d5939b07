"""The golden vectors of sums of integer codes as Python values; tests/vectors/code_files.py describes the files."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "vectors"


class Numbers:
    """The tokens of one case, read from the left."""

    def __init__(self, line: str) -> None:
        self._tokens = iter(line.split(" "))

    def text(self) -> str:
        return next(self._tokens)

    def integer(self) -> int:
        return int(self.text())

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def array(self, dtype: str, *shape: int) -> np.ndarray:
        return np.array(self.integers(math.prod(shape)), np.int64).astype(dtype).reshape(shape)

    def zero_points(self) -> int | list[int]:
        codes = list(self.integers(self.integer()))
        return codes[0] if len(codes) == 1 else codes

    def results(self, *shape: int) -> np.ndarray:
        y = np.array(self.integers(math.prod(shape)), np.int64).reshape(shape)
        assert next(self._tokens, None) is None
        return y


@dataclass(frozen=True)
class Requantization:
    """What makes codes of sums: times 2^-shift, rounded to nearest even, plus a zero point, clamped."""

    shift: int
    zero_point: int
    dtype: str

    def codes(self, sums: np.ndarray) -> np.ndarray:
        limits = np.iinfo(self.dtype)
        rounded = np.rint(sums.astype(np.float32) * np.float32(2.0**-self.shift))
        return np.clip(rounded + self.zero_point, limits.min, limits.max).astype(np.int64)


@dataclass(frozen=True)
class CodeMatMul:
    """A product of matrices."""

    spec: str
    a: np.ndarray
    b: np.ndarray
    a_zero_point: int
    b_zero_point: int | list[int]
    expected: np.ndarray

    @classmethod
    def read(cls, line: str) -> "CodeMatMul":
        tokens = Numbers(line)
        spec, a_type, b_type = tokens.text(), tokens.text(), tokens.text()
        rows, depth, columns = tokens.integers(3)
        zero_points = tokens.integer(), tokens.zero_points()
        a, b = tokens.array(a_type, rows, depth), tokens.array(b_type, depth, columns)
        return cls(spec, a, b, *zero_points, tokens.results(rows, columns))


@dataclass(frozen=True)
class CodeConv:
    """A convolution."""

    spec: str
    x: np.ndarray
    w: np.ndarray
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int
    x_zero_point: int
    w_zero_point: int | list[int]
    expected: np.ndarray

    @classmethod
    def read(cls, line: str) -> "CodeConv":
        tokens = Numbers(line)
        spec, x_type, w_type, axes = tokens.text(), tokens.text(), tokens.text(), tokens.integer()
        x_shape, w_shape = tokens.integers(2 + axes), tokens.integers(2 + axes)
        moves = tokens.integers(axes), tokens.integers(2 * axes), tokens.integers(axes)
        group, out_shape = tokens.integer(), tokens.integers(2 + axes)
        zero_points = tokens.integer(), tokens.zero_points()
        x, w = tokens.array(x_type, *x_shape), tokens.array(w_type, *w_shape)
        return cls(spec, x, w, *moves, group, *zero_points, tokens.results(*out_shape))


def lines(name: str) -> Iterator[str]:
    """Yield the lines of a file's cases."""
    return (line for line in (FOLDER / name).read_text("ascii").splitlines() if not line.startswith("#"))


def matmul_cases() -> Iterator[CodeMatMul]:
    """Yield the products of matrices."""
    return map(CodeMatMul.read, lines("codes/matmul.txt"))


def conv_cases() -> Iterator[CodeConv]:
    """Yield the convolutions."""
    return map(CodeConv.read, lines("codes/conv.txt"))


def recorded_matmul_cases() -> Iterator[CodeMatMul]:
    """Yield outputs of onnxruntime's MatMulInteger."""
    return map(CodeMatMul.read, lines("onnxruntime/MatMulInteger.txt"))


def recorded_conv_cases() -> Iterator[tuple[Requantization, CodeConv]]:
    """Yield outputs of onnxruntime's QLinearConv, which are codes."""
    for line in lines("onnxruntime/QLinearConv.txt"):
        shift, zero_point, dtype, rest = line.split(" ", 3)
        yield Requantization(int(shift), int(zero_point), dtype), CodeConv.read(rest)
