"""What a sweep varies: texts with free biases, and the biases; every combination is one point."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from lba_onnx.arithmetic import Accumulator, AccumulatorFamily, parse_accumulator, parse_family

Bias: TypeAlias = int | str
"""The accumulator's exponent bias, the same for all nodes, or a calibration method that chooses one per node."""


@dataclass(frozen=True)
class GridPoint:
    """One arithmetic of a sweep.

    Attributes:
        text: Of a family, such as "M7E4,chunk=32", or of an accumulator that leaves nothing free.
        bias: The accumulator's exponent bias, or the name of a calibration method; None where the text leaves no bias.
    """

    text: str
    bias: Bias | None = None

    @property
    def method(self) -> str | None:
        """The calibration method; None where there is nothing to calibrate."""
        return self.bias if isinstance(self.bias, str) else None

    @cached_property
    def family(self) -> AccumulatorFamily | None:
        """The family that the bias belongs to; None where the text leaves no bias."""
        return None if self.bias is None else parse_family(self.text)

    @cached_property
    def spec(self) -> Accumulator | None:
        """The arithmetic of all nodes; None where calibration chooses it.

        Raises:
            ValueError: No format has this bias.
        """
        if self.family is None:
            return parse_accumulator(self.text)
        return None if self.method else parse_accumulator(self.family.with_bias(int(str(self.bias))))

    def to_json(self) -> dict[str, Any]:
        """Return the point and what follows from it as a JSON object; "accumulator" is null where it is calibrated."""
        text = self.text if self.spec is None else self.spec.family_text
        family = None if text is None else parse_family(text)
        told = {} if family is None else {"family": family.bits, **family.described()}
        spec = {} if self.spec is None else self.spec.described()
        accumulator = None if self.spec is None else str(self.spec)
        return {"text": self.text, "bias": self.bias, "accumulator": accumulator, **told, **spec}

    def __str__(self) -> str:
        """Return a short name, for messages."""
        return self.text if self.bias is None else f"{self.text} {self.bias if self.method else f'b{self.bias}'}"


def make_grid(families: Sequence[str] | str, biases: Sequence[Bias] | Bias) -> tuple[GridPoint, ...]:
    """Return all combinations, the biases varying fastest.

    Args:
        families: Texts of families; or of accumulators, to which the biases do not apply.
        biases: Exponent biases of the accumulator, and names of calibration methods.

    Raises:
        TypeError: An entry has the wrong type.
        ValueError: There are no points, or an entry is not as described.
    """
    axes = itertools.product(_as_tuple(families), _as_tuple(biases))
    points = tuple(dict.fromkeys(itertools.starmap(_point, axes)))
    if not points:
        raise ValueError("expected at least one family and one bias, got none of one of them")
    return points


def _point(text: str, bias: Bias) -> GridPoint:
    try:
        return GridPoint(str(parse_accumulator(text)))
    except ValueError:
        point = GridPoint(str(parse_family(text)), bias)
    _ = point.spec  # fails here, not later, where no format has the bias
    return point


def _as_tuple(values: Any) -> tuple[Any, ...]:
    is_many = isinstance(values, Iterable) and not isinstance(values, (str, bytes))
    return tuple(values) if is_many else (values,)
