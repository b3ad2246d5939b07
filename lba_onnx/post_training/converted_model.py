"""What a conversion with data gives."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from lba_onnx.calibration import Calibration
from lba_onnx.correction import CorrectionReport
from lba_onnx.evaluation.closeness import BROKEN, CLOSE, UNKNOWN, Closeness
from lba_onnx.files.outputs import Input, check_outputs
from lba_onnx.post_training.advice import next_step
from lba_onnx.post_training.transformed import TransformedWay
from lba_onnx.rewrite import ConversionReport, save_model

_MOST_CAUSES = 5


@dataclass(frozen=True)
class ConvertedModel:
    """A model converted, calibrated, corrected and measured.

    Attributes:
        model: The converted model.
        conversion: The ledger of its nodes.
        calibration: How the biases were chosen; None where they were given.
        correction: What was corrected; None where that was not asked for, or nothing was converted.
        verdict: How close to float32 it is, on samples used neither to fit nor to choose.
        before_correction: The same of the converted model as it was before; None without a correction.
        path: The file that the model was written to, beside which its external data lies; None where it was not.
        sources: The files that were read, which `save` does not write over.
        transformed: What transformations brought, where they were tried.
    """

    model: onnx.ModelProto = field(repr=False)
    conversion: ConversionReport
    calibration: Calibration | None
    correction: CorrectionReport | None
    verdict: Closeness
    before_correction: Closeness | None = None
    path: Path | None = None
    sources: tuple[Input, ...] = field(default=(), repr=False, compare=False)
    transformed: TransformedWay | None = None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, whole or not at all; arguments and errors are those of `rewrite.save_model`.

        Raises:
            OutputError: The file is one of those that the model was made from.
        """
        check_outputs({"converted model": path}, self.sources)
        save_model(self.model, path, source_path=self.path)

    def summary(self) -> str:
        """Return a line for each step: what was converted, corrected and measured, and what to try next."""
        lines = [self.conversion.summary()]
        if self.transformed is not None:
            lines.append(str(self.transformed))
        if self.correction is not None:
            lines.append(self.correction.summary())
        return "\n".join([*lines, self.verdict_line(), *self.causes()])

    def verdict_line(self) -> str:
        """Return the verdict as one line, with what it was before a correction and what to try next."""
        line = str(self.verdict)
        before = self.before_correction
        if (
            before is not None
            and before.status != UNKNOWN
            and self.correction is not None
            and self.correction.corrected
        ):
            line += f"; before the correction: {before.reason}"
        step = self.next_step
        return f"{line}. {step}" if step else line

    def causes(self) -> list[str]:
        """Return what the calibration says of the nodes that lose most; nothing where the model is close to float32."""
        if self.verdict.status in (CLOSE, UNKNOWN) or self.calibration is None:
            return []
        return [f"node {name}: {text}" for name, text in list(self.calibration.warnings.items())[:_MOST_CAUSES]]

    @property
    def next_step(self) -> str:
        """The step most likely to help, as a sentence; empty where nothing was measured, or nothing is lost."""
        is_correctable = self.correction is None and not self.conversion.sums_codes
        return next_step(self.verdict, self.calibration, is_correctable)

    @property
    def is_broken(self) -> bool:
        """Whether the model does not work at this format."""
        return self.verdict.status == BROKEN

    def to_json(self) -> dict[str, Any]:
        """Return all but the model as a JSON object; null for steps that were not taken."""
        return {
            "report": self.conversion.to_json(),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            "transformed": None if self.transformed is None else self.transformed.to_json(),
            "correction": None if self.correction is None else self.correction.to_json(),
            "verdict": self.verdict.to_json(),
            "before_correction": None if self.before_correction is None else self.before_correction.to_json(),
            "next_step": self.next_step,
        }
