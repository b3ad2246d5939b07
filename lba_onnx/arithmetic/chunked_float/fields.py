"""What a chunked float is made of: two formats, and the rules of its sums."""

from dataclasses import dataclass, replace

from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.formats import FloatFormat

WIDE_FORMAT = FloatFormat(22, 7, 63)
"""Stands for float32: 23 significant bits, and magnitudes from 2^-63 up to 2^65."""

EXACT = "exact"
"""What stands for a format where products have none."""


@dataclass(frozen=True)
class ChunkedFloatFields(SumRules):
    """The fields of a spec, those of `SumRules` by keyword.

    Attributes:
        product_format: Format of each product; None where they are exact.
        accumulator_format: Format of all sums. Both have the outer codes that the rules say.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A rule is out of range, or a format of exact products is given.
    """

    product_format: FloatFormat | None
    accumulator_format: FloatFormat

    def __post_init__(self) -> None:
        """Check the fields and store them as the rules say."""
        super().__post_init__()
        object.__setattr__(self, "accumulator_format", self._as_format("accumulator_format", self.accumulator_format))
        if not self.exact_products:
            object.__setattr__(self, "product_format", self._as_format("product_format", self.product_format))
        elif self.product_format is not None:
            raise ValueError(f"expected no product_format beside exact products, got {self.product_format}")

    def _as_format(self, name: str, value: FloatFormat | None) -> FloatFormat:
        if not isinstance(value, FloatFormat):
            raise TypeError(f"expected {name} to be a FloatFormat, got {type(value).__name__}")
        return replace(
            value,
            has_infinity=self.has_infinity,
            has_subnormals=self.has_subnormals,
            has_dlfloat_codes=self.has_dlfloat_codes,
        )
