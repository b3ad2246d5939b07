"""What a sweep varies: every combination of family, bias, chunk size and underflow is one point."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lba_onnx.accumulator import DEFAULT_CHUNK_SIZE, AccumulatorSpec
from lba_onnx.families import FormatFamily

Bias: TypeAlias = int | str
"""The accumulator's exponent bias, the same for all nodes, or a calibration method that chooses one per node."""


@dataclass(frozen=True)
class GridPoint:
    """One arithmetic of a sweep.

    Attributes:
        family: Family of formats, such as "M7E4".
        bias: The accumulator's exponent bias, or the name of a calibration method.
        chunk_size: Products per chunk; None for the whole depth.
        underflow: Whether small values become zero.
    """

    family: str
    bias: Bias
    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    underflow: bool = True

    @property
    def method(self) -> str | None:
        """The calibration method; None where the bias is a number."""
        return self.bias if isinstance(self.bias, str) else None

    @property
    def spec(self) -> AccumulatorSpec | None:
        """The arithmetic of all nodes, the product's bias by `product_bias`; None where calibration chooses.

        Raises:
            ValueError: No format has this bias.
        """
        if isinstance(self.bias, str):
            return None
        return AccumulatorSpec.parse(f"{self.family}b{self.bias}", self.chunk_size, self.underflow)

    def to_json(self) -> dict[str, Any]:
        """Return the fields and what follows from them as a JSON object."""
        family, spec = FormatFamily.parse(self.family), self.spec
        return {
            "family": self.family,
            "mantissa_bits": family.mantissa_bits,
            "exponent_bits": family.exponent_bits,
            "bias": self.bias,
            "product_format": None if spec is None else str(spec.product_format),
            "accumulator_format": None if spec is None else str(spec.accumulator_format),
            "chunk_size": self.chunk_size,
            "underflow": self.underflow,
        }

    def __str__(self) -> str:
        """Return a short name, for messages."""
        bias = self.bias if self.method else f"b{self.bias}"
        chunk = "none" if self.chunk_size is None else self.chunk_size
        return f"{self.family} {bias}, chunk {chunk}" + ("" if self.underflow else ", no underflow")


def make_grid(
    families: Sequence[str] | str,
    biases: Sequence[Bias] | Bias,
    chunk_sizes: Sequence[int | None] | int | None,
    underflow: Sequence[bool] | bool,
) -> tuple[GridPoint, ...]:
    """Return all combinations, the last argument varying fastest.

    Args:
        families: Families of formats.
        biases: Exponent biases of the accumulator, and names of calibration methods.
        chunk_sizes: Products per chunk; None for the whole depth.
        underflow: Whether small values become zero.

    Raises:
        TypeError: An entry has the wrong type.
        ValueError: There are no points, or an entry is not as described.
    """
    axes = (_as_tuple(families), _as_tuple(biases), _as_tuple(chunk_sizes), _as_tuple(underflow))
    names = [str(FormatFamily.parse(family)) for family in axes[0]]
    points = tuple(dict.fromkeys(GridPoint(*values) for values in itertools.product(names, *axes[1:])))
    if not points:
        raise ValueError("expected at least one family, bias, chunk size and underflow, got none of one of them")
    for point in points:
        _check(point)
    return points


def _as_tuple(values: Any) -> tuple[Any, ...]:
    is_many = isinstance(values, Iterable) and not isinstance(values, (str, bytes))
    return tuple(values) if is_many else (values,)


def _check(point: GridPoint) -> None:
    """Refuse what would fail later: a spec of these settings, with any bias where calibration chooses it."""
    if point.spec is None:
        some = FormatFamily.parse(point.family).with_max_exponent(0)
        AccumulatorSpec(some, some, point.chunk_size, point.underflow)
