"""A model that was also transformed before its calibration, and whether that is the better way."""

import itertools
from dataclasses import dataclass
from typing import Any

from lba_onnx.correction import CorrectionReport
from lba_onnx.data.inputs import ModelInput
from lba_onnx.data.reading import read_samples
from lba_onnx.data.samples import Samples
from lba_onnx.evaluation.estimates import finite_or_none
from lba_onnx.transformation import TransformationReport

_VERIFIED_BATCHES = 2


@dataclass(frozen=True)
class TransformedWay:
    """What the transformations brought that were tried before calibrating, converting and correcting.

    Attributes:
        report: What was transformed, and how it was verified.
        is_taken: Whether the result is the transformed model.
        score: Of the best correction of the transformed model, on the samples that choose the correction; None where
            nothing could be transformed.
        score_without: Of the best one of the model as it was, on the same samples.
        unit: What the scores count.
    """

    report: TransformationReport
    is_taken: bool
    score: float | None
    score_without: float
    unit: str

    @classmethod
    def of(
        cls, report: TransformationReport, transformed: CorrectionReport | None, as_it_was: CorrectionReport
    ) -> "TransformedWay":
        """Compare the corrections of a model with and without transformations; None where there were none to do."""
        without = as_it_was.scores[as_it_was.recipe]
        score = None if transformed is None else transformed.scores[transformed.recipe]
        return cls(report, score is not None and score > without, score, without, as_it_was.unit)

    def __str__(self) -> str:
        """Return one line."""
        if self.score is None:
            return self.report.summary()
        found = "taken" if self.is_taken else "left"
        scores = f"{self.score:.4g} with and {self.score_without:.4g} without"
        return f"{self.report.summary()}; {found}: {self.unit} {scores}, on the samples that choose the correction"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; a score that is not finite becomes null."""
        scores = {"score": self.score, "score_without": self.score_without}
        finite = {name: None if value is None else finite_or_none(value) for name, value in scores.items()}
        return {**self.report.to_json(), "is_taken": self.is_taken, **finite, "unit": self.unit}


def few_feeds(samples: Samples, inputs: tuple[ModelInput, ...]) -> list[dict[str, Any]]:
    """Return the first feeds of some samples, to transform by."""
    return [dict(batch.feeds) for batch in itertools.islice(read_samples(samples, inputs), _VERIFIED_BATCHES)]
