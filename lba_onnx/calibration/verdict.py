"""How choices of biases fared by the model's own output."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lba_onnx.calibration.json_entry import read_entry


@dataclass(frozen=True)
class Verdict:
    """Scores of choices, larger is better, and the one that was taken.

    Attributes:
        unit: What scores count: "dB", "%", or the name of the user's metric.
        samples: Samples that the choices were judged by.
        is_shared: Whether these also took part in fitting to layers, because there was only one sample.
        scores: Names of choices to scores; minus infinity where the output was not a number, or where it decides
            clearly worse than with the ranges of all values (`evaluation.likeness.Assessment`).
        chosen: The name of the one taken.
        evaluations: Evaluations of the model in all.
        condition: What the score had to fulfil; "" where the largest one was taken.
    """

    unit: str
    samples: int
    is_shared: bool
    scores: dict[str, float]
    chosen: str
    evaluations: int
    condition: str = ""

    def __str__(self) -> str:
        """Return one line for people."""
        texts = {name: f"{score:.4g}" if math.isfinite(score) else "out" for name, score in self.scores.items()}
        if self.condition:
            unit = f" {self.unit}" if self.unit else ""
            return f"{self.condition} holds: {texts[self.chosen]}{unit} on {self.samples} samples"
        listed = ", ".join(f"{name} {text}" for name, text in texts.items())
        return f"{self.chosen} is best of {listed} ({self.unit}, {self.samples} samples)"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; null for minus infinity."""
        scores = {name: score if math.isfinite(score) else None for name, score in self.scores.items()}
        return {**vars(self), "scores": scores}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Verdict":
        """Read the object that `to_json` returns.

        Raises:
            TypeError: An entry has the wrong type.
            ValueError: An entry is missing.
        """
        types = {"unit": str, "samples": int, "is_shared": bool, "scores": dict, "chosen": str, "evaluations": int}
        entries = {name: read_entry(value, name, kind) for name, kind in types.items()}
        entries["condition"] = read_entry({"condition": "", **value}, "condition", str)
        read = {name: read_entry(entries["scores"], name, float, int, type(None)) for name in entries["scores"]}
        scores = {name: -math.inf if score is None else float(score) for name, score in read.items()}
        return cls(**{**entries, "scores": scores})
