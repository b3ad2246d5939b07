"""What became of a model's transformations: what was done, how it was verified, and what was left and why."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.text import TextTable, names, remarks
from lba_onnx.transformation.transformation import Refusal
from lba_onnx.transformation.verification import Verification


@dataclass(frozen=True)
class TransformationEntry:
    """What became of one transformation.

    Attributes:
        name: The transformation.
        is_done: Whether the model has it now.
        places: Where it can be applied, in words.
        refusals: Where it cannot, and why.
        verification: How the model compares with what it was; None where there was nothing to apply.
    """

    name: str
    is_done: bool
    places: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    verification: Verification | None

    def __str__(self) -> str:
        """Return one line."""
        if self.verification is None:
            reason = str(self.refusals[0]) if self.refusals else "the model has nothing that it applies to"
            return f"{self.name}: not done, {reason}"
        done = f"done in {len(self.places)} places" if self.is_done else "not done"
        return f"{self.name}: {done}, {self.verification}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        verification = None if self.verification is None else self.verification.to_json()
        refusals = [vars(refusal) for refusal in self.refusals]
        return {**vars(self), "places": list(self.places), "refusals": refusals, "verification": verification}


@dataclass(frozen=True)
class TransformationReport:
    """What became of all transformations that were asked for.

    Attributes:
        entries: One for each, in the order in which they were tried.
    """

    entries: tuple[TransformationEntry, ...]

    @property
    def done(self) -> tuple[str, ...]:
        """The names of the transformations that the model has now."""
        return tuple(entry.name for entry in self.entries if entry.is_done)

    def summary(self) -> str:
        """Return one line."""
        return "; ".join(str(entry) for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return {"done": list(self.done), "transformations": [entry.to_json() for entry in self.entries]}

    def table(self) -> TextTable:
        """Return what was found as a table for the terminal, one row a place."""
        rows = []
        for entry in self.entries:
            state = "done" if entry.is_done else "not done"
            rows += [(entry.name, state, place) for place in entry.places]
            rows += [(entry.name, "left", str(refusal)) for refusal in entry.refusals]
        return TextTable((*names("transformation", "state"), *remarks("where, and why not")), rows)
