"""What is asked of every calibration, and the accumulators that a choice of exponents means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lba_onnx.arithmetic import Accumulator, FormatFamily
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, product_bias

GRANULARITIES = ("layer", "model")

DEFAULT_MAX_EXPONENT = 5
"""Largest exponent of the accumulator of a node of which nothing is known: M7E4b10, range ±128, as for ResNets."""

Specs = dict[str, Accumulator]


class Exponents(NamedTuple):
    """The largest exponents of a node's two formats; with the family, they are its biases.

    Attributes:
        product: Of the product format.
        accumulator: Of the accumulator format.
    """

    product: int
    accumulator: int

    def moved(self, product: int, accumulator: int) -> "Exponents":
        """Return the exponents larger by so much."""
        return Exponents(self.product + product, self.accumulator + accumulator)


Choice = dict[str, Exponents]
"""Names of nodes to the exponents chosen for them."""


@dataclass(frozen=True)
class Settings:
    """What is asked for, whatever the method.

    Attributes:
        family: Formats to choose the biases of.
        granularity: "layer", biases of each node's own; "model", the same for all.
        is_tied: Whether the product's bias follows from the accumulator's by `accumulator.product_bias`.
        chunk_size: Products per chunk; None for the whole depth.
        underflow: Whether small values underflow.

    Raises:
        ValueError: Something is out of range.
    """

    family: FormatFamily
    granularity: str = "layer"
    is_tied: bool = False
    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    underflow: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"expected a granularity out of {', '.join(GRANULARITIES)}, got {self.granularity!r}")
        self.spec(self.default)

    @property
    def default(self) -> Exponents:
        """The exponents of a node of which nothing is known."""
        return self.tied(Exponents(DEFAULT_MAX_EXPONENT, DEFAULT_MAX_EXPONENT))

    def tied(self, exponents: Exponents) -> Exponents:
        """Return the exponents with the product's replaced by the one that the rule gives to the accumulator's."""
        return exponents._replace(product=exponents.accumulator - product_bias(0, self.chunk_size))

    def apply_tie(self, exponents: Exponents) -> Exponents:
        """Return the exponents as the settings want them, tied or not."""
        return self.tied(exponents) if self.is_tied else exponents

    def spec(self, exponents: Exponents) -> Accumulator:
        """Return the accumulator with these exponents, or with the nearest legal ones."""
        product, accumulator = map(self.family.with_max_exponent, exponents)
        return Accumulator(product, accumulator, self.chunk_size, self.underflow)

    def specs(self, choice: Mapping[str, Exponents]) -> Specs:
        """Return the accumulator of each node."""
        return {name: self.spec(exponents) for name, exponents in choice.items()}
