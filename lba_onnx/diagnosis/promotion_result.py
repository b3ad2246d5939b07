"""What a promotion found, and its JSON form."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.evaluation.estimates import finite_or_none


@dataclass(frozen=True)
class Step:
    """One model that was tried.

    Attributes:
        promoted: The promoted nodes.
        value: The figure of the condition.
        holds: Whether it fulfils the condition.
    """

    promoted: tuple[str, ...]
    value: float
    holds: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for a value that JSON cannot hold."""
        return {"promoted": list(self.promoted), "value": finite_or_none(self.value), "holds": self.holds}


@dataclass(frozen=True)
class Promotion:
    """Which layers to promote.

    Attributes:
        condition: The condition, as text.
        is_fulfilled: Whether it holds for the model with these nodes promoted; False where it does not even with all.
        promoted: The promoted nodes, the most harmful first; all nodes where the condition is not fulfilled.
        value: The figure of the condition with these nodes promoted.
        specs: Specs by node, for `convert`: without the promoted nodes where they stay in float32, all where they get
            a wider family.
        wider: The wider family; None for float32.
        samples: How many samples the figures come from.
        steps: What was tried, in that order.
    """

    condition: str
    is_fulfilled: bool
    promoted: tuple[str, ...]
    value: float
    specs: dict[str, Accumulator]
    wider: str | None
    samples: int
    steps: tuple[Step, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; numbers that JSON cannot hold (an infinite SQNR, NaN) become null."""
        return {
            "condition": self.condition,
            "is_fulfilled": self.is_fulfilled,
            "promoted": list(self.promoted),
            "value": finite_or_none(self.value),
            "specs": {name: str(spec) for name, spec in self.specs.items()},
            "wider": self.wider,
            "samples": self.samples,
            "steps": [step.to_json() for step in self.steps],
        }
