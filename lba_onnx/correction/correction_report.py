"""What a correction did, and its JSON form."""

from dataclasses import asdict, dataclass, field
from typing import Any

from lba_onnx.evaluation.estimates import finite_or_none

NONE = "none"
"""The choice to leave the model as it is."""


@dataclass(frozen=True)
class NodeCorrection:
    """What happened to one node.

    Attributes:
        node: What the ledger calls it.
        mean_scale: Mean of the scales over channels; None for a node that was left.
        max_abs_offset: Largest magnitude of an offset; None for a node that was left.
        reason: Why it was left, or "".
        remark: What the recipe does that could not be done with it, or "".
    """

    node: str
    mean_scale: float | None
    max_abs_offset: float | None
    reason: str = ""
    remark: str = ""


@dataclass(frozen=True)
class CorrectionReport:
    """How a converted model was corrected, and what was gained.

    Attributes:
        recipe: The one chosen (`correction.recipes`); "none" where none was better than no correction.
        scores: Recipes, and "none", to the scores on samples kept apart; larger is better.
        scores_on_all: The same to the scores on these samples and as many of those that the estimates come from: how
            much better they are there tells how far a recipe fits its own samples.
        divergences: The same to the divergence of class scores from float32's, over the samples of `scores_on_all`
            (`evaluation.likeness.class_divergence`); None where no output is [samples, classes].
        rejected: Recipes that take class scores clearly further from float32's; they are out.
        unit: What scores count: "dB" (SQNR of the outputs against float32), "%" or a metric's name.
        samples: How many samples the estimates come from.
        held_out_samples: How many were kept apart to choose by.
        is_held_out: False where there was only one sample, which served for both.
        nodes: One a converted node, in the model's order.
        reported_scores: What has been tuned, what it was tuned from, and "none", to the scores on samples that served
            neither to fit nor to choose; empty where nothing was tuned, or there was one sample to estimate from.
        reported_samples: How many these are.
    """

    recipe: str
    scores: dict[str, float]
    scores_on_all: dict[str, float]
    divergences: dict[str, float | None]
    rejected: tuple[str, ...]
    unit: str
    samples: int
    held_out_samples: int
    is_held_out: bool
    nodes: tuple[NodeCorrection, ...]
    reported_scores: dict[str, float] = field(default_factory=dict)
    reported_samples: int = 0

    @property
    def gain(self) -> float:
        """What the chosen recipe's score is above that of no correction; at least 0."""
        return self.scores[self.recipe] - self.scores[NONE] if self.recipe != NONE else 0.0

    @property
    def corrected(self) -> tuple[NodeCorrection, ...]:
        """The nodes that were changed."""
        return tuple(node for node in self.nodes if not node.reason)

    def summary(self) -> str:
        """Return one line: the choice, and what it gains."""
        tried = ", ".join(f"{name} {score:.4g}{self._remark(name)}" for name, score in self.scores.items())
        where = f"on {self.held_out_samples} samples{' kept apart' if self.is_held_out else ''}"
        if self.recipe == NONE:
            return f"not corrected: nothing tried is better {where} ({self.unit}: {tried}{self._reported()})"
        return (
            f"corrected by {self.recipe}: {len(self.corrected)} nodes; {where}, {self.unit}: {tried}{self._reported()}"
        )

    def _reported(self) -> str:
        if not self.reported_scores:
            return ""
        scores = ", ".join(f"{name} {score:.4g}" for name, score in self.reported_scores.items())
        return f"; on {self.reported_samples} others, seen by neither: {scores}"

    def _remark(self, name: str) -> str:
        if name not in self.rejected:
            return ""
        return f" (out: class scores diverge by {self.divergences[name]:.3g}, {self.divergences[NONE]:.3g} before)"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; a score that is not finite becomes null."""
        figures = {name: getattr(self, name) for name in ("scores", "scores_on_all", "divergences", "reported_scores")}
        finite = {name: {of: finite_or_none(value) for of, value in found.items()} for name, found in figures.items()}
        return {**asdict(self), **finite}
