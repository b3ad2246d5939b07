"""What a chunked float is beside its formats: order of sums, rounding, and whether small values underflow."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, MOST_LANES, SumOrder, check_size, check_sizes
from lba_onnx.arithmetic.rounding import Rounding
from lba_onnx.integers import as_integer

MOST_RANDOM_BITS = 16


@dataclass(frozen=True, kw_only=True)
class SumRules:
    """The rules of a spec, or of a family.

    Attributes:
        chunk_size: Consecutive items that a chain sums before its sum joins the next level: products, or sums of trees;
            None for one chain over the whole depth.
        outer_chunks: How many sums of the level below each further chain sums, innermost first.
        tree: Consecutive products that an adder tree sums: neighbours first, an odd one passes up; None for no tree.
        lanes: Chains side by side that sum an innermost chunk, product j in lane j mod lanes; their sums are then added
            by a tree. None for one chain.
        starts_from_carry: Whether an innermost tree has the running sum of the chain above it as its first item, and
            lane 0 begins with it, so that what the group gives is that chain's next sum.
        underflow: Whether magnitudes below a format's `min_value` become zero.
        rounding: How products and sums get to their formats; its name will do.
        random_bits: For stochastic rounding, bits of each draw, 1 to 16; else 0.
        seed: Of the draws, below 2^64.
        exact_products: Whether products are added as they are, so that each step rounds once.
        has_infinity: Whether what exceeds a format becomes infinite; see `FloatFormat`. Zeros then keep their sign.
        has_subnormals: Whether formats have subnormals; see `FloatFormat`.
        has_dlfloat_codes: Whether formats have the codes of DLFloat; see `FloatFormat`.

    Raises:
        TypeError: A field has the wrong type.
        ValueError: A size is not positive, fields do not go together, or there is no such rounding.
    """

    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    outer_chunks: tuple[int, ...] = ()
    tree: int | None = None
    lanes: int | None = None
    starts_from_carry: bool = False
    underflow: bool = True
    rounding: Rounding = Rounding.TRUNCATE
    random_bits: int = 0
    seed: int = 0
    exact_products: bool = False
    has_infinity: bool = False
    has_subnormals: bool = False
    has_dlfloat_codes: bool = False

    def __post_init__(self) -> None:
        """Check the fields and store them as plain values."""
        for name in ("chunk_size", "tree"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_size(name, getattr(self, name)))
        outer = tuple(check_size("outer chunk", size) for size in self.outer_chunks)
        object.__setattr__(self, "outer_chunks", outer)
        check_sizes(self.chunk_size, outer, self.tree)
        for name in (
            "underflow",
            "starts_from_carry",
            "exact_products",
            "has_infinity",
            "has_subnormals",
            "has_dlfloat_codes",
        ):
            value = getattr(self, name)
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"expected {name} to be a bool, got {type(value).__name__} {value!r}")
            object.__setattr__(self, name, bool(value))
        if self.has_subnormals and not self.underflow:
            raise ValueError("expected underflow on where subnormals are kept, got off")
        if self.has_dlfloat_codes and (self.has_infinity or self.has_subnormals or not self.underflow):
            raise ValueError("expected range=saturate, subnormals=none and underflow=on beside codes=dlfloat")
        object.__setattr__(self, "rounding", Rounding(self.rounding))
        self._check_randomness()
        self._check_lanes()

    def _check_lanes(self) -> None:
        if self.lanes is not None:
            object.__setattr__(self, "lanes", as_integer("lanes", self.lanes))
            if not 2 <= self.lanes <= MOST_LANES:
                raise ValueError(f"expected 2 to {MOST_LANES} lanes, got {self.lanes}")
            if self.tree is not None or self.rounding is Rounding.STOCHASTIC:
                raise ValueError("expected lanes without tree= and without stochastic rounding")
        if self.starts_from_carry and self.tree is None and self.lanes is None:
            raise ValueError("expected tree= or lanes= beside start=carry: chains that carry on are chunk=none")

    def _check_randomness(self) -> None:
        is_stochastic = self.rounding is Rounding.STOCHASTIC
        object.__setattr__(self, "random_bits", as_integer("random_bits", self.random_bits))
        object.__setattr__(self, "seed", as_integer("seed", self.seed))
        least, most = (1, MOST_RANDOM_BITS) if is_stochastic else (0, 0)
        if not least <= self.random_bits <= most:
            raise ValueError(f"expected random_bits from {least} to {most}, got {self.random_bits}")
        if not 0 <= self.seed < 1 << 64 or (self.seed and not is_stochastic):
            raise ValueError(f"expected a seed below 2^64, of stochastic rounding alone, got {self.seed}")

    @property
    def rules(self) -> dict[str, Any]:
        """The fields of this class alone."""
        return {field.name: getattr(self, field.name) for field in fields(SumRules)}

    @property
    def has_own_groups(self) -> bool:
        """Whether innermost groups are summed otherwise than by one chain."""
        return self.tree is not None or self.lanes is not None

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
        return SumOrder.of(depth, self.chunk_sizes, self.tree, self.lanes)

    def described(self) -> dict[str, Any]:
        """Return the rules as JSON values; `chunk_size` is null for the whole depth, further sizes are told if any."""
        told: dict[str, Any] = {"chunk_size": self.chunk_size}
        if self.outer_chunks:
            told["outer_chunks"] = list(self.outer_chunks)
        if self.tree is not None:
            told["tree"] = self.tree
        if self.lanes is not None:
            told["lanes"] = self.lanes
        told |= {"underflow": self.underflow, "rounding": self.rounding.value}
        if self.rounding is Rounding.STOCHASTIC:
            told |= {"random_bits": self.random_bits, "seed": self.seed}
        further = ("starts_from_carry", "exact_products", "has_infinity", "has_subnormals", "has_dlfloat_codes")
        return told | {name: True for name in further if getattr(self, name)}
