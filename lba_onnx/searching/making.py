"""How models are made from a float32 model: converted as chosen, and corrected."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lba_onnx.arithmetic import Accumulator
from lba_onnx.correction import correct
from lba_onnx.correction.correction_report import NONE
from lba_onnx.data.execution import Execution
from lba_onnx.data.samples import Samples
from lba_onnx.data.watching import watched_by
from lba_onnx.evaluation.user_metric import Metric
from lba_onnx.rewrite.conversion import convert_quietly
from lba_onnx.rewrite.model_files import OpenModel
from lba_onnx.rewrite.selection import Selection

Specs = Mapping[str, Accumulator | None]
"""By product its accumulator; None for float32."""


@dataclass(frozen=True, eq=False)
class Making:
    """A model, and what is done with it.

    Attributes:
        model: The float32 model; its file, where it has external data, lies where variants may be written beside it.
        to_fit: What calibrations and corrections go by.
        effort: How much a correction tries; None for none.
        metric: The user's metric, which it goes by, too.
        selection: Which products are converted.
        bias_start: Whether sums start from biases.
        execution: How models run.
    """

    model: OpenModel
    to_fit: Samples
    effort: str | None
    metric: Metric | None
    selection: Selection
    bias_start: bool
    execution: Execution

    def make(self, specs: Specs, path: Path) -> str | None:
        """Write the model with some accumulators, corrected; return the recipe that it was corrected by, or None."""
        given = {name: spec for name, spec in specs.items() if spec is not None}
        provenance = {"method": "search", "effort": self.effort}
        plain = path.with_name(f"plain_{path.name}")
        settings: dict[str, Any] = {"selection": self.selection, "bias_start": self.bias_start, "model_output": plain}
        _, report = convert_quietly(self.model.source, given, provenance=provenance, **settings)
        if self.effort is None or not report.converted or report.sums_codes:
            plain.replace(path)
            return None
        with watched_by(None):  # its phases are those of one model
            execution = Execution(self.execution.providers)
            _, found = correct(
                plain, self.to_fit, effort=self.effort, metric=self.metric, execution=execution, model_output=path
            )
        plain.unlink()
        return None if found.recipe == NONE else found.recipe
