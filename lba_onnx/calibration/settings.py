"""What is asked of a calibration, and the accumulators that a choice of exponents means."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from lba_onnx.arithmetic import Accumulator, AccumulatorSpec, FormatFamily
from lba_onnx.arithmetic.chunked_float.order import DEFAULT_CHUNK_SIZE, product_bias
from lba_onnx.integers import as_count

METHODS = ("max", "percentile", "mse", "zero_shot")
GRANULARITIES = ("layer", "model")

DEFAULT_PERCENTILE = 99.99
DEFAULT_EVALUATIONS = 20
DEFAULT_MAX_EXPONENT = 5
"""Largest exponent of the accumulator of a node of which nothing is known: M7E4b10, range ±128, as for ResNets."""


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


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes:
        family: Formats to choose the biases of.
        method: One of METHODS.
        granularity: "layer", biases of each node's own; "model", the same for all.
        is_tied: Whether the product's bias follows from the accumulator's by `accumulator.product_bias`.
        percentile: Percent of the sampled values to hold, by method "percentile"; above 0, at most 100.
        evaluations: Most evaluations of the model that "zero_shot" spends on a common change of all biases.
        layer_evaluations: Further ones that it spends on changes to single nodes.
        chunk_size: Products per chunk; None for the whole depth.
        underflow: Whether small values underflow.

    Raises:
        TypeError: A number is none.
        ValueError: Something is out of range.
    """

    family: FormatFamily
    method: str = "max"
    granularity: str = "layer"
    is_tied: bool = False
    percentile: float = DEFAULT_PERCENTILE
    evaluations: int = DEFAULT_EVALUATIONS
    layer_evaluations: int = 0
    chunk_size: int | None = DEFAULT_CHUNK_SIZE
    underflow: bool = True

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.method not in METHODS:
            raise ValueError(f"expected a method out of {', '.join(METHODS)}, got {self.method!r}")
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"expected a granularity out of {', '.join(GRANULARITIES)}, got {self.granularity!r}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"expected a percentile above 0 and at most 100, got {self.percentile}")
        for name, least in (("evaluations", 1), ("layer_evaluations", 0)):
            as_count(name, getattr(self, name), least)
        if self.layer_evaluations and self.granularity == "model":
            raise ValueError("expected granularity 'layer' to go with layer_evaluations, got 'model'")
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
        return AccumulatorSpec(product, accumulator, self.chunk_size, self.underflow)

    def exponents(self, spec: Accumulator) -> Exponents:
        """Return the exponents of an accumulator of this family."""
        formats = spec.product_format, spec.accumulator_format
        return Exponents(*map(self.family.max_exponent, formats))

    def to_json(self) -> dict[str, Any]:
        """Return what the method depends on, as a JSON object; null for what plays no part in it."""
        is_search = self.method == "zero_shot"
        uses_percentile = self.method in ("percentile", "mse")
        return {
            "family": str(self.family),
            "method": self.method,
            "granularity": self.granularity,
            "tied": self.is_tied,
            "percentile": self.percentile if uses_percentile else None,
            "evaluations": self.evaluations if is_search else None,
            "layer_evaluations": self.layer_evaluations if is_search else None,
            "chunk_size": self.chunk_size,
            "underflow": self.underflow,
        }
