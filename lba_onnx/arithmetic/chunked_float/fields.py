"""What a chunked float is made of: two formats, a chunk size, a rounding, and whether small values underflow."""

from dataclasses import dataclass

import numpy as np

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, check_chunk_size
from lba_onnx.arithmetic.formats import FloatFormat
from lba_onnx.arithmetic.rounding import Rounding

WIDE_FORMAT = FloatFormat(22, 7, 63)
"""Stands for float32: 23 significant bits, and magnitudes from 2^-63 up to 2^65."""


@dataclass(frozen=True)
class ChunkedFloatFields:
    """The fields of a spec.

    Attributes:
        product_format: Format of each product.
        accumulator_format: Format of the partial sum in a chunk and of the total across chunks.
        chunk_size: Consecutive products that are summed before their partial sum joins the total;
            None for one chunk over the whole depth.
        underflow: Whether magnitudes below a format's `min_value` become zero.
        rounding: How products and sums get to their formats; its name will do.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: `chunk_size` is not positive, or there is no such rounding.
    """

    product_format: FloatFormat
    accumulator_format: FloatFormat
    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    underflow: bool = True
    rounding: Rounding = Rounding.TRUNCATE

    def __post_init__(self) -> None:
        """Check the fields and store chunk_size, underflow and rounding as plain values."""
        for name in ("product_format", "accumulator_format"):
            if not isinstance(getattr(self, name), FloatFormat):
                raise TypeError(f"expected {name} to be a FloatFormat, got {type(getattr(self, name)).__name__}")
        if self.chunk_size is not None:
            object.__setattr__(self, "chunk_size", check_chunk_size(self.chunk_size))
        if not isinstance(self.underflow, (bool, np.bool_)):
            raise TypeError(f"expected underflow to be a bool, got {type(self.underflow).__name__} {self.underflow!r}")
        object.__setattr__(self, "underflow", bool(self.underflow))
        object.__setattr__(self, "rounding", Rounding(self.rounding))
