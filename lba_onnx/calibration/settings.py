"""What is asked of every calibration, and the accumulators that a choice of exponents means."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lba_onnx.arithmetic import Accumulator, AccumulatorFamily, Exponents, as_spec

GRANULARITIES = ("layer", "model")

Specs = dict[str, Accumulator]

Choice = dict[str, Exponents]
"""Names of nodes to the exponents chosen for them."""


@dataclass(frozen=True)
class Settings:
    """What is asked for, whatever the method.

    Attributes:
        family: The accumulators to choose from: all that differ in their biases.
        granularity: "layer", biases of each node's own; "model", the same for all.
        is_tied: Whether the products' bias follows from the sums' by the family's rule.
        depths: How many products the dot products of each node have, where that is known.
    """

    family: AccumulatorFamily
    granularity: str = GRANULARITIES[0]
    is_tied: bool = False
    depths: Mapping[str, int] = field(default_factory=dict)

    def family_of(self, name: str) -> AccumulatorFamily:
        """Return the accumulators to choose from for a node."""
        return self.family.at_depth(self.depths.get(name, 0))

    @property
    def default(self) -> Exponents:
        """The exponents of a node of which nothing is known."""
        return self.family.default

    def apply_tie(self, exponents: Exponents) -> Exponents:
        """Return the exponents as the settings want them, tied or not."""
        return self.family.tied(exponents) if self.is_tied else exponents

    def specs(self, choice: Mapping[str, Exponents]) -> Specs:
        """Return the accumulator of each node, with random bits of its own where it draws any."""
        texts = {name: self.family_of(name).with_exponents(exponents) for name, exponents in choice.items()}
        return {name: as_spec(text).in_product(name) for name, text in texts.items()}
