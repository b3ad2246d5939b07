"""A format, and how an exact value gets to it in one rounding: what an exact sum, or a sum of partial sums, ends in.

float32, float16, bfloat16    those of IEEE 754
M9E6b31                       saturates, and has no subnormals
round=truncate                in place of nearest; also nearest-away, odd
range=infinity                the format has infinity; range=saturate
subnormals=keep               it has subnormals; subnormals=none
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lba_onnx.arithmetic.accumulator import Float64s
from lba_onnx.arithmetic.bounds import Bound, grown_sum
from lba_onnx.arithmetic.chunked_float.definition import quantize
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.grammar import Option, Part, SpecText, nearest
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.arithmetic.rounding_points import RoundingPoint

_NAMED = {
    "float32": FloatFormat(23, 8, 127, has_infinity=True, has_subnormals=True),
    "float16": FloatFormat(10, 5, 15, has_infinity=True, has_subnormals=True),
    "bfloat16": FloatFormat(7, 8, 127, has_infinity=True, has_subnormals=True),
}
_NAMES = {number_format: name for name, number_format in _NAMED.items()}
_ROUNDINGS = {f"round={rounding.value}": rounding for rounding in Rounding if rounding is not Rounding.STOCHASTIC}
_INFINITY = {"range=infinity": True, "range=saturate": False}
_SUBNORMALS = {"subnormals=keep": True, "subnormals=none": False}
OPTIONS = (*_ROUNDINGS, *_INFINITY, *_SUBNORMALS)
"""What may be said of a result's format beside its name or bits."""

_BITS_BEHIND = {Rounding.NEAREST: 1, Rounding.NEAREST_AWAY: 1, Rounding.ODD: 0}


@dataclass(frozen=True)
class ResultFormat:
    """A format and a rounding.

    Attributes:
        number_format: The format.
        rounding: Any but the stochastic one.
    """

    number_format: FloatFormat
    rounding: Rounding = Rounding.NEAREST

    @classmethod
    def read(cls, text: SpecText, part: Part, options: Sequence[Option], *further: str) -> "ResultFormat":
        """Read the format from a part of a text, and what else is said from options of the text.

        Args:
            text: The text.
            part: The format.
            options: The options that say how.
            *further: Options that errors tell of besides.

        Raises:
            ValueError: It is no format, or an option is none of OPTIONS.
        """
        said = [_read_option(option, text, further) for option in options]
        codes = {name: value for name, value in said if name != "rounding"}
        rounding = next((value for name, value in said if name == "rounding"), Rounding.NEAREST)
        named = _NAMED.get(part.text)
        try:
            if named is None:
                return cls(FloatFormat.parse(part.text, **codes), rounding)
            own = {"has_infinity": True, "has_subnormals": True}
            return cls(FloatFormat.parse(str(named), **{**own, **codes}), rounding)
        except ValueError as error:
            raise text.error(f"{error}{nearest(part.text, _NAMED)}", part) from None

    def described(self) -> dict[str, str]:
        """Return the format and the rounding as values of JSON."""
        return {"result_format": str(self.number_format), "rounding": self.rounding.value}

    @property
    def head(self) -> str:
        """The name of the format, or its bits and bias."""
        return _NAMES.get(self.number_format, str(self.number_format))

    @property
    def options(self) -> str:
        """What else the text says, a comma before each option."""
        held, is_named = self.number_format, self.number_format in _NAMES
        said = {
            f"round={self.rounding.value}": self.rounding is not Rounding.NEAREST,
            "range=infinity": held.has_infinity and not is_named,
            "subnormals=keep": held.has_subnormals and not is_named,
        }
        return "".join(f",{option}" for option, is_said in said.items() if is_said)

    def exact(self, value: float | Fraction) -> float:
        """Return an exact value in the format; the sign of a zero is kept where there is infinity."""
        return quantize(value, self.number_format, True, self.rounding)

    def array(self, values: Float64s) -> Float64s:
        """Return float64 values in the format; each exact, or rounded to odd."""
        return self.number_format.quantize(values, True, self.rounding).astype(np.float64)

    def overflows(self, values: Float64s) -> NDArray[np.bool_]:
        """Return where values of the format have saturated, or are infinite."""
        return self.number_format.overflows(values)

    def rounding_point(self, level: str, times: NDArray[np.int64]) -> RoundingPoint:
        """Return the point where sums get to the format, whose roundings products go through so many times."""
        return RoundingPoint(level, self.number_format.mantissa_bits, self.rounding, 0, times)

    @property
    def events(self) -> tuple[str, ...]:
        """What may happen to a value on its way to the format."""
        return ("overflow", "underflow", *(("subnormal",) if self.number_format.has_subnormals else ()))

    def bound(self, level: str, largest: float, addends: int, roundings: int) -> Bound:
        """Return the bound of a sum of so many addends, which is rounded so often.

        Args:
            level: The name of its level.
            largest: No addend is larger in magnitude.
            addends: How many.
            roundings: How many roundings the first addend goes through.
        """
        held = self.number_format
        finest = held.smallest_kept() if held.has_subnormals and self.rounding is not Rounding.TRUNCATE else 0.0
        behind = _BITS_BEHIND.get(self.rounding)
        growth = 1.0 if behind is None else 1 + 2.0 ** -(held.mantissa_bits + behind)
        magnitude = grown_sum(largest and largest + finest, addends, roundings, 1.0, growth)
        if magnitude < held.max_value:
            return Bound(level, magnitude, fits=True)
        return Bound(level, math.inf if held.has_infinity else held.max_value, fits=False)

    @property
    def words(self) -> str:
        """The format in words."""
        held = self.number_format
        rounding = {Rounding.NEAREST: "to nearest, ties to even", Rounding.TRUNCATE: "toward zero"}
        how = rounding.get(self.rounding, self.rounding.value)
        overflow = "becomes infinite" if held.has_infinity else "saturates"
        small = "subnormals are kept" if held.has_subnormals else "smaller values become 0"
        bits = f"{held.width_bits} bits, {held.smallest_kept():.6g} to ±{held.max_value:.6g}"
        return f"{self.head}: {bits}, rounded {how}; what is larger {overflow}, {small}"


def _read_option(option: Option, text: SpecText, further: Sequence[str]) -> tuple[str, Any]:
    """Return the field that an option sets, and its value."""
    said = f"{option.key}={option.value}"
    for name, choices in (
        ("rounding", _ROUNDINGS),
        ("has_infinity", _INFINITY),
        ("has_subnormals", _SUBNORMALS),
    ):
        if said in choices:
            return name, choices[said]
    raise text.error(
        f"expected {', '.join((*further, *OPTIONS[:-1]))} or {OPTIONS[-1]}, got {option.part.text!r}"
        f"{nearest(option.part.text, OPTIONS)}",
        option.part,
    )


FLOAT32 = ResultFormat(_NAMED["float32"])
"""float32 of IEEE 754, rounded to nearest."""
