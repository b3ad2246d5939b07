"""What a chunked float is made of: two formats, and the rules of its sums."""

from dataclasses import dataclass

from lba_onnx.arithmetic.chunked_float.rules import SumRules
from lba_onnx.arithmetic.formats import FloatFormat

WIDE_FORMAT = FloatFormat(22, 7, 63)
"""Stands for float32: 23 significant bits, and magnitudes from 2^-63 up to 2^65."""


@dataclass(frozen=True)
class ChunkedFloatFields(SumRules):
    """The fields of a spec, those of `SumRules` by keyword.

    Attributes:
        product_format: Format of each product.
        accumulator_format: Format of all sums.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A rule is out of range.
    """

    product_format: FloatFormat
    accumulator_format: FloatFormat

    def __post_init__(self) -> None:
        """Check the fields and store the rules as plain values."""
        for name in ("product_format", "accumulator_format"):
            if not isinstance(getattr(self, name), FloatFormat):
                raise TypeError(f"expected {name} to be a FloatFormat, got {type(getattr(self, name)).__name__}")
        super().__post_init__()
