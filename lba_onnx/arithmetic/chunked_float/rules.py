"""What a chunked float is beside its formats: order of sums, rounding, and whether small values underflow."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, SumOrder, check_size, check_sizes
from lba_onnx.arithmetic.rounding import Rounding


@dataclass(frozen=True, kw_only=True)
class SumRules:
    """The rules of a spec, or of a family.

    Attributes:
        chunk_size: Consecutive items that a chain sums before its sum joins the next level: products, or sums of trees;
            None for one chain over the whole depth.
        outer_chunks: How many sums of the level below each further chain sums, innermost first.
        tree: Consecutive products that an adder tree sums: neighbours first, an odd one passes up; None for no tree.
        underflow: Whether magnitudes below a format's `min_value` become zero.
        rounding: How products and sums get to their formats; its name will do.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A size is not positive, sizes do not go together, or there is no such rounding.
    """

    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    outer_chunks: tuple[int, ...] = ()
    tree: int | None = None
    underflow: bool = True
    rounding: Rounding = Rounding.TRUNCATE

    def __post_init__(self) -> None:
        """Check the fields and store them as plain values."""
        for name in ("chunk_size", "tree"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_size(name, getattr(self, name)))
        outer = tuple(check_size("outer chunk", size) for size in self.outer_chunks)
        object.__setattr__(self, "outer_chunks", outer)
        check_sizes(self.chunk_size, outer, self.tree)
        if not isinstance(self.underflow, (bool, np.bool_)):
            raise TypeError(f"expected underflow to be a bool, got {type(self.underflow).__name__} {self.underflow!r}")
        object.__setattr__(self, "underflow", bool(self.underflow))
        object.__setattr__(self, "rounding", Rounding(self.rounding))

    @property
    def rules(self) -> dict[str, Any]:
        """The fields of this class alone."""
        return {field.name: getattr(self, field.name) for field in fields(SumRules)}

    @property
    def chunk_sizes(self) -> tuple[int, ...]:
        """The sizes of all chains but the last, innermost first."""
        return () if self.chunk_size is None else (self.chunk_size, *self.outer_chunks)

    @property
    def group_size(self) -> int | None:
        """Products of an innermost group; None for the whole depth."""
        return self.tree or self.chunk_size

    def order(self, depth: int) -> SumOrder:
        """Return the order of sums of so many products."""
        return SumOrder.of(depth, self.chunk_sizes, self.tree)

    def described(self) -> dict[str, Any]:
        """Return the rules as JSON values; `chunk_size` is null for the whole depth, further sizes are told if any."""
        told: dict[str, Any] = {"chunk_size": self.chunk_size}
        if self.outer_chunks:
            told["outer_chunks"] = list(self.outer_chunks)
        if self.tree is not None:
            told["tree"] = self.tree
        return {**told, "underflow": self.underflow, "rounding": self.rounding.value}
