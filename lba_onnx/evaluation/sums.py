"""Sums of float64 values without rounding, so that parts add up to the same whole in any order."""

import math
from collections.abc import Iterable
from fractions import Fraction

_FRACTION_BITS = 1074  # the smallest positive float64 is 2^-1074


class ExactSum:
    """A sum of float64 values, kept as one integer in units of 2^-1074.

    Infinities and NaN are added as float64 does, which depends on no order either.

    Attributes:
        fixed: The sum of the finite values, in units of 2^-1074.
        rest: The sum of the others; 0 without any.
    """

    def __init__(self) -> None:
        self.fixed = 0
        self.rest = 0.0

    def update(self, values: Iterable[float]) -> None:
        """Add values."""
        for value in values:
            if math.isfinite(value):
                self.fixed += _to_fixed(value)
            else:
                self.rest += value

    def merge(self, other: "ExactSum") -> None:
        """Add all that another sum has gathered."""
        self.fixed += other.fixed
        self.rest += other.rest

    @property
    def value(self) -> float:
        """The sum, rounded once; infinite beyond float64's range."""
        return self.rest if self.rest != 0 else _divide(self.fixed, 1 << _FRACTION_BITS)


class Moments:
    """Number, mean and variance of values.

    Attributes:
        samples: How many there are.
    """

    def __init__(self) -> None:
        self.samples = 0
        self._sum = ExactSum()
        self._squares = 0  # of the finite values, in units of 2^-2148

    def update(self, values: Iterable[float]) -> None:
        """Add values."""
        values = list(values)
        self.samples += len(values)
        self._sum.update(values)
        self._squares += sum(_to_fixed(value) ** 2 for value in values if math.isfinite(value))

    def merge(self, other: "Moments") -> None:
        """Add all that another object has gathered."""
        self.samples += other.samples
        self._sum.merge(other._sum)
        self._squares += other._squares

    @property
    def total(self) -> float:
        """The sum, rounded once; infinite beyond float64's range."""
        return self._sum.value

    @property
    def mean(self) -> float:
        """The mean; NaN without values."""
        if self.samples == 0:
            return math.nan
        rest = self._sum.rest
        return rest if rest != 0 else _divide(self._sum.fixed, self.samples << _FRACTION_BITS)

    @property
    def variance(self) -> float:
        """The unbiased variance; NaN below two values, or where one is not finite."""
        if self.samples < 2 or self._sum.rest != 0:
            return math.nan
        squares = Fraction(self.samples * self._squares - self._sum.fixed**2, self.samples * (self.samples - 1))
        return _divide(squares.numerator, squares.denominator << (2 * _FRACTION_BITS))


def _to_fixed(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()  # the denominator is a power of two
    return numerator << (_FRACTION_BITS + 1 - denominator.bit_length())


def _divide(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator  # rounded once, whatever the sizes
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf
