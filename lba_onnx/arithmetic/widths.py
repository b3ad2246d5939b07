"""The registers of an accumulator of integers: how many bits each has, and which of its sums have to fit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Width:
    """One register.

    Attributes:
        level: The level whose sums it holds, as in `Accumulator.levels`.
        bits: How many it has, in two's complement.
        event: What happens to a sum that it does not hold, as in the level's events.
        is_of_results: Whether the last of its sums alone has to fit, which is the result: others come back from where
            they wrapped to.
    """

    level: str
    bits: int
    event: str
    is_of_results: bool
