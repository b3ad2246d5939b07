"""The golden vectors as Python values; tests/vectors/README.md describes the files."""

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from lba_onnx.arithmetic import Accumulator, AccumulatorSpec, FloatFormat, as_spec
from lba_onnx.arithmetic.rounding import Rounding

FOLDER = Path(__file__).parent / "vectors"


class Tokens:
    """The tokens of one case, read from the left; the folder of a file says how specs are written, and round."""

    def __init__(self, line: str, folder: str = "") -> None:
        self._tokens = iter(line.split(" "))
        self._has_texts = folder in ("rules", "sums")
        self._rounding = Rounding.NEAREST if folder == "nearest" else Rounding.TRUNCATE

    def text(self) -> str:
        return next(self._tokens)

    def integer(self) -> int:
        return int(self.text())

    def integers(self, count: int) -> tuple[int, ...]:
        return tuple(self.integer() for _ in range(count))

    def float64(self) -> float:
        return float(np.array(int(self.text(), 16), dtype=np.uint64).view(np.float64))

    def float32(self, *shape: int) -> np.ndarray:
        values = [int(self.text(), 16) for _ in range(math.prod(shape))]
        return np.array(values, dtype=np.uint32).view(np.float32).reshape(shape)

    def spec(self) -> Accumulator:
        if self._has_texts:
            return as_spec(self.text())
        names = ("product_format", "accumulator_format", "chunk_size", "underflow")
        values = (self.text(), self.text(), self.integer(), self.integer())
        spec = AccumulatorSpec.from_attributes(dict(zip(names, values, strict=True)))
        return replace(spec, rounding=self._rounding)

    def quantizing(self) -> tuple[AccumulatorSpec, int]:
        """Return a spec whose sums have the format and the rules of a case, and the random integer."""
        if self._has_texts:
            return AccumulatorSpec.parse(self.text()), self.integer()
        held = FloatFormat.parse(self.text())
        return AccumulatorSpec(held, held, underflow=bool(self.integer()), rounding=self._rounding), 0

    def expect_end(self) -> None:
        assert next(self._tokens, None) is None


@dataclass(frozen=True)
class QuantizeCase:
    spec: AccumulatorSpec
    draw: int
    value: float
    expected: np.ndarray

    @classmethod
    def read(cls, tokens: Tokens) -> "QuantizeCase":
        return cls(*tokens.quantizing(), tokens.float64(), tokens.float32())


@dataclass(frozen=True)
class DotCase:
    spec: Accumulator
    x: np.ndarray
    w: np.ndarray
    expected: np.ndarray

    @classmethod
    def read(cls, tokens: Tokens) -> "DotCase":
        spec, depth = tokens.spec(), tokens.integer()
        return cls(spec, tokens.float32(depth), tokens.float32(depth), tokens.float32())


@dataclass(frozen=True)
class MatMulCase:
    spec: Accumulator
    a: np.ndarray
    b: np.ndarray
    expected: np.ndarray

    @classmethod
    def read(cls, tokens: Tokens) -> "MatMulCase":
        spec, (rows, depth, columns) = tokens.spec(), tokens.integers(3)
        return cls(spec, tokens.float32(rows, depth), tokens.float32(depth, columns), tokens.float32(rows, columns))


@dataclass(frozen=True)
class StartsCase:
    spec: AccumulatorSpec
    a: np.ndarray
    b: np.ndarray
    initial: np.ndarray
    expected: np.ndarray

    @classmethod
    def read(cls, tokens: Tokens) -> "StartsCase":
        spec, (rows, depth, columns) = tokens.spec(), tokens.integers(3)
        shapes = ((rows, depth), (depth, columns), (rows, columns), (rows, columns))
        return cls(spec, *(tokens.float32(*shape) for shape in shapes))


@dataclass(frozen=True)
class ConvCase:
    spec: Accumulator
    x: np.ndarray
    w: np.ndarray
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    group: int
    expected: np.ndarray

    @classmethod
    def read(cls, tokens: Tokens) -> "ConvCase":
        spec, axes = tokens.spec(), tokens.integer()
        x_shape, w_shape = tokens.integers(2 + axes), tokens.integers(2 + axes)
        strides, pads, dilations = tokens.integers(axes), tokens.integers(2 * axes), tokens.integers(axes)
        group, out_shape = tokens.integer(), tokens.integers(2 + axes)
        x, w, expected = tokens.float32(*x_shape), tokens.float32(*w_shape), tokens.float32(*out_shape)
        return cls(spec, x, w, strides, pads, dilations, group, expected)


Case = QuantizeCase | DotCase | MatMulCase | StartsCase | ConvCase
KINDS: dict[str, type[Case]] = {
    "quantize.txt": QuantizeCase,
    "dot.txt": DotCase,
    "matmul.txt": MatMulCase,
    "conv.txt": ConvCase,
}
STARTS = "starts.txt"  # of the folders `rules` and `sums`


@cache
def read_cases(name: str) -> tuple[Case, ...]:
    """Return the cases of a file, such as "dot.txt" or "nearest/dot.txt"."""
    folder, _, file = name.rpartition("/")
    cases = []
    for line in (FOLDER / name).read_text("ascii").splitlines():
        if not line.startswith("#"):
            tokens = Tokens(line, folder)
            cases.append((StartsCase if file == STARTS else KINDS[file]).read(tokens))
            tokens.expect_end()
    return tuple(cases)
